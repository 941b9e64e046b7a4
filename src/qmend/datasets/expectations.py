"""Datasets of expectation values: their columns, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.manifest import Manifest, check_files, read_manifest
from qmend.datasets.schema import SCHEMA, instruction_table, matrix
from qmend.datasets.stored_rows import EXPECTATIONS, read_rows
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

#: Columns that these data share with the table of circuits.
_SHARED = (
    "circuit_id", "family", "family_params", "n_qubits", "device", "calibration_id", "layout",
    "instructions", "measured", "circuit_stage", "depth", "n_two_qubit",
)  # fmt: skip
#: ``observables`` are labels of Z and I on the classical bits, bit 0 rightmost; ``measured`` says
#: which chain position each is read from. ``shots`` are those of each observable.
#: ``extrapolated_values``, the source's own zero-noise extrapolation, is null where it has none.
EXPECTATIONS_SCHEMA = pa.schema(
    [
        *(SCHEMA.field(name) for name in _SHARED),
        ("observables", pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        ("shots", pa.int64()),
        ("values", pa.list_(pa.float64())),
        ("extrapolated_values", pa.list_(pa.float64())),
        ("ideal_values", pa.list_(pa.float64())),
        *(SCHEMA.field(name) for name in ("source", "job", "job_id", "executed_at", "split")),
    ]
)
#: Name of the shards, beside which there are no others in the folder.
EXPECTATIONS_SHARD = EXPECTATIONS + "-{}.parquet"


@dataclass(frozen=True)
class Expectations:
    """A table of expectation values.

    Attributes:
        instructions: the circuits, all of one register size.
        layouts: (N, n) physical qubit at each chain position.
        measured: (N, bits) chain position behind each classical bit.
        observables: labels of Z and I on the classical bits, bit 0 rightmost; of all rows.
        values, ideal_values: (N, K) measured, and without noise.
        extrapolated_values: (N, K) the source's zero-noise extrapolation, None if it has none.
        shots: (N,) of each observable.
        job_id: (N,) strings.
        n_two_qubit: (N,).
    """

    folder: Path
    manifest: Manifest
    instructions: InstructionTable
    layouts: IntArray
    measured: IntArray
    observables: tuple[str, ...]
    values: FloatArray
    ideal_values: FloatArray
    extrapolated_values: FloatArray | None
    shots: IntArray
    job_id: AnyArray
    n_two_qubit: IntArray

    def __len__(self) -> int:
        return len(self.instructions)


def load_expectations(folder: Path) -> Expectations:
    """Read a dataset of expectation values whose files match their hashes.

    Raises:
        QmendError: if the folder holds counts, files are missing or altered, or the rows have
            different sizes or observables.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    shards = [entry for entry in manifest.shards if entry.file.startswith(EXPECTATIONS)]
    if not shards:
        raise QmendError(f"{folder} holds counts, not expectation values; use load_dataset.")
    table = read_rows(folder, shards)
    sizes = sorted(set(table["n_qubits"].to_pylist()))
    if len(sizes) > 1:
        raise QmendError(
            f"{folder} has circuits on {', '.join(map(str, sizes))} qubits, which can't be loaded "
            "together; import each size into a dataset of its own."
        )
    labels = {tuple(row) for row in table["observables"].to_pylist()}
    if len(labels) > 1:
        raise QmendError(f"{folder} has rows of {len(labels)} different lists of observables.")
    extrapolated = table["extrapolated_values"]
    values = {name: matrix(table[name]) for name in ("values", "ideal_values")}
    if not all(np.isfinite(v).all() for v in values.values()):
        raise QmendError(f"{folder} has an expectation value that is not finite.")
    return Expectations(
        folder=folder,
        manifest=manifest,
        instructions=instruction_table(table["instructions"], sizes[0]),
        layouts=matrix(table["layout"]).astype(np.int64),
        measured=matrix(table["measured"]).astype(np.int64),
        observables=next(iter(labels)),
        values=values["values"],
        ideal_values=values["ideal_values"],
        extrapolated_values=None if extrapolated.null_count else matrix(extrapolated),
        shots=np.asarray(table["shots"]).astype(np.int64),
        job_id=np.array(table["job_id"].to_pylist()),
        n_two_qubit=np.asarray(table["n_two_qubit"]).astype(np.int64),
    )
