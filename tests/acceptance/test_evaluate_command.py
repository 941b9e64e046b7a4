"""`qmend evaluate`: the same figures again, and clear words where there is no model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commandline import Command, Tracked, tracked
from mlflow.entities import Run

from qmend.mitigation.baselines import BASELINES

#: The key that names what is evaluated.
KEY = "checkpoint"


def physics(demo: Tracked) -> Run:
    (found,) = [r for r in demo.runs if r.info.run_name == "physics_perceiver"]
    return found


@pytest.fixture
def checkpoint(demo: Tracked, tmp_path: Path) -> Path:
    """A copy of the demo's best model."""
    source = demo.artifacts(physics(demo), "model")
    return Path(shutil.copytree(source, tmp_path / "checkpoint"))


@pytest.mark.parametrize("by", ["run", "folder"])
def test_a_model_scores_as_it_did_after_its_training(
    demo: Tracked, here: Command, checkpoint: Path, by: str
) -> None:
    trained = physics(demo)
    which = trained.info.run_id if by == "run" else str(checkpoint)
    before = {r.info.run_id for r in tracked(demo.folder, demo.result).runs}
    result = here("evaluate", f"{KEY}={which}", "dataset=tiny", folder=demo.folder).succeeded()
    runs = [r for r in tracked(demo.folder, result).runs if r.info.run_id not in before]
    assert {r.info.status for r in runs} == {"FINISHED"}
    (scored,) = [r for r in runs if r.data.tags.get("architecture") == "physics_perceiver"]
    assert scored.data.metrics["test/l1rc_median"] == trained.data.metrics["test/l1rc_median"]
    assert scored.data.metrics["test/tv"] == trained.data.metrics["test/tv"]
    assert scored.data.tags["checkpoint_run"] == trained.info.run_id
    assert scored.data.tags["loss"] == "l1"
    assert "shot-noise reference" in result.out
    assert "trained on other data" not in result.out


def test_no_such_run(demo: Tracked, here: Command) -> None:
    nothing = "0123456789abcdef" * 2
    here("evaluate", f"{KEY}={nothing}", "dataset=tiny", folder=demo.folder).refused(
        nothing, "qmend runs list"
    )


def test_a_run_without_a_model(demo: Tracked, here: Command) -> None:
    (run, *_) = demo.kind("baseline")
    here("evaluate", f"{KEY}={run.info.run_id}", "dataset=tiny", folder=demo.folder).refused(
        run.info.run_id, "qmend runs list"
    )


def test_neither_a_run_nor_a_folder(here: Command) -> None:
    here("evaluate", f"{KEY}=no_model", "dataset=tiny").refused("no_model", "qmend runs list")


def test_a_folder_without_a_checkpoint(here: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    here("evaluate", f"{KEY}=empty", "dataset=tiny").refused(
        "empty", "model.safetensors", "check the path"
    )


def test_a_checkpoint_of_another_version(here: Command, checkpoint: Path) -> None:
    path = checkpoint / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "checkpoint_version": 99}))
    here("evaluate", f"{KEY}={checkpoint}", "dataset=tiny").refused(
        str(checkpoint), "version 99", "train the model again"
    )


def test_truncated_weights(here: Command, checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    here("evaluate", f"{KEY}={checkpoint}", "dataset=tiny").refused(str(checkpoint), "train")


def test_a_damaged_description(here: Command, checkpoint: Path) -> None:
    path = checkpoint / "model.json"
    path.write_text(path.read_text()[:50])
    here("evaluate", f"{KEY}={checkpoint}", "dataset=tiny").refused("model.json", "train")


@pytest.mark.parametrize("part", ["config", "dimensions", "encoding", "provenance"])
def test_a_description_without_a_part(here: Command, checkpoint: Path, part: str) -> None:
    path = checkpoint / "model.json"
    description = json.loads(path.read_text())
    del description[part]
    path.write_text(json.dumps(description))
    here("evaluate", f"{KEY}={checkpoint}", "dataset=tiny").refused(str(checkpoint), "train")


def test_an_architecture_that_is_not_known(here: Command, checkpoint: Path) -> None:
    path = checkpoint / "model.json"
    description = json.loads(path.read_text())
    description["config"]["name"] = "transformer"
    path.write_text(json.dumps(description))
    here("evaluate", f"{KEY}={checkpoint}", "dataset=tiny").refused("'transformer'")


# Several checkpoints, and the baselines beside them


def blind(demo: Tracked) -> Run:
    (found,) = [r for r in demo.runs if r.info.run_name == "blind_mlp"]
    return found


def test_several_models_and_their_average_beside_all_baselines(
    demo: Tracked, here: Command
) -> None:
    """Each scores as it did alone, on the circuits that all others are scored on."""
    trained = [physics(demo), blind(demo)]
    before = {r.info.run_id for r in tracked(demo.folder, demo.result).runs}
    result = here(
        "evaluate",
        f"{KEY}=[{trained[0].info.run_id},{trained[1].info.run_id}]",
        "ensemble=true",
        "baselines=all",
        "dataset=tiny",
        folder=demo.folder,
    ).succeeded()
    runs = [r for r in tracked(demo.folder, result).runs if r.info.run_id not in before]
    assert {r.info.status for r in runs} == {"FINISHED"}
    by_architecture = {
        r.data.tags["architecture"]: r.data for r in runs if "architecture" in r.data.tags
    }
    assert set(by_architecture) == {*BASELINES, "physics_perceiver", "blind_mlp", "ensemble"}
    for run in trained:
        found = by_architecture[run.data.tags["architecture"]].metrics
        assert found["test/l1rc_median"] == run.data.metrics["test/l1rc_median"]
    ensemble = by_architecture["ensemble"]
    assert ensemble.metrics["cost/parameters"] == sum(
        run.data.metrics["cost/parameters"] for run in trained
    )
    ids = [run.info.run_id for run in trained]
    assert ensemble.tags["checkpoint_run"] == "+".join(ids)
    assert ensemble.tags["head"] == "residual"
    assert by_architecture["zne_linear"].metrics["cost/shots_factor"] == 3
    marked = {name for name, run in by_architecture.items() if run.tags["simulates"] == "true"}
    assert marked == {"probabilistic_inversion"}
    said = " ".join(result.out.split())
    assert "ensemble of 2" in said
    assert "11x" in said
    assert "† simulates its circuits" in said
    verdicts = re.findall(r"(\S+ \S+ \S+) (?:beats|does not beat) ", said)
    assert set(verdicts) == {"ensemble of 2"}
    assert "beats probabilistic_inversion" not in said


def test_models_of_one_kind_are_told_apart(demo: Tracked, here: Command, checkpoint: Path) -> None:
    result = here(
        "evaluate",
        f"{KEY}=[{physics(demo).info.run_id},{checkpoint}]",
        "baselines=[none]",
        "dataset=tiny",
        folder=demo.folder,
    ).succeeded()
    for number in (1, 2):
        assert f"physics_perceiver #{number} " in result.out
    assert "readout_inversion" not in result.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("baselines=[none,zne_liner]",), ("'zne_liner'", "Did you mean 'zne_linear'?")),
        (("baselines=[none,none]",), ("none more than once",)),
        (("ensemble=true",), ("ensemble=true", "checkpoint=[")),
        ((f"{KEY}=[a,a]",), ("a more than once",)),
        ((f"{KEY}=[]", "baselines=[]"), (KEY, "nothing to score")),
    ],
    ids=["unknown", "baseline twice", "one alone", "model twice", "nothing"],
)
def test_a_choice_that_makes_no_sense(
    here: Command, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    given = arguments if arguments[0].startswith(KEY) else (f"{KEY}=a", *arguments)
    here("evaluate", *given, "dataset=tiny").refused(*parts)
