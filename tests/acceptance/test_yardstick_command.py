"""``qmend study yardstick``, on a few circuits and cells."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.datasets.table import load_dataset
from qmend.tracking.store import artifact_folder, open_store

SMALL = ("model=blind_mlp", "model.width=8", "trainer=tiny", "trainer.threads=1")
FEW = (
    "dataset=tiny",
    "data.workers=1",
    "train_circuits=24",
    "seeds=[0,1]",
    "baselines=[none,path_inversion]",
    "~cells",
    "~other_data",
    f"+cells.small=[{','.join(map(repr, SMALL))},'loss=kl,l1']",
    f"+cells.blind_mlp_l1=[{','.join(map(repr, SMALL))},'train_circuits=null']",
    "+cells.walsh_operator_relative_l1=['experiment=walsh_operator','trainer.max_epochs=1',"
    "'model.channels=4','model.blocks=1','train_circuits=null']",
    "+other_data.hanoi=['dataset=tiny','device=hanoi','baselines=none']",
)


def test_a_study_is_made_once_and_goes_on(here: Command, tmp_path: Path) -> None:
    done = here("study", "yardstick", *FEW).succeeded()
    assert "walsh_operator_relative_l1 average of 2" in done.out
    folder = tmp_path / "reports" / "yardstick"
    rows = {row["name"]: row for row in json.loads((folder / "tiny_algiers.json").read_text())}
    averages = {f"{name} average of 2" for name in ("blind_mlp_l1", "walsh_operator_relative_l1")}
    plain = {
        "none",
        "path_inversion",
        "small_kl",
        "small_l1",
        "blind_mlp_l1",
        "walsh_operator_relative_l1",
    }
    assert set(rows) == plain | averages
    assert rows["none"]["figures"]["l1rc_median"]["value"] == 0
    seeds = rows["walsh_operator_relative_l1"]["seeds"]
    assert len(seeds) == 2
    assert rows["walsh_operator_relative_l1"]["figures"]["l1rc_median"]["value"] == sum(seeds) / 2
    table = (folder / "tiny_algiers.md").read_text().splitlines()
    assert len(table) == 3 + len(rows)  # two of the heading, the reference
    elsewhere = json.loads((folder / "hanoi.json").read_text())
    assert {row["name"] for row in elsewhere} == {*averages_without(averages), "none"}

    store = open_store(tmp_path / "mlruns")
    (parent,) = store.runs("tags.kind = 'study'")
    trained = store.runs("tags.kind = 'train'")
    assert len(trained) == 8
    assert {run.data.tags["mlflow.parentRunId"] for run in trained} == {parent.info.run_id}
    cells = json.loads((artifact_folder(parent) / "cells.json").read_text())
    assert {cell["status"] for cell in cells} == {"finished"}
    assert ["cell=small_l1", "seed=1"] in [cell["overrides"] for cell in cells]

    before = {run.info.run_id for run in store.runs()}
    again = here("study", "yardstick", *FEW).succeeded()
    assert "walsh_operator_relative_l1 average of 2" in again.out
    assert {run.info.run_id for run in store.runs()} == before
    cells = json.loads((artifact_folder(parent) / "cells.json").read_text())
    assert {c["status"] for c in cells if "seed=-" not in c["overrides"]} == {"reused"}

    # The cells are runs of `qmend train`: found and run again as such.
    command = ("train", "-m", "dataset=tiny", *SMALL, "train_circuits=24", "loss=kl,l1", "seed=0,1")
    assert "4 reused" in here(*command, "resume=true").succeeded().out
    (small,) = [run for run in trained if run.info.run_name == "small_l1 seed 1"]
    verdict = here("runs", "reproduce", small.info.run_id).succeeded().out
    assert "all" in verdict.partition("The metrics agree: ")[2]


def test_a_stopped_study_repeats_no_finished_cell(here: Command, tmp_path: Path) -> None:
    """A training that was there before, one that fails, and one that is new."""
    alone = ("train", "dataset=tiny", *SMALL, "train_circuits=24", "loss=kl", "seed=1")
    here(*alone, "data.workers=1").succeeded()
    store = open_store(tmp_path / "mlruns")
    (first,) = store.runs("tags.kind = 'train'")
    cells = f"+cells.small=[{','.join(map(repr, SMALL))},'loss=kl']"
    broken = "+cells.broken=['experiment=walsh_operator','checkpoint=nobody']"
    common = ("dataset=tiny", "train_circuits=24", "baselines=[none]", "transferred=[]", "~cells")
    study = ("study", "yardstick", *common, "data.workers=1", "~other_data", cells)
    failed = here(*study, broken, "seeds=[0,1]")
    failed.refused("2 of 5 cells failed", "cell=broken", "nobody", "tries the failed", code=3)
    assert "small" in failed.out
    (parent,) = store.runs("tags.kind = 'study'")
    assert parent.info.status == "FAILED"
    records = json.loads((artifact_folder(parent) / "cells.json").read_text())
    statuses = {record["overrides"][1]: record["status"] for record in records[:2]}
    assert statuses == {"seed=0": "finished", "seed=1": "reused"}
    assert records[1]["run_id"] == first.info.run_id
    reused = store.client.get_run(first.info.run_id)
    assert reused.data.tags["reused_by"] == parent.info.run_id


def test_networks_transfer_to_circuits_that_measure_some_of_their_qubits(
    here: Command, tmp_path: Path
) -> None:
    """A network of fixed size can't read them, and the study says so."""
    partial = (
        "+other_data.partial=['dataset=tiny','dataset.name=partial','dataset.seed=1',"
        "'dataset.circuits=60','dataset.measured_qubits=[2,4]','baselines=none']"
    )
    quick = ("seeds=[0]", "baselines=[]", "~other_data.hanoi", "~cells.small", partial)
    study = ("study", "yardstick", *FEW, *quick)
    here(*study, "transferred=[walsh_operator_relative_l1]").succeeded()
    dataset = load_dataset(tmp_path / "data" / "partial_algiers")
    sizes = {(group.circuits.n_qubits, group.circuits.n_measured) for group in dataset.groups}
    assert sizes <= {(5, 2), (5, 3), (5, 4)}
    board = json.loads((tmp_path / "reports" / "yardstick" / "partial.json").read_text())
    figures = {row["name"]: row["figures"]["l1rc_median"]["value"] for row in board}
    assert set(figures) == {"none", "walsh_operator_relative_l1"}
    assert -1 < figures["walsh_operator_relative_l1"] < figures["none"] == 0
    here(*study).refused("cell=partial", "trained on 5 qubits, all measured", code=3)


def averages_without(names: set[str]) -> set[str]:
    return {name.removesuffix(" average of 2") for name in names}


def test_wrong_studies_are_refused_before_work(here: Command, tmp_path: Path) -> None:
    here("study", "yardstick", "transferred=[nobody]").refused("transferred", "nobody")
    here("study", "yardstick", *FEW, "+cells.bad=['model=blind']").refused("cells.bad", "model")
    here("study", "yardstick", *FEW, "+cells.bad=['device=hanoi']").refused("cells.bad", "device")
    here("study", "yardstick", *FEW, "+cells.small_l1=['loss=l1']").refused("'small_l1'")
    assert list(tmp_path.iterdir()) == []
    here("study", "yardstick", *FEW, "train_circuits=100000").refused("train_circuits")
