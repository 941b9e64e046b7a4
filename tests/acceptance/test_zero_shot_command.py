"""``qmend study zero_shot``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

STUDY = (
    "study",
    "zero_shot",
    "families=[pauli,vqe]",
    "devices=[torino]",
    'recipe=["dataset=small","dataset.circuits=120","dataset.job_size=12","dataset.shots=2000"]',
    'trained=["experiment=walsh_operator","trainer.max_epochs=1","train_circuits=60"]',
    "data.workers=1",
)


def test_networks_trained_and_not_stand_beside_each_other(here: Command, tmp_path: Path) -> None:
    figures = json.loads(here(*STUDY).succeeded().out.splitlines()[-1])
    assert list(figures) == ["pauli torino", "vqe torino"]
    rows = {"trained on each", "pretrained", "pretrained, guarded", "none", "path_inversion"}
    for pair in figures.values():
        assert set(pair) == rows
        assert [name for name in pair if "applied_pct" in pair[name]] == ["pretrained, guarded"]
        assert pair["pretrained"]["l1rc_median"][0] < -0.2
    folder = tmp_path / "reports" / "zero_shot"
    names = ["figures.json", "page.md", "table.md", "zero_shot.png", "zero_shot.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    store = open_store(tmp_path / "mlruns")
    trained = {
        run.data.params["dataset.family.name"]: run.info.run_id
        for run in store.runs("tags.kind = 'train'")
    }
    assert set(trained) == {"pauli", "vqe"}
    assert json.loads(here(*STUDY).succeeded().out.splitlines()[-1]) == figures
    again = {run.info.run_id for run in store.runs("tags.kind = 'train'")}
    assert again == set(trained.values())  # reused


def test_a_wrong_pair_is_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "families=[pauly]").refused("families pauly, devices torino", "pauli")
    here(*STUDY, 'trained=["model=mlp","model.blocks=2"]').refused("families pauli", "blocks")
    here(*STUDY, "checkpoint=[]").refused("checkpoint")
    assert list(tmp_path.iterdir()) == []
