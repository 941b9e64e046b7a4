"""``qmend study worlds``, on a few circuits and cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Command

from imported_dataset import import_records, measured_records
from qmend.datasets.table import Dataset
from qmend.tracking.store import artifact_folder, open_store

STUDY = ("study", "worlds")
RECIPE = (
    "dataset=worlds",
    "device=algiers_line",
    "device.layout=[0,1,2]",
    "dataset.family.n_qubits=3",
    "dataset.qubits=[2,3]",
    "dataset.measured_qubits=[1,3]",
    "dataset.circuits=120",
    "dataset.job_size=12",
    "dataset.calibrations.devices=10",
)
NETWORK = (
    "experiment=worlds_operator",
    "model.channels=4",
    "model.blocks=1",
    "online.circuits=24",
    "online.workers=0",
    "trainer.batch_size=24",
    "trainer.max_epochs=1",
    "trainer.threads=1",
)


def listed(name: str, texts: tuple[str, ...]) -> str:
    return f"{name}=[{','.join(map(repr, texts))}]"


FEW = (
    *STUDY,
    listed("recipe", RECIPE),
    listed("network", NETWORK),
    "~cells",
    "dataset.name=made",
    "data.workers=1",
)
WHOLE = "+cells.whole=[]"
#: Its network has no numbers of the device.
UNCONDITIONED = "+cells.unconditioned=['model.encoding=paths']"


@pytest.fixture
def measured(tiny: Dataset, tmp_path: Path) -> Path:
    """Some circuits as if they had been measured, in the directory of the datasets."""
    records = measured_records(tiny)[:12]
    for k, record in enumerate(records):
        record |= {"family": ("first", "second")[k % 2], "job_id": f"job {k % 3}"}
    return import_records(records, tmp_path / "data" / "made")


def test_each_cell_is_scored_in_the_same_worlds_and_on_hardware(
    here: Command, tmp_path: Path, measured: Path
) -> None:
    study = (*FEW, WHOLE, UNCONDITIONED, "references=[0,3]")
    out = here(*study).succeeded().out
    figures = json.loads(out.splitlines()[-1])
    assert list(figures) == ["whole", "unconditioned"]
    whole, unconditioned = figures.values()
    assert list(whole) == list(unconditioned) == ["worlds", "K = 0", "K = 3"]
    assert set(whole["worlds"]) == {"l1rc_median", "harmed_pct"}
    assert whole["K = 0"] != whole["K = 3"]
    assert unconditioned["K = 0"] == unconditioned["K = 3"]
    assert set(whole["K = 0"]) == {"all", "spread", "pooled", "harmed_pct"}
    folder = tmp_path / "reports" / "worlds"
    names = ["figures.json", "page.md", "table.md", "worlds.png", "worlds.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    header, _, first, _ = (folder / "table.md").read_text().splitlines()
    assert header.startswith("| cell | worlds: median L1RC [95 %] | worlds: harmed % | K = 0: all ")
    name, median = first.split()[1], float(first.split()[3])
    assert name == "whole"
    assert median == pytest.approx(whole["worlds"]["l1rc_median"][0], abs=6e-4)

    store = open_store(tmp_path / "mlruns")
    (parent,) = store.runs("tags.kind = 'study'")
    before = {run.info.run_id for run in store.runs()}
    again = json.loads(here(*study).succeeded().out.splitlines()[-1])
    assert again == figures
    assert {run.info.run_id for run in store.runs()} == before
    cells = json.loads((artifact_folder(parent) / "cells.json").read_text())
    trained = [cell["status"] for cell in cells if "seed=-" not in cell["overrides"]]
    assert trained == ["reused", "reused"]


def test_networks_of_several_seeds_need_no_measurements(here: Command, tmp_path: Path) -> None:
    done = here(*FEW, WHOLE, "seeds=[0,1]", "hardware=false").succeeded()
    (places,) = json.loads(done.out.splitlines()[-1]).values()
    assert list(places) == ["worlds"]
    scored = open_store(tmp_path / "mlruns").runs("tags.kind = 'evaluation'")
    medians = [run.data.metrics["test/l1rc_median"] for run in scored]
    assert len(medians) == 2
    assert places["worlds"]["l1rc_median"][0] == pytest.approx(sum(medians) / 2, abs=1e-4)


def test_a_wrong_cell_is_refused_before_any_work(here: Command, tmp_path: Path) -> None:
    here(*FEW, WHOLE, "+cells.wrong=['model.widht=3']").refused("cells.wrong", "widht")
    own_noise = "+cells.fixed=['dataset/noise=surrogate_hardware','dataset.name=fixed']"
    here(*FEW, own_noise).refused("cells.fixed", "online.noise=randomized")
    same_name = "+cells.known=['dataset.noise.hidden_share=0']"
    here(*FEW, WHOLE, same_name).refused("cells.known", "hidden_share", "dataset.name")
    here(*FEW).refused("cells")
    assert list(tmp_path.iterdir()) == []
    here(*FEW, WHOLE, "dataset.name=none").refused("none")  # no measurements
    assert not (tmp_path / "mlruns").exists()


def test_every_shipped_cell_is_composed(here: Command) -> None:
    """The study ends at measurements that are not there, after all cells."""
    here(*STUDY, "dataset.name=none").refused("none")
