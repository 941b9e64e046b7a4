"""Expectation values of single qubits as distributions of one measured bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from qmend.datasets.schema import SCHEMA, rows_column
from qmend.types import AnyArray, FloatArray, IntArray, QmendError


def marginal_rows(table: pa.Table) -> pa.Table:
    """Make a row of circuits for each measured <Z> of a qubit: its circuit, one measured bit.

    P(0) = (1 + <Z>) / 2, and counts are the nearest whole numbers to P shots. Values of several
    qubits are left out. The number of the bit ends the ``circuit_id``.

    Args:
        table: rows of ``EXPECTATIONS_SCHEMA``.

    Raises:
        QmendError: if no value is of a single qubit.
    """
    labels = table["observables"].to_pylist()
    single = [
        (row, column, label[::-1].index("Z"))
        for row, of_row in enumerate(labels)
        for column, label in enumerate(of_row)
        if label.count("Z") == 1
    ]
    if not single:
        raise QmendError("The data hold no expectation value of a single qubit.")
    row, column, bit = np.array(single, dtype=np.int64).T
    repeated = table.take(pa.array(row))
    shots = np.asarray(repeated["shots"]).astype(np.int64)
    of_one = _distributions(_entries(table["values"], row, column))
    zeros = np.rint(of_one[:, 0] * shots).astype(np.int64)
    ids = zip(repeated["circuit_id"].to_pylist(), bit.tolist(), strict=True)
    measured = _entries(table["measured"], row, bit)
    columns = {
        **{name: repeated[name] for name in SCHEMA.names if name in repeated.column_names},
        "circuit_id": pa.array([f"{name}-{position}" for name, position in ids]),
        "seed": pa.nulls(len(row), pa.int64()),
        "measured": rows_column(measured[:, None], pa.int16()),
        "outcomes": pa.nulls(len(row), SCHEMA.field("outcomes").type),
        "counts": rows_column(np.stack([zeros, shots - zeros], axis=1), pa.int64()),
        "noisy_exact": pa.nulls(len(row), SCHEMA.field("noisy_exact").type),
        "ideal": rows_column(
            _distributions(_entries(table["ideal_values"], row, column)), pa.float64()
        ),
    }
    return pa.Table.from_pydict({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def _entries(column: pa.ChunkedArray, row: IntArray, place: IntArray) -> AnyArray:
    """(M,) one entry each of lists of any lengths: the ``place``-th of list ``row``."""
    lists = column.combine_chunks()
    lengths = np.asarray(lists.value_lengths())
    entries: AnyArray = np.asarray(lists.flatten())[(np.cumsum(lengths) - lengths)[row] + place]
    return entries


def _distributions(values: FloatArray) -> FloatArray:
    """(N, 2) distributions of a bit with <Z> values (N,)."""
    z = np.clip(values, -1.0, 1.0)
    return np.stack([(1 + z) / 2, (1 - z) / 2], axis=1)
