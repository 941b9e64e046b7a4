"""Load trained networks, and the measured rows that they can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qmend.datasets.circuits import fill_missing
from qmend.datasets.table import Dataset, load_dataset, loadable_sizes
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
        networks: none: rows of any size are taken.
        n_qubits: of the rows; None: the size of most rows among those that all networks take.

    Raises:
        QmendError: if a network can't take such rows.
    """
    n_qubits, notes = _choose_size(folder, networks, n_qubits)
    dataset = load_dataset(folder, n_qubits)
    if not networks:
        return dataset, notes
    first = networks[0]
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
    notes += [f"Skipped {count:,} rows: {reason}." for reason, count in dataset.skipped.items()]
    filled = fill_missing(dataset.rows.circuits, first.model.encoding.mean_calibration)
    if filled.rows:
        whose = "the model's" if len(networks) == 1 else f"the {first.name}'s"
        notes.append(
            f"{filled.values:,} calibration values of {filled.rows:,} of {len(dataset.rows):,} "
            f"rows are not known: means of {whose} training data stand in for them."
        )
    return replace(dataset, rows=replace(dataset.rows, circuits=filled.circuits)), notes


def _choose_size(
    folder: Path, networks: Sequence[LoadedNetwork], n_qubits: int | None
) -> tuple[int | None, list[str]]:
    """Choose the number of qubits of the scored rows; note the others that could be."""
    sizes = loadable_sizes(folder)
    fixed = next((n for n in networks if not n.model.network.any_size), None)
    if fixed is not None:  # all fixed ones are of one size
        own = fixed.model.dimensions.n_qubits
        trained = f"{fixed.name} was trained on {own} qubits"
        if n_qubits not in (None, own):
            raise QmendError(
                f"{trained} and can't take rows of {n_qubits}; choose n_qubits={own} where the "
                "data have such circuits, or another model."
            )
        if sizes and own not in sizes:
            raise QmendError(
                f"{trained} and takes no others, but the circuits of {folder} are on "
                f"{', '.join(map(str, sorted(sizes)))}; score a network trained on as many, or one "
                "that takes any number (model=walsh_operator)."
            )
        return own, []
    if n_qubits is not None or not sizes:
        return n_qubits, []
    size, *others = sizes
    further = [f"n_qubits={other} ({sizes[other]:,})" for other in others]
    note = f"Scored: circuits on {size} qubits, as most rows are. Others: {', '.join(further)}."
    return size, [note] if further else []
