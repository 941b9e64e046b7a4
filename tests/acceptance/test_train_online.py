"""`qmend train online=...`: trained on circuits that are simulated meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command, tracked

QUICK = ("trainer=tiny", "trainer.threads=1", "model=blind_mlp", "model.width=8")
SMALL = ("dataset=tiny", "dataset.circuits=60", "trainer.batch_size=16", "online.circuits=20")


def test_a_run_says_on_what_it_was_trained(here: Command, tmp_path: Path) -> None:
    """Three epochs, the second draw of two; drawn in the background by default."""
    options = ("online=randomized", "online.epochs_per_draw=2", "trainer.max_epochs=3")
    result = here("train", *SMALL, *QUICK, *options, "data.workers=1").succeeded()
    assert "test median L1RC" in result.out
    found = tracked(tmp_path, result)
    (run,) = found.runs
    assert run.info.status == "FINISHED"
    assert run.data.metrics["cost/fresh_circuits"] == 40
    assert run.data.tags["online"] == "randomized"
    assert run.data.params["online.circuits"] == "20"
    model = json.loads((found.artifacts(run, "model") / "model.json").read_text())
    seen = model["provenance"]["fresh"]
    assert (seen["circuits"], seen["noise"]["name"]) == (40, "randomized")
    here(
        "evaluate",
        "dataset=tiny",
        "dataset.circuits=60",
        f"checkpoint={run.info.run_id}",
        "baselines=[]",
    ).succeeded()


def test_it_is_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    noise = ("online=dataset", "dataset/noise=surrogate_hardware")
    here("train", *SMALL, *QUICK, *noise).refused("online.noise=dataset", "online.noise=randomized")
    here("train", *SMALL, *QUICK, "online=fitted").refused("online.noise needs a value")
    imported = ("online=dataset", "dataset=hardware_public")
    here("train", *QUICK, *imported).refused("was imported from measurements")
    here("train", *SMALL, *QUICK, "online=fitted", "online.noise=a.yaml").refused(
        "a.yaml", "No such"
    )
    assert not (tmp_path / "data").exists()
