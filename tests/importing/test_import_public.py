"""The tracked public data are what their pages say, proven from their own instructions."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from qmend import metrics
from qmend.datasets.expectations import load_expectations
from qmend.datasets.manifest import read_manifest
from qmend.datasets.table import load_dataset
from qmend.importing.bit_order import MeasuredCounts, check_bit_order
from qmend.importing.orders import Bits
from qmend.importing.verify import verify_imported
from reference import measured_probabilities, qiskit_circuit, stored_rows

DATA = Path(__file__).parents[2] / "data"
HARDWARE, TROTTER = DATA / "hardware_public", DATA / "algiers_trotter"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return stored_rows(HARDWARE)


@pytest.fixture(scope="module")
def trotter():
    return load_expectations(TROTTER)


@pytest.mark.parametrize(("folder", "count"), [(HARDWARE, 1295), (TROTTER, 1412)])
def test_every_row_is_proven(folder, count):
    found = verify_imported(folder)
    assert found.rows == count
    assert found.difference < 1e-12


@pytest.mark.parametrize("folder", [HARDWARE, TROTTER])
def test_they_are_small_and_say_whose_they_are(folder):
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 1_000_000
    sources = read_manifest(folder).recipe["imported"]["sources"]
    text = (folder / "README.md").read_text()
    for source in sources:
        assert source["source"].startswith("https://github.com/")
        assert source["source"].split()[0] in text
        assert source["licence"].split(" ")[0] in text
        assert source["attribution"] in text
    assert len(list((folder / "licences").iterdir())) == len(sources)


def test_distributions_again_by_qiskit(rows):
    """One row of each circuit; the deepest, of minutes, are left to the proof above."""
    seen = set()
    for row in rows:
        if row["circuit_id"] in seen or len(row["gates"]) > 400:
            continue
        seen.add(row["circuit_id"])
        circuit = qiskit_circuit(row["gates"], row["n_qubits"])
        own = measured_probabilities(circuit, row["measured"])
        np.testing.assert_allclose(own, row["ideal"], atol=1e-10)
    assert len(seen) > 60


def test_counts_come_in_the_order_that_is_said(rows):
    given = [
        MeasuredCounts(
            json.loads(row["family_params"])["record"],
            json.loads(row["family_params"])["circuit"],
            Bits.of(len(row["measured"])),
            {k: float(c) for k, c in enumerate(row["counts"]) if c},
            np.array(row["ideal"]),
        )
        for row in rows
    ]
    check = check_bit_order(given)
    assert check.telling == 965
    assert list(check.doubtful) == ["hw01316"]
    assert check.better == {}


def test_what_a_model_of_each_size_can_take(rows):
    whole = Counter(r["n_qubits"] for r in rows if len(r["measured"]) == r["n_qubits"])
    assert whole == {2: 61, 3: 107, 4: 317, 5: 18, 6: 13, 7: 10}
    data = load_dataset(HARDWARE)
    assert len(data) == 1295
    assert data.skipped == {}
    assert data.source == "hardware"
    assert all(group.noisy_exact is None for group in data.groups)
    sizes = {(g.circuits.n_qubits, g.circuits.n_measured): len(g) for g in data.groups}
    assert {n: rows for (n, m), rows in sizes.items() if n == m} == whole
    assert sizes[4, 2] == 666


def test_an_error_of_a_marginal_is_that_of_its_expectation_value(trotter):
    rows = load_dataset(TROTTER).rows
    assert (rows.circuits.n_qubits, rows.circuits.n_measured) == (4, 1)
    found = np.sort(metrics.l1(rows.circuits.noisy, rows.ideal))
    wanted = np.sort(np.abs(trotter.values - trotter.ideal_values).reshape(-1))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_expectation_values_are_of_the_bits_that_are_said(trotter):
    """<Z> of each classical bit by Qiskit, following the measurements; measured ones agree.

    106 circuits measure qubits 1, 0, 3, 2: taken in the order of the qubits they would be wrong.
    """
    assert trotter.observables == ("IIIZ", "IIZI", "IZII", "ZIII")
    crossed = np.flatnonzero((trotter.measured != np.arange(4)).any(axis=1))
    assert len(crossed) == 106
    for k in [*crossed[:20], *range(0, len(trotter), 60)]:
        state = Statevector(qiskit_circuit(trotter.instructions.circuit(k), 4))
        for bit in range(4):
            z = SparsePauliOp.from_sparse_list([("Z", [int(trotter.measured[k, bit])], 1)], 4)
            assert state.expectation_value(z).real == pytest.approx(
                trotter.ideal_values[k, bit], abs=1e-6
            )
    values, ideal = trotter.values[crossed], trotter.ideal_values[crossed]
    as_said = np.abs(values - ideal).mean()
    by_qubit = np.abs(values[:, [1, 0, 3, 2]] - ideal).mean()
    assert as_said < 0.12 < by_qubit


def test_the_noise_of_the_second_is_what_was_published(trotter):
    ideal, measured = trotter.ideal_values.ravel(), trotter.values.ravel()
    assert (ideal * measured).sum() / (ideal**2).sum() == pytest.approx(0.757, abs=5e-4)
    assert np.abs(ideal - measured).mean() == pytest.approx(0.089, abs=5e-4)
    assert set(trotter.n_two_qubit.tolist()) <= set(range(8, 63))
