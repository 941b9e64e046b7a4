"""``qmend study cross_family``, on a few circuits of two families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Command

from qmend.tracking.store import open_store

SMALL = '"model=walsh_operator","model.channels=4","model.blocks=1","trainer=tiny"'
STUDY = (
    "study",
    "cross_family",
    "families=[pauli,vqe]",
    'scale.data=["dataset=tiny","dataset.circuits=120"]',
    "~scale.models",
    f"+scale.models={{operator: [{SMALL}]}}",
    "models=[operator]",
    "expert_model=operator",
    "train_circuits=80",
    'one=["trainer.max_epochs=2"]',
    'expert=["trainer.max_epochs=2"]',
    "data.workers=1",
    "workers=1",
)


def test_each_family_and_the_mixture_are_trained_on_and_tested(
    here: Command, tmp_path: Path
) -> None:
    out = here(*STUDY).succeeded().out
    folder = tmp_path / "reports" / "cross_family"
    names = ["experts", "figures.json", "heat_map.png", "heat_map.svg", "page.md", "table.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    figures = json.loads((folder / "figures.json").read_text())
    assert list(figures) == ["pauli", "vqe"]
    trained = {"operator, pauli", "operator, vqe", "operator, mixed"}
    for rows in figures.values():
        assert set(rows) == {*trained, "path_inversion"}
    # The operator starts as the calibration's own inverse, whatever it is trained on.
    assert all(rows[name]["l1rc_median"][0] < -0.2 for rows in figures.values() for name in trained)

    pairs = json.loads((folder / "experts" / "figures.json").read_text())
    assert {setting: list(each) for setting, each in pairs.items()} == {
        "known": ["pauli", "vqe", "all"],
        "left out": ["pauli", "vqe", "all"],
    }
    assert [pairs["left out"][f]["expert_of"] for f in ("pauli", "vqe")] == ["vqe", "pauli"]
    for each in pairs["known"].values():
        value, lo, hi = each["difference"]
        assert lo <= value <= hi
        assert value == pytest.approx(each["experts"] - each["one"], abs=2e-4)
    assert "Families known: an expert per family behind an oracle" in out
    assert ("A learned gate could do no better" in out) != ("small learned gate" in out)

    store = open_store(tmp_path / "mlruns")
    trained_runs = store.runs("tags.kind = 'train'")
    assert len(trained_runs) == 3 + 2 + 3
    weights = sorted(int(run.data.metrics["cost/parameters"]) for run in trained_runs)
    assert weights[-1] == pytest.approx(2 * weights[0], rel=0.1)


def test_wrong_values_are_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "families=[pauli,vqa]").refused("families: unknown family 'vqa'", "vqe")
    here(*STUDY, "families=[pauli]").refused("families")
    here(*STUDY, "expert_model=expert").refused("'expert' is none of scale=small", "operator")
    here(*STUDY, 'expert=["model.block=2"]').refused("expert, pauli", "blocks")
    here(*STUDY, '+scale.models.blind=["model=blind_mlp"]', "expert_model=blind").refused(
        "blind_mlp has no channels", "walsh_operator"
    )
    assert list(tmp_path.iterdir()) == []
