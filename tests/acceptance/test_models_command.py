"""`qmend models`: the demo's networks contend for the place of champion."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commandline import Command, Tracked, tracked


@pytest.fixture
def networks(demo: Tracked, data: Path, tmp_path: Path) -> dict[str, str]:
    """Architecture -> run of the demo's trainings, in a copy of its store."""
    shutil.copytree(demo.folder / "mlruns", tmp_path / "mlruns")
    return {r.data.tags["architecture"]: r.info.run_id for r in demo.kind("train")}


def test_networks_contend_for_the_place_of_champion(
    networks: dict[str, str], here: Command, tmp_path: Path
) -> None:
    assert "No model is registered" in here("models", "list").succeeded().out
    # It makes things worse: a champion by force alone.
    bad, good, middle = (networks[n] for n in ("perceiver", "walsh_operator", "physics_perceiver"))
    out = here("models", "promote", bad).succeeded().out
    assert "does not beat no mitigation" in out
    assert "There is no champion" in out
    refused = here("evaluate", "checkpoint=models:/qmend@champion", "dataset=tiny")
    refused.refused("models:/qmend@champion", "qmend models list")
    out = here("models", "promote", bad, "--force").succeeded().out
    assert "Version 1 is the champion by --force" in out

    out = here("models", "promote", good).succeeded().out
    assert "Version 2 beats version 1" in out
    assert "Version 2 is the champion: models:/qmend@champion" in out
    out = here("models", "promote", middle[:12]).succeeded().out
    assert "Version 3 does not beat version 2" in out
    assert "Champion stays version 2" in out

    lines = here("models", "list").succeeded().out.splitlines()
    (champion,) = [line for line in lines if "champion" in line]
    assert good[:8] in champion
    assert "walsh_operator" in champion
    run = tracked(tmp_path, here("--version")).client.get_run(good)
    assert f"{run.data.metrics['test/l1rc_median']:.3f} [" in champion
    assert [line for line in lines if bad[:8] in line]
    assert [line for line in lines if middle[:8] in line]

    # Its alias and its number are taken where a checkpoint is; the run says which network it was.
    quick = ("dataset=tiny", "baselines=[none]")
    before = {r.info.run_id for r in tracked(tmp_path, here("--version")).kind("evaluation")}
    here("evaluate", "checkpoint=models:/qmend@champion", *quick).succeeded()
    here("evaluate", "checkpoint=[models:/qmend/1,models:/qmend/3]", *quick).succeeded()
    tune = ("trainer=tiny", "trainer.max_epochs=1", "trainer.threads=1", "dataset=tiny")
    result = here("train", "checkpoint=models:/qmend/3", *tune).succeeded()
    found = tracked(tmp_path, result)
    scored = [r for r in found.kind("evaluation") if r.info.run_id not in before]
    networks = [r.data.tags.get("checkpoint_run") for r in scored]
    assert sorted(run for run in networks if run) == sorted([good, bad, middle])
    (tuned,) = [r for r in found.kind("train") if "checkpoint_run" in r.data.tags]
    assert tuned.data.tags["checkpoint_run"] == tuned.data.params["checkpoint"] == middle


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("promote",), ("qmend models promote", "required: RUN")),
        (("promote", "f" * 32), ("no run", "f" * 32)),
        (("promote", "models:/qmend/9"), ("models:/qmend/9", "qmend models list")),
        (("promote", "models:/qmend@"), ("models:/qmend@", "not of the form")),
        (("promote", "a", "--froce"), ("--froce", "Did you mean '--force'?")),
        (("list", "all"), ("'all'",)),
    ],
)
def test_what_makes_no_sense_is_refused(
    here: Command, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    here("models", *arguments).refused(*parts)
