"""``qmend study architectures``, on a few circuits and cells."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

FEW = (
    "dataset=tiny",
    "train_circuits=24",
    "seeds=[0,1]",
    "baselines=[none,path_inversion]",
    "~cells",
    "~elsewhere",
    "+cells.small='model=blind_mlp model.width=8 trainer=tiny trainer.threads=1'",
    "+elsewhere.hanoi='dataset=tiny device=hanoi baselines=none'",
    "whole.blind_mlp_l1='model=blind_mlp model.width=8 trainer=tiny trainer.threads=1'",
    "whole.walsh_operator_relative_l1="
    "'experiment=walsh_operator trainer.max_epochs=1 model.channels=4 model.blocks=1'",
)


def test_a_study_is_made_once_and_goes_on(here: Command, tmp_path: Path) -> None:
    done = here("study", "architectures", *FEW).succeeded()
    assert "walsh_operator_relative_l1 average of 2" in done.out
    folder = tmp_path / "reports" / "architectures"
    rows = {row["name"]: row for row in json.loads((folder / "tiny_algiers.json").read_text())}
    averages = {f"{name} average of 2" for name in ("blind_mlp_l1", "walsh_operator_relative_l1")}
    plain = {"none", "path_inversion", "small", "blind_mlp_l1", "walsh_operator_relative_l1"}
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
    before = {run.info.run_id for run in store.runs()}
    trained = store.runs("tags.kind = 'train'")
    assert len(trained) == 6
    again = here("study", "architectures", *FEW).succeeded()
    assert "walsh_operator_relative_l1 average of 2" in again.out
    (study,) = {run.info.run_id for run in store.runs()} - before
    assert store.client.get_run(study).data.tags["kind"] == "study"


def averages_without(names: set[str]) -> set[str]:
    return {name.removesuffix(" average of 2") for name in names}


def test_wrong_studies_are_refused_before_work(here: Command, tmp_path: Path) -> None:
    here("study", "architectures", "carried=[nobody]").refused("carried", "nobody")
    here("study", "architectures", *FEW, "+cells.bad='model=blind'").refused("model")
    here("study", "architectures", *FEW, "train_circuits=100000").refused("train_circuits")
