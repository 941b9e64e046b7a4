"""Fixtures that several test files share; each is made once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset, load_dataset
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.devices.providers import runtime_calibration
from qmend.evaluation.scores import reference
from qmend.generation.generate import generate
from qmend.mitigation.baselines import STANDARD_BASELINES
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.tracking import directory
from qmend.tracking.directory import make_database
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.config import TrainingConfig

# A shell that starts the tests in the background has interrupts ignored, in all children, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SHORT = {
    "loss": {"name": "l1"},
    "optimizer": {"lr": 3e-3},
    "trainer": {"max_epochs": 3, "batch_size": 24, "threads": 1},
}
_SIZES = {"latents": 2, "width": 8, "depth": 1, "cross_heads": 2, "self_heads": 2}
TRAININGS = {
    "blind_mlp": TrainingConfig(model={"name": "blind_mlp", "width": 8}, **_SHORT),
    "physics_perceiver": TrainingConfig(model={"name": "physics_perceiver", **_SIZES}, **_SHORT),
}


#: Folders whose tests start commands, and wait for them.
_LONG = ("acceptance", "tuning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that began last would keep a single processor busy at the end."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG)


class _Files(LoadScopeScheduling):
    """A file's tests share a process, as do those of all files that look at the one demo."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])


@cache
def _group(file: str) -> str:
    text = (Path(__file__).parents[1] / file).read_text()
    return "demo" if "demo: Tracked" in text else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Which tests a process gets."""
    return _Files(config, log)


@pytest.fixture(scope="session", autouse=True)
def _copied_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes a database by fifty migrations, in a second: each new store gets a copy of one.

    The tests of ``tests/tracking`` undo this.
    """
    template = tmp_path_factory.mktemp("database") / "mlflow.db"

    def copy(path: Path) -> None:
        if not template.exists():
            make_database(template)
        shutil.copy(template, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "make_database", copy)
        yield


@pytest.fixture(autouse=True)
def _own_live_calibrations() -> Iterator[None]:
    """A live backend that one test replaced is unknown to the next."""
    yield
    runtime_calibration.cache_clear()


@pytest.fixture(scope="session")
def device_config() -> DeviceConfig:
    """ibm_algiers on the paper's chain."""
    return DeviceConfig(name="algiers", backend="FakeAlgiers", layout=(0, 1, 2, 3, 5))


@pytest.fixture(scope="session")
def algiers(device_config: DeviceConfig) -> Device:
    return load_device(device_config)


@pytest.fixture(scope="session")
def tiny_config() -> DatasetConfig:
    """96 Pauli circuits in 24 jobs and 3 shards."""
    return DatasetConfig(
        name="tiny",
        family={"name": "pauli", "n_qubits": 5, "gadgets_min": 2, "gadgets_max": 6},
        circuits=96,
        job_size=4,
        jobs_per_shard=8,
        shots=2000,
        seed=7,
    )


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_config: DatasetConfig,
    device_config: DeviceConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A generated dataset; read only: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    generate(tiny_config, device_config, folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Dataset:
    return load_dataset(tiny_folder)


@pytest.fixture(scope="session")
def partly_measured(
    tiny_config: DatasetConfig,
    device_config: DeviceConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Dataset:
    """The circuits of ``tiny``, of which each job measures 2 to 5 qubits."""
    folder = tmp_path_factory.mktemp("partly") / "tiny"
    generate(tiny_config.model_copy(update={"measured_qubits": (2, 5)}), device_config, folder)
    return load_dataset(folder)


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """The dataset's files, free to be damaged."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A tracking store that many tests log to."""
    return open_store(tmp_path_factory.mktemp("tracking") / "mlruns")


@pytest.fixture(scope="session")
def random_distributions() -> Callable[[int, int], np.ndarray]:
    """(rows, n_qubits) -> distributions far from uniform, without symmetry between qubits."""

    def draw(rows: int, n_qubits: int) -> np.ndarray:
        return np.random.default_rng(rows).dirichlet(np.full(2**n_qubits, 0.3), size=rows)

    return draw


@pytest.fixture(scope="session")
def trainings() -> dict[str, TrainingConfig]:
    """The configs of the board's trainings, by the name of their run."""
    return TRAININGS


@pytest.fixture(scope="session")
def board(tiny: Dataset, store: Store) -> Leaderboard:
    """All baselines and two short trainings, scored and tracked under one parent run."""
    with start_run(store, "board", {"kind": "demo"}, {}) as parent:
        context = Context(store, tiny, parent=parent.run_id)
        entries = [run_baseline(context, kind(), {"seed": 0}) for kind in STANDARD_BASELINES]
        for name in ("blind_mlp", "physics_perceiver"):
            entries.append(run_training(context, name, TRAININGS[name], {"seed": 0, "name": name}))
    return Leaderboard.of(entries, reference(context.scored))
