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
from qmend.models.trained import TrainedModel
from qmend.tracking.store import Store
from qmend.training.checkpoint import checkpoint_folder, load_checkpoint
from qmend.types import QmendError


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network with its provenance, and its name in tables."""

    model: TrainedModel
    provenance: Mapping[str, Any]
    name: str


def load_networks(store: Store, checkpoints: Sequence[str]) -> list[LoadedNetwork]:
    """Load checkpoints, each under a name that no other has.

    Raises:
        QmendError: if one can't be read, or they can't be scored on the same circuits.
    """
    loaded = [load_checkpoint(checkpoint_folder(store, name)) for name in checkpoints]
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
    return [LoadedNetwork(*each, name) for each, name in zip(loaded, names, strict=True)]


def readable_rows(
    folder: Path, networks: Sequence[LoadedNetwork], n_qubits: int | None
) -> tuple[Dataset, list[str]]:
    """Read the rows that all networks take, with notes on others.

    Args:
        networks: none: all rows are read.
        n_qubits: of the rows; None: as many as the first model was trained on.

    Raises:
        QmendError: if a model can't take such rows.
    """
    if not networks:
        return load_dataset(folder, n_qubits), []
    first = networks[0]
    n_qubits = n_qubits or first.model.dimensions.n_qubits
    for network in networks:
        if not network.model.mitigates(n_qubits):
            own = network.model.dimensions.n_qubits
            raise QmendError(
                f"{network.name} was trained on {own} qubits and can't take rows of {n_qubits}; "
                f"choose n_qubits={own} where the data have such circuits, or another model."
            )
    dataset = load_dataset(folder, n_qubits)
    for encoding in dict.fromkeys(network.model.encoding.name for network in networks):
        taken = set(ENCODINGS[encoding].gates)
        gates = dataset.rows.circuits.instructions.count(*set(GATES) - taken)
        readable = np.flatnonzero(gates == 0)
        if not len(readable):
            raise QmendError(
                f"{folder} has no circuit on {n_qubits} qubits whose gates the "
                f"{encoding} encoding of the model has a place for; score a model with "
                "encoding=token."
            )
        dataset = dataset.select(readable, f"gates that the {encoding} encoding lacks")
    notes = [f"Skipped {count:,} rows: {reason}." for reason, count in dataset.skipped.items()]
    filled = fill_missing(dataset.rows.circuits, first.model.encoding.mean_calibration)
    if filled.rows:
        whose = "the model's" if len(networks) == 1 else f"the {first.name}'s"
        notes.append(
            f"{filled.values:,} calibration values of {filled.rows:,} of {len(dataset.rows):,} "
            f"rows are not known: means of {whose} training data stand in for them."
        )
    return replace(dataset, rows=replace(dataset.rows, circuits=filled.circuits)), notes
