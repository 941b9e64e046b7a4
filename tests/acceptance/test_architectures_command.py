"""``qmend study architectures`` and ``search``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

FEW = (
    "data.workers=1",
    'scale.data=["dataset=tiny"]',
    "~scale.models",
    '+scale.models={blind: ["model=blind_mlp","trainer=tiny"], '
    'operator: ["model=walsh_operator","model.channels=4","model.blocks=1","trainer=tiny"]}',
    "models=[blind,operator]",
    "families=[pauli]",
    "repeated.pauli=[operator]",
    "seeds=[0,1]",
)


def test_each_model_is_trained_three_ways(here: Command, tmp_path: Path) -> None:
    study = ("study", "architectures", *FEW)
    here(*study).succeeded()
    figures = json.loads((tmp_path / "reports/architectures/pauli/figures.json").read_text())
    assert {column: set(rows) for column, rows in figures.items()} == {
        "simulated": {"blind", "operator", "none", "path_inversion"},
        "simulated, on surrogate": {"blind", "operator"},
        "surrogate only": {"blind", "operator", "none", "path_inversion"},
        "fine-tuned": {"blind", "operator"},
    }
    operator = {column: rows["operator"]["l1rc_median"][0] for column, rows in figures.items()}
    # Coherent errors are harder to undo than those of the calibration.
    assert operator["simulated"] < operator["surrogate only"] - 0.1
    store = open_store(tmp_path / "mlruns")
    trained = store.runs("tags.kind = 'train'")
    assert len(trained) == 3 * (1 + 2)
    by_id = {run.info.run_id: run for run in trained}
    tuned = [run for run in trained if "checkpoint" in run.data.params]
    children = [run for run in tuned if run.data.params["checkpoint"] in by_id]
    assert len(children) == 3
    for child in children:
        parent = by_id[child.data.params["checkpoint"]]
        assert child.data.params["seed"] == parent.data.params["seed"]
        assert child.data.params["dataset.name"] == "small_surrogate_pauli"
        assert parent.data.params["dataset.name"] == "small_simulated_pauli"
        rates = [float(run.data.params["optimizer.lr"]) for run in (child, parent)]
        assert abs(rates[0] / rates[1] - 0.1) < 1e-9
        kept = [k for k in parent.data.params if k.startswith(("model.", "loss.", "trainer.max"))]
        assert [child.data.params[k] for k in kept] == [parent.data.params[k] for k in kept]
    here(*study).succeeded()
    assert len(store.runs("tags.kind = 'train'")) == len(trained)


def test_a_family_without_data_is_refused(here: Command, tmp_path: Path) -> None:
    refused = here("study", "architectures", *FEW, "families=[vqe]")
    refused.refused("source.simulated_vqe", "dataset/family=vqe")
    assert list(tmp_path.iterdir()) == []


def test_searches_are_one_table_with_their_configs(here: Command, tmp_path: Path) -> None:
    quick = '"trainer.max_epochs=1","trainer.batch_size=64","tune.trials=2"'
    study = (
        "study",
        "search",
        "dataset=tiny",
        "data.workers=1",
        f'+searches.tiny=["model=blind_mlp","model.width=8",{quick}]',
        "models=[tiny]",
    )
    done = here(*study).succeeded()
    assert "study search" in done.out
    assert (tmp_path / "reports/search/table.md").read_text().splitlines()[2].startswith("| tiny |")
    best = tmp_path / "reports/search/tiny/experiment/best.yaml"
    assert "override /model: blind_mlp" in best.read_text()
    assert "dataset=tiny device=algiers" in best.read_text()
    store = open_store(tmp_path / "mlruns")
    trials = {run.info.run_id for run in store.runs("tags.kind = 'trial'")}
    assert len(trials) == 2
    here(*study).succeeded()
    assert {run.info.run_id for run in store.runs("tags.kind = 'trial'")} == trials
    here("study", "search", "models=[mlpp]").refused("mlpp", "mlp")
    here("study", "search", '+searches.bad=["model=mlpp"]', "models=[bad]").refused("searches.bad")
