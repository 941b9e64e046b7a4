"""The data contract: columns of a dataset's Parquet shards, one row a circuit."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.gates import GATE_CODE, GATES
from qmend.types import AnyArray, QmendError

#: Rises with every change of meaning; another version is refused on loading.
SCHEMA_VERSION = 3
#: Counts and distributions are stored densely up to this many measured bits.
MAX_DENSE_QUBITS = 10
#: Family, and in place of a split, of circuits that tell of their job's device and nothing else.
REFERENCE = "reference"

_INSTRUCTION = pa.struct(
    [
        ("gate", pa.dictionary(pa.int8(), pa.string())),
        ("first", pa.int8()),
        ("second", pa.int8()),
        ("angle", pa.float64()),
    ]
)
#: Distributions and counts are in the source circuit's bit order; instructions and layout in
#: chain order; ``measured`` joins the two. ``outcomes`` is null for dense rows; a sparse row's
#: counts and distributions belong to the outcomes that it lists. Of a circuit that was measured in
#: random compilations, ``instructions`` are those as compiled without them, ``counts`` the sum and
#: ``noisy_exact`` the mean, weighted by shots, over all. Null in imported data where
#: unknown: ``seed``, ``calibration_id``, ``executed_at``, ``noisy_exact``.
SCHEMA = pa.schema(
    [
        ("circuit_id", pa.string()),
        ("family", pa.string()),
        ("family_params", pa.string()),
        ("seed", pa.int64()),
        ("n_qubits", pa.int16()),
        ("device", pa.string()),
        ("calibration_id", pa.string()),
        ("layout", pa.list_(pa.int16())),
        ("instructions", pa.list_(_INSTRUCTION)),
        ("measured", pa.list_(pa.int16())),
        ("circuit_stage", pa.string()),
        ("depth", pa.int32()),
        ("n_two_qubit", pa.int32()),
        ("shots", pa.int64()),
        ("outcomes", pa.list_(pa.int64())),
        ("counts", pa.list_(pa.int64())),
        ("noisy_exact", pa.list_(pa.float64())),
        ("ideal", pa.list_(pa.float64())),
        ("source", pa.string()),
        ("job", pa.int32()),
        ("job_id", pa.string()),
        ("executed_at", pa.timestamp("us", tz="UTC")),
        ("split", pa.string()),
    ]
)
_CALIBRATION_SCHEMA = pa.schema(
    [
        ("calibration_id", pa.string()),
        ("device", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("calibration", pa.string()),
    ]
)


def instructions_column(table: InstructionTable) -> pa.ListArray:
    """Convert an instruction table to a nested column."""
    gate = pa.DictionaryArray.from_arrays(pa.array(table.gate, pa.int8()), pa.array(GATES))
    values = pa.StructArray.from_arrays(
        [
            gate,
            pa.array(table.first, pa.int8()),
            pa.array(table.second, pa.int8()),
            pa.array(table.angle, pa.float64()),
        ],
        fields=list(_INSTRUCTION),
    )
    return pa.ListArray.from_arrays(pa.array(table.offsets, pa.int32()), values)


def instruction_table(column: pa.ChunkedArray | pa.ListArray, n_qubits: int) -> InstructionTable:
    """Inverse of :func:`instructions_column`.

    Raises:
        QmendError: if a gate is unknown.
    """
    rows = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = np.asarray(rows.value_lengths())
    values = rows.flatten()
    gate = values.field("gate").cast(pa.string()).dictionary_encode()
    names = gate.dictionary.to_pylist()
    unknown = [n for n in names if n not in GATE_CODE]
    if unknown:
        raise QmendError(f"The data hold the gate {unknown[0]!r}, which is outside the native set.")
    codes = np.array([GATE_CODE[n] for n in names], dtype=np.int64)
    return InstructionTable(
        n_qubits,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        codes[np.asarray(gate.indices)] if len(codes) else np.zeros(0, dtype=np.int64),
        np.asarray(values.field("first")).astype(np.int64),
        np.asarray(values.field("second")).astype(np.int64),
        np.asarray(values.field("angle")),
    )


def rows_column(values: AnyArray, kind: pa.DataType) -> pa.ListArray:
    """Convert a (N, M) array to a column of lists."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.ascontiguousarray(values).reshape(-1), kind)
    )


def matrix(column: pa.ChunkedArray) -> AnyArray:
    """Convert a column of equally long lists to a (N, M) array.

    Raises:
        QmendError: if the lengths differ.
    """
    rows = column.combine_chunks()
    lengths = np.asarray(rows.value_lengths())
    if len(set(lengths.tolist())) > 1:
        raise QmendError(
            f"Rows of {len(set(lengths.tolist()))} different lengths can't be loaded together; "
            "select circuits of one register size."
        )
    return np.asarray(rows.flatten()).reshape(len(lengths), -1)


def calibrations_table(calibrations: Sequence[Calibration]) -> pa.Table:
    """``calibrations.parquet``: one row a snapshot, its values as JSON with units in the names."""
    return pa.Table.from_pydict(
        {
            "calibration_id": [c.calibration_id for c in calibrations],
            "device": [c.device for c in calibrations],
            "time": [c.time for c in calibrations],
            "calibration": [
                json.dumps(c.model_dump(mode="json"), sort_keys=True) for c in calibrations
            ],
        },
        schema=_CALIBRATION_SCHEMA,
    )


def read_calibrations(table: pa.Table) -> dict[str, Calibration]:
    """calibration_id -> snapshot.

    Raises:
        QmendError: if a snapshot has a bad value, or is not the one its id names.
    """
    calibrations = {}
    for row in table.to_pylist():
        name = row["calibration_id"]
        calibration = Calibration.parse(json.loads(row["calibration"]), name)
        if calibration.calibration_id != name:
            raise QmendError(f"Calibration {name} was changed after it was written.")
        calibrations[name] = calibration
    return calibrations
