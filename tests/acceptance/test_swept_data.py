"""A multirun whose cells would make different data in one directory is refused before work."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import Command

TRAIN = ("train", "-m", "dataset=tiny")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((*TRAIN, "dataset.shots=500,1000"), ["shots", "'dataset.name=tiny_${dataset.shots}'"]),
        ((*TRAIN, "dataset.seed=${seed}", "seed=1,2"), ["'dataset.name=tiny_${dataset.seed}'"]),
        (
            (*TRAIN, "dataset/noise=aer,surrogate_hardware", "data.replace=true", "seed=0,1"),
            ["'dataset.name=tiny_${dataset.noise.name}'"],
        ),
        (
            ("tune", "-m", "dataset=tiny", "dataset.split.by=job,time", "dataset.shots=9,8"),
            ["'dataset.name=tiny_${dataset.split.by}_${dataset.shots}'"],
        ),
        (
            ("data", "generate", "-m", "device.layout=[0,1,2,3,5],[1,2,3,5,8]"),
            ["device.layout", "data/demo_algiers", "one at a time"],
        ),
        (
            ("study", "yardstick", "dataset=tiny",
             "+other_data.few=['dataset=tiny','dataset.shots=9']"),
            ["dataset.shots", "'dataset.name=tiny_${dataset.shots}'"],
        ),
    ],
)  # fmt: skip
def test_cells_that_would_replace_each_other_s_data_are_refused(
    here: Command, tmp_path: Path, arguments: tuple[str, ...], parts: list[str]
) -> None:
    here(*arguments).refused(*parts)
    assert list(tmp_path.iterdir()) == []


def test_the_name_that_is_proposed_keeps_them_apart(here: Command, tmp_path: Path) -> None:
    few = ("dataset=tiny", "dataset.circuits=30", "data.workers=1")
    name = "dataset.name=tiny_${dataset.shots}"
    here("data", "generate", "-m", *few, "dataset.shots=20,30", name).succeeded()
    made = {path.name for path in (tmp_path / "data").iterdir() if path.is_dir()}
    assert made == {"tiny_20_algiers", "tiny_30_algiers"}
