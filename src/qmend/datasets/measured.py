"""Measured rows by source circuit and device, with those that measure some qubits only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qmend.datasets.manifest import Manifest
from qmend.datasets.stored_rows import by_size, dense_rows, read_distributions
from qmend.datasets.table import LabelledCircuits, labelled_rows
from qmend.types import AnyArray, QmendError


@dataclass(frozen=True)
class MeasuredRows:
    """Rows of one number of qubits, and of one number of measured ones.

    Attributes:
        rows: with labels.
        circuit: (N,) fingerprint of each source circuit.
        family, device: (N,) strings.
    """

    rows: LabelledCircuits
    circuit: AnyArray
    family: AnyArray
    device: AnyArray

    def __len__(self) -> int:
        return len(self.rows)


def load_measured(
    folder: Path, max_bits: int, families: Mapping[str, Sequence[str]]
) -> tuple[Manifest, list[MeasuredRows]]:
    """Read the imported rows with at most so many measured bits, grouped by their numbers.

    Args:
        families: name -> families that count as one under it; others keep their own.

    Raises:
        QmendError: if the dataset was not imported, can't be read, or has no such row.
    """
    manifest, table = _read_imported(folder)
    renamed = {member: name for name, members in families.items() for member in members}
    bits = np.asarray(pc.list_value_length(table["measured"]))
    wanted = dense_rows(table) & (bits <= max_bits)
    if not wanted.any():
        raise QmendError(f"{folder} has no row with at most {max_bits} measured bits.")
    groups = []
    parts = by_size(table.filter(pa.array(wanted)))
    for part, rows in zip(parts, labelled_rows(parts, folder), strict=True):
        params = [json.loads(text) for text in part["family_params"].to_pylist()]
        names = [renamed.get(name, name) for name in part["family"].to_pylist()]
        groups.append(
            MeasuredRows(
                rows,
                np.array([each["circuit"] for each in params]),
                np.array(names),
                np.array(part["device"].to_pylist()),
            )
        )
    return manifest, groups


def source_circuits(folder: Path) -> dict[str, str]:
    """Map the id of each imported circuit to the fingerprint of its source circuit.

    Raises:
        QmendError: if the dataset was not imported, or can't be read.
    """
    _, table = _read_imported(folder)
    params = [json.loads(text) for text in table["family_params"].to_pylist()]
    return dict(zip(table["circuit_id"].to_pylist(), (p["circuit"] for p in params), strict=True))


def _read_imported(folder: Path) -> tuple[Manifest, pa.Table]:
    manifest, table = read_distributions(folder)
    if manifest.origin != "imported":
        raise QmendError(
            f"{folder} was {manifest.origin}, not imported, and does not name its source circuits; "
            "choose an imported dataset, or score this one with `qmend evaluate`."
        )
    return manifest, table
