"""The data contract's columns: each comes back as it was written."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.schema import (
    SCHEMA,
    calibrations_table,
    instruction_table,
    instructions_column,
    matrix,
    read_calibrations,
    rows_column,
)
from qmend.types import QmendError

CIRCUITS = [
    [("rz", 2, -1, 1.25), ("cx", 0, 2, 0.0)],
    [],
    [("ecr", 1, 0, 0.0), ("id", 2, -1, 0.0), ("cz", 2, 1, 0.0)],
    [("sx", 0, -1, 0.0), ("x", 1, -1, 0.0), ("rz", 1, -1, -np.pi)],
]


@pytest.fixture
def column() -> pa.ListArray:
    return instructions_column(InstructionTable.from_circuits(3, CIRCUITS))


def circuits(table: InstructionTable) -> list:
    return [table.circuit(k) for k in range(len(table))]


def test_instructions_are_readable_without_this_package(column):
    """Plain nested rows with gate names, so that anyone can rebuild the circuit."""
    assert [
        [(i["gate"], i["first"], i["second"], i["angle"]) for i in row]
        for row in column.to_pylist()
    ] == CIRCUITS


def test_instructions_come_back_from_a_file(column, tmp_path):
    pq.write_table(pa.table({"instructions": column}), tmp_path / "x.parquet")
    stored = pq.read_table(tmp_path / "x.parquet")["instructions"]
    assert circuits(instruction_table(stored, 3)) == CIRCUITS


def test_instructions_come_back_from_chunks_and_slices(column):
    """Shards are read as chunks; their gate dictionaries may differ."""
    parts = pa.chunked_array([column.slice(2, 2), column.slice(0, 1), column.slice(1, 1)])
    assert circuits(instruction_table(parts, 3)) == [CIRCUITS[k] for k in (2, 3, 0, 1)]
    assert circuits(instruction_table(column.slice(1, 2), 3)) == CIRCUITS[1:3]


def test_only_empty_circuits(column):
    assert circuits(instruction_table(column.slice(1, 1), 3)) == [[]]


def test_a_gate_outside_the_native_set_is_named(column):
    rows = column.to_pylist()
    rows[0][0]["gate"] = "toffoli"
    foreign = pa.array(rows, column.type)
    with pytest.raises(QmendError, match="gate 'toffoli', which is outside the native set"):
        instruction_table(foreign, 3)


def test_matrices_come_back():
    values = np.arange(12).reshape(4, 3)
    stored = pa.chunked_array(
        [rows_column(values[:1], pa.int64()), rows_column(values[1:], pa.int64())]
    )
    np.testing.assert_array_equal(matrix(stored), values)
    transposed = rows_column(np.arange(6).reshape(2, 3).T, pa.int16())
    assert transposed.to_pylist() == [[0, 3], [1, 4], [2, 5]]


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(QmendError, match="2 different lengths can't be loaded together"):
        matrix(pa.chunked_array([pa.array([[1, 2], [3]])]))


COLUMNS = """
circuit_id family family_params seed n_qubits device calibration_id layout instructions measured
circuit_stage depth n_two_qubit shots outcomes counts noisy_exact ideal source job job_id
executed_at split
"""


def test_shards_have_the_columns_of_the_contract(tiny_folder):
    assert COLUMNS.split() == SCHEMA.names
    for path in tiny_folder.glob("circuits-*.parquet"):
        assert pq.read_schema(path).remove_metadata().equals(SCHEMA)


def test_calibrations_come_back(algiers):
    table = calibrations_table([algiers.calibration])
    assert read_calibrations(table) == {algiers.calibration.calibration_id: algiers.calibration}


def test_a_calibration_that_was_changed_is_refused(algiers):
    table = calibrations_table([algiers.calibration])
    plain = json.loads(table["calibration"][0].as_py())
    plain["qubits"][0]["t1_us"] *= 1.001
    index = table.schema.get_field_index("calibration")
    table = table.set_column(index, "calibration", pa.array([json.dumps(plain)]))
    with pytest.raises(QmendError, match="was changed after it was written"):
        read_calibrations(table)
