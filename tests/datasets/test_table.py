"""Reading a dataset: arrays in chain order, damage refused by name."""

import json

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch, check_distributions
from qmend.datasets.table import load_dataset
from qmend.types import QmendError
from reference import qiskit_circuit, rewrite_shard, stored_rows


def test_rows_are_what_the_files_hold(tiny, tiny_folder):
    stored = stored_rows(tiny_folder)
    rows = tiny.rows
    table = rows.circuits.instructions
    assert len(rows) == len(stored) == 96
    assert [table.circuit(k) for k in range(96)] == [r["gates"] for r in stored]
    assert rows.circuit_id.tolist() == [r["circuit_id"] for r in stored]
    assert rows.job_id.tolist() == [r["job_id"] for r in stored]
    assert tiny.split.tolist() == [r["split"] for r in stored]
    assert rows.circuits.measured.tolist() == [r["measured"] for r in stored]
    assert rows.depth.tolist() == [r["depth"] for r in stored]
    assert rows.n_two_qubit.tolist() == [r["n_two_qubit"] for r in stored]
    assert (tiny.family, tiny.device, tiny.source) == ("pauli", "ibm_algiers", "simulated")


def test_distributions_are_in_chain_order(tiny, tiny_folder):
    """Ideal equals the statevector of the instructions as they stand, without any mapping."""
    for k, row in enumerate(stored_rows(tiny_folder)):
        expected = Statevector(qiskit_circuit(row["gates"], 5)).probabilities()
        np.testing.assert_allclose(tiny.rows.ideal[k], expected, rtol=0, atol=2**-24)


def test_counts_and_noise_move_with_their_bits(tiny, tiny_folder):
    """Source bit b lies at chain position measured[b]; followed for each outcome by hand."""
    for k, row in enumerate(stored_rows(tiny_folder)[:10]):
        for outcome in range(32):
            chain = sum(((outcome >> b) & 1) << row["measured"][b] for b in range(5))
            assert tiny.rows.circuits.noisy[k, chain] == row["counts"][outcome] / 2000
            assert tiny.rows.noisy_exact[k, chain] == row["noisy_exact"][outcome]


def test_parts_are_the_splits(tiny):
    for name in ("train", "val", "test"):
        part = tiny.part(name)
        index = np.flatnonzero(tiny.split == name)
        assert part.circuit_id.tolist() == tiny.rows.circuit_id[index].tolist()
        np.testing.assert_array_equal(part.ideal, tiny.rows.ideal[index])
        np.testing.assert_array_equal(part.circuits.noisy, tiny.rows.circuits.noisy[index])
        last = part.circuits.instructions.circuit(len(part) - 1)
        assert last == tiny.rows.circuits.instructions.circuit(int(index[-1]))


def edit_manifest(folder, **fields) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def bit_flip(folder, name="circuits-00001.parquet") -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))


def truncate(folder) -> None:
    path = folder / "circuits-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (bit_flip, r"circuits-00001\.parquet does not match its hash"),
        (truncate, r"circuits-00002\.parquet does not match its hash"),
        (
            lambda f: (f / "circuits-00000.parquet").unlink(),
            r"circuits-00000\.parquet is missing; run .* data\.replace=true",
        ),
        (
            lambda f: bit_flip(f, "calibrations.parquet"),
            r"calibrations\.parquet does not match its hash",
        ),
        (lambda f: (f / "manifest.json").unlink(), "holds no complete dataset"),
        (lambda f: (f / "manifest.json").write_text("{"), r"manifest\.json is damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), r"manifest\.json is damaged"),
        (lambda f: edit_manifest(f, shards=3), r"manifest\.json is damaged"),
        (
            lambda f: edit_manifest(f, schema_version=99),
            "schema version 99, this package reads 3: make it anew",
        ),
    ],
)
def test_a_damaged_folder_is_refused_by_name(tiny_copy, damage, message):
    damage(tiny_copy)
    with pytest.raises(QmendError, match=message):
        load_dataset(tiny_copy)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("counts", lambda v: [v[0] + 1, *v[1:]], "counts of row 32 do not add up to its shots"),
        ("counts", lambda v: [-1, v[1] + v[0] + 1, *v[2:]], "counts of row 32 do not add up"),
        ("ideal", lambda v: [p * 1.1 for p in v], "ideal distribution of circuit 32 sums to 1.1"),
        ("ideal", lambda v: [float("nan"), *v[1:]], "ideal distribution of circuit 32 is not fin"),
        ("noisy_exact", lambda v: [float("nan"), *v[1:]], "exact noisy distribution is not finite"),
        ("layout", lambda v: [0, 1, 2, 3, 4], "has no qubit 4"),
    ],
)
def test_values_that_cannot_be_are_refused(tiny_copy, name, change, message):
    """Even where the hashes fit."""
    values = [row[name] for row in stored_rows(tiny_copy)[32:64]]
    values[0] = change(values[0])
    rewrite_shard(tiny_copy, 1, {name: values})
    with pytest.raises(QmendError, match=message):
        load_dataset(tiny_copy)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5, 0.5], [0.5, np.nan]], "noisy distribution of circuit 1 is not finite at outcome 1"),
        ([[0.5, 0.5], [1.1, -0.1]], r"circuit 1 is negative at outcome 1 \(-0.1\)"),
        ([[0.5, 0.4], [0.5, 0.5]], "circuit 0 sums to 0.9, not 1; divide counts by their shots"),
        ([[500.0, 500.0], [0.5, 0.5]], "circuit 0 sums to 1000"),
    ],
)
def test_what_is_no_distribution_is_refused(values, message):
    with pytest.raises(QmendError, match=message):
        check_distributions(np.array(values), "noisy")


def test_sizes_must_fit(algiers):
    table = InstructionTable.from_circuits(2, [[("x", 0, -1, 0.0)]])

    def batch(noisy, layout=(0, 1)) -> CircuitBatch:
        one = np.array([0])
        return CircuitBatch(
            table, noisy, one + 9, (layout,), (algiers.calibration,), one, np.arange(2)[None]
        )

    assert len(batch(np.full((1, 4), 0.25))) == 1
    with pytest.raises(QmendError, match=r"need \(1, 4\); check the length of the bitstrings"):
        batch(np.full((1, 8), 0.125))
    with pytest.raises(QmendError, match=r"layout \[0, 1, 2\] names 3 qubits, the circuits have 2"):
        batch(np.full((1, 4), 0.25), (0, 1, 2))
