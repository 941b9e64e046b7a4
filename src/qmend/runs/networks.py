"""Load trained networks, and the measured rows that they can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qmend.datasets.circuits import fill_missing
from qmend.datasets.table import Dataset, load_dataset
from qmend.encodings import ENCODINGS
from qmend.gates import GATES
from qmend.mitigation.guard import Guard
from qmend.models.trained import TrainedModel
from qmend.tracking.store import Store
from qmend.training.checkpoint import WEIGHTS, checkpoint_folder, load_checkpoint
from qmend.types import QmendError


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network with its provenance, its name in tables, and its guard if it has one."""

    model: TrainedModel
    provenance: Mapping[str, Any]
    name: str
    guard: Guard | None = None


def load_networks(store: Store, checkpoints: Sequence[str]) -> list[LoadedNetwork]:
    """Load checkpoints, each under a name that no other has.

    Raises:
        QmendError: if one can't be read, or they can't be scored on the same circuits.
    """
    folders = [checkpoint_folder(store, name) for name in checkpoints]
    loaded = [load_checkpoint(folder) for folder in folders]
    guards = [Guard.beside(folder / WEIGHTS) for folder in folders]
    fixed = [model for model, _ in loaded if not model.network.any_size]
    sizes = sorted({model.dimensions.n_qubits for model in fixed})
    if len(sizes) > 1:
        raise QmendError(
            f"The checkpoints were trained on {' and '.join(map(str, sizes))} qubits and can't be "
            "scored on the same circuits; evaluate them apart."
        )
    kinds = [model.config.name for model, _ in loaded]
    names = [
        kind if kinds.count(kind) == 1 else f"{kind} #{kinds[: k + 1].count(kind)}"
        for k, kind in enumerate(kinds)
    ]
    return [
        LoadedNetwork(*each, name, guard)
        for each, name, guard in zip(loaded, names, guards, strict=True)
    ]


def readable_rows(
    folder: Path, networks: Sequence[LoadedNetwork], n_qubits: int | None
) -> tuple[Dataset, list[str]]:
    """Read the rows that all networks take, with notes on others.

    Args:
        networks: none: all rows are taken.
        n_qubits: of the rows; None: any number.

    Raises:
        QmendError: if there is no such row.
    """
    dataset = _of_sizes(load_dataset(folder, n_qubits), networks)
    if not networks:
        return dataset, []
    for encoding in dict.fromkeys(network.model.encoding.name for network in networks):
        foreign = set(GATES) - set(ENCODINGS[encoding].gates)
        tables = [group.circuits.instructions for group in dataset.groups]
        readable = [np.flatnonzero(table.count(*foreign) == 0) for table in tables]
        if not any(map(len, readable)):
            raise QmendError(
                f"{folder} has no circuit whose gates the {encoding} encoding of the model has a "
                "place for; score a model with encoding=token."
            )
        dataset = dataset.select(readable, f"gates that the {encoding} encoding lacks")
    notes = [f"Skipped {count:,} rows: {reason}." for reason, count in dataset.skipped.items()]
    first = networks[0]
    mean = first.model.encoding.mean_calibration
    filled = [fill_missing(group.circuits, mean) for group in dataset.groups]
    if rows := sum(each.rows for each in filled):
        whose = "the model's" if len(networks) == 1 else f"the {first.name}'s"
        notes.append(
            f"{sum(each.values for each in filled):,} calibration values of {rows:,} of "
            f"{len(dataset):,} rows are not known: means of {whose} training data stand in for "
            "them."
        )
    pairs = zip(dataset.groups, filled, strict=True)
    groups = tuple(replace(group, circuits=each.circuits) for group, each in pairs)
    return replace(dataset, groups=groups), notes


def _of_sizes(dataset: Dataset, networks: Sequence[LoadedNetwork]) -> Dataset:
    """Select the groups whose size all networks take."""
    indices = []
    for group in dataset.groups:
        size = group.circuits.n_qubits, group.circuits.n_measured
        taken = all(network.model.mitigates(*size) for network in networks)
        indices.append(np.arange(len(group) if taken else 0))
    if any(map(len, indices)):
        return dataset.select(indices, "of another size, or not all qubits measured")
    # All networks of fixed size are of one size.
    fixed = next(n for n in networks if not n.model.network.any_size)
    sizes = sorted({group.circuits.n_qubits for group in dataset.groups})
    raise QmendError(
        f"{fixed.name} was trained on {fixed.model.dimensions.n_qubits} qubits, all measured, and "
        f"takes no others, but the circuits of {dataset.folder} are on "
        f"{', '.join(map(str, sizes))}; score a network trained on as many, or one that takes any "
        "number (model=walsh_operator)."
    )
