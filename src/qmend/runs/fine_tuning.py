"""Fine-tuning on imported measurements: their rows, and the simulated circuits among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException

from qmend.config.spellings import current_form
from qmend.datasets.config import DatasetConfig, recipe_configs
from qmend.datasets.measured import source_circuits
from qmend.datasets.table import Dataset
from qmend.devices.device import DeviceConfig, resolve
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.noise.config import NoiseConfig, read_noise
from qmend.runs.evaluation import check_unseen_measurements
from qmend.runs.networks import LoadedNetwork, readable_rows
from qmend.runs.reading import read_config
from qmend.tracking.store import Store
from qmend.training.checkpoint import Checkpoint
from qmend.training.config import OnlineConfig
from qmend.training.online import OnlineSource
from qmend.types import QmendError, Split

#: Fewer source circuits teach their own distributions, not the device.
LEAST_CIRCUITS = 30
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Measurements:
    """Imported rows that a network is fine-tuned on.

    Attributes:
        dataset: of the rows that the network takes, missing calibration values filled.
        notes: a sentence on each limit.
        replay: source of the simulated circuits among them; None: there are none.
    """

    dataset: Dataset
    notes: tuple[str, ...]
    replay: OnlineSource | None


def load_measurements(
    store: Store,
    folder: Path,
    parent: Checkpoint,
    *,
    train_circuits: int | None,
    val_circuits: int | None = None,
    replay: int,
    seed: int,
    force: bool,
) -> Measurements:
    """Read imported rows to fine-tune a network on, and find out what to replay among them.

    Args:
        parent: the network.
        train_circuits, val_circuits: see :meth:`qmend.datasets.table.Dataset.shortened`.
        replay: simulated circuits for each measured one of the training split; 0: none.
        seed: of the training.
        force: whether few source circuits will do.

    Raises:
        QmendError: if the network takes no row or has seen test rows, a split is empty, the
            training split has fewer than :data:`LEAST_CIRCUITS` source circuits, or the recipe of
            the network's training data is not known.
    """
    network = LoadedNetwork(*parent, parent.model.config.name)
    dataset, notes = readable_rows(folder, [network], None)
    check_unseen_measurements(parent.provenance, dataset.manifest)
    dataset = dataset.shortened(train_circuits, val_circuits)
    rows = {split: sum(map(len, dataset.parts(split))) for split in _SPLITS}
    circuits = _train_circuits(dataset)
    if circuits < LEAST_CIRCUITS and not force:
        raise QmendError(
            f"The training split of {folder} has {circuits} different circuits, and a network that "
            f"is fine-tuned on fewer than {LEAST_CIRCUITS} mostly gets worse: measure more, use "
            "the checkpoint as it is, or give force=true."
        )
    source = None
    if replay:
        source = replay_source(store, parent.provenance, replay * rows["train"], seed)
        notes.append(
            f"Each epoch has {rows['train']:,} measured and {source.options.circuits:,} simulated "
            f"circuits, these by the recipe of {source.circuits.dataset.name}."
        )
    return Measurements(dataset, tuple(notes), source)


def _train_circuits(dataset: Dataset) -> int:
    """Count the source circuits of the training split."""
    fingerprint = source_circuits(dataset.folder)
    ids = np.concatenate([part.circuit_id for part in dataset.parts("train")])
    return len({fingerprint[name] for name in ids.tolist()})


def replay_source(
    store: Store, provenance: Mapping[str, Any], circuits: int, seed: int
) -> OnlineSource:
    """Simulate circuits by the recipe of the data that a network was last trained on.

    Args:
        provenance: of the network.
        circuits: of each epoch.
        seed: of the training.

    Raises:
        QmendError: as :func:`trained_recipe`, with a way out.
    """
    try:
        recipe = trained_recipe(store, provenance, seed)
    except QmendError as error:
        way_out = "train the network again, or give fine_tune.replay=0"
        raise QmendError(f"{str(error).rstrip('.')}; {way_out}.") from None
    options = OnlineConfig.of(circuits=circuits, noise="dataset", with_stored=True)
    return OnlineSource(options, OnlineCircuits.of_recipe(*recipe, seed))


def trained_recipe(
    store: Store, provenance: Mapping[str, Any], seed: int
) -> tuple[DatasetConfig, DeviceConfig, NoiseConfig]:
    """Read the recipe of the data that a network was last trained on, to simulate more.

    That is its own, or that of the last network before it which was trained on simulated data. The
    noise is that of the training: drawn anew where it was, else the dataset's.

    Args:
        provenance: of the network.
        seed: that the noise is drawn from.

    Raises:
        QmendError: if there is no such recipe, or it names no device.
    """
    for origin in (provenance, *provenance.get("ancestors", ())):
        recipe = origin.get("recipe")
        if isinstance(recipe, Mapping) and "noise" in recipe:
            break
    else:
        raise QmendError(
            "The checkpoint does not say by which recipe its training data were simulated."
        )
    device = origin.get("device") or _logged_device(store, origin)
    dataset, device_config = recipe_configs({"dataset": recipe, "device": device})
    return dataset, device_config, _noise_of(origin.get("fresh"), dataset, seed)


def _logged_device(store: Store, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Read the device of a checkpoint that does not name it from its tracked run."""
    try:
        config = read_config(store, store.client.get_run(str(origin.get("run_id"))))
        device = DeviceConfig.model_validate(config["device"])
    except (MlflowException, QmendError, KeyError):
        raise QmendError(
            "The checkpoint does not say on which device its training data were simulated, and "
            f"its run is not in the store {store.root}."
        ) from None
    return resolve(device).model_dump(mode="json")


def _noise_of(fresh: Mapping[str, Any] | None, dataset: DatasetConfig, seed: int) -> NoiseConfig:
    """Build the noise that a network was trained under.

    Args:
        fresh: what its provenance says of circuits simulated meanwhile; None: there were none.
    """
    if fresh is None and dataset.noise.constants != "draw":
        return dataset.noise
    options = current_form({} if fresh is None else fresh["options"], "online")
    choice = options.get("noise", "dataset")
    if fresh is not None and choice not in ("dataset", "randomized"):
        return read_noise(current_form(fresh["noise"], "noise"))
    return online_noise(choice, tuple(options.get("strength", (0.0, 0.0))), dataset, seed)
