"""`qmend train fresh=...`: trained on circuits that are simulated meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command, tracked

QUICK = ("trainer=tiny", "trainer.threads=1", "model=blind_mlp", "model.width=8")
SMALL = ("dataset=tiny", "dataset.circuits=60", "trainer.batch_size=16", "fresh.circuits=20")


def test_a_run_says_on_what_it_was_trained(here: Command, tmp_path: Path) -> None:
    """Three epochs, the second draw of two; drawn in the background by default."""
    options = ("fresh=worlds", "fresh.every=2", "trainer.max_epochs=3")
    result = here("train", *SMALL, *QUICK, *options).succeeded()
    assert "test median L1RC" in result.out
    found = tracked(tmp_path, result)
    (run,) = found.runs
    assert run.info.status == "FINISHED"
    assert run.data.metrics["cost/fresh_circuits"] == 40
    assert run.data.tags["fresh"] == "worlds"
    assert run.data.params["fresh.circuits"] == "20"
    model = json.loads((found.artifacts(run, "model") / "model.json").read_text())
    seen = model["provenance"]["fresh"]
    assert (seen["circuits"], seen["noise"]["name"]) == (40, "worlds")
    here(
        "evaluate",
        "dataset=tiny",
        "dataset.circuits=60",
        f"checkpoint={run.info.run_id}",
        "baselines=[]",
    ).succeeded()


def test_it_is_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    noise = ("fresh=dataset", "dataset/noise=surrogate_hardware")
    here("train", *SMALL, *QUICK, *noise).refused("fresh.noise=dataset", "fresh.noise=worlds")
    here("train", *SMALL, *QUICK, "fresh=fitted").refused("fresh.noise needs a value")
    imported = ("fresh=dataset", "dataset=hardware_public")
    here("train", *QUICK, *imported).refused("was imported from measurements")
    here("train", *SMALL, *QUICK, "fresh=fitted", "fresh.noise=a.yaml").refused("a.yaml", "No such")
    assert not (tmp_path / "data").exists()
