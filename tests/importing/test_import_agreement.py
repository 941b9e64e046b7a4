"""Counts of another circuit are noticed; noise and few shots are not accused."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from qmend.cli.import_ import import_data
from qmend.datasets.expectations import load_expectations
from qmend.datasets.manifest import read_manifest
from qmend.importing.agreement import Agreement, agreement_of_counts, agreement_of_values
from reference import stored_rows

DATA = Path(__file__).parents[2] / "data"


def drawn(probabilities: np.ndarray, shots: int, seed: int) -> dict[int, int]:
    counts = np.random.default_rng(seed).multinomial(shots, probabilities / probabilities.sum())
    return {int(k): int(counts[k]) for k in np.flatnonzero(counts)}


def misread(probabilities: np.ndarray, up: float, down: float) -> np.ndarray:
    """Each bit is read as 1 instead of 0 with ``up``, as 0 instead of 1 with ``down``."""
    n = len(probabilities).bit_length() - 1
    bits = probabilities.reshape((2,) * n)
    for axis in range(n):
        zero, one = np.take(bits, 0, axis), np.take(bits, 1, axis)
        bits = np.stack([zero * (1 - up) + one * down, zero * up + one * (1 - down)], axis)
    return bits.reshape(-1)


def ideal_of(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "one outcome":
        return np.eye(1, 2**n, int(rng.integers(2**n))).ravel()
    if kind == "uniform":
        return np.full(2**n, 2.0**-n)
    return rng.dirichlet(np.full(2**n, {"few outcomes": 0.1, "all outcomes": 1.0}[kind]))


@pytest.mark.parametrize("kind", ["one outcome", "few outcomes", "all outcomes", "uniform"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("survival", [1.0, 0.8, 0.3])
def test_noise_and_few_shots_are_not_accused(kind, n, survival):
    """Depolarization to 0.3, readout error of 3 and 9 %, from one shot on."""
    for seed, shots in enumerate((1, 2, 5, 20, 100, 1000, 8000)):
        ideal = ideal_of(kind, n, seed)
        noisy = misread(survival * ideal + (1 - survival) / 2**n, 0.03, 0.09)
        assert not agreement_of_counts("", drawn(noisy, shots, seed), ideal).far


@pytest.mark.parametrize(
    ("kind", "n", "least"),
    [
        ("one outcome", 3, 15),
        ("one outcome", 12, 20),
        ("few outcomes", 5, 15),
        ("few outcomes", 12, 20),
        ("all outcomes", 5, 12),
        ("all outcomes", 8, 18),
    ],
)
def test_another_circuit_is_noticed(kind, n, least):
    """In most of twenty cases: few bits resemble each other by chance."""
    far = 0
    for seed in range(20):
        ideal, other = ideal_of(kind, n, seed), ideal_of(kind, n, seed + 1000)
        noisy = 0.8 * other + 0.2 / 2**n
        far += agreement_of_counts("", drawn(noisy, 2000, seed), ideal).far
    assert far >= least


@pytest.mark.parametrize(
    ("counts", "ideal", "distance", "uniform"),
    [
        ({6: 980, 7: 20}, np.eye(8)[1], 1.0, 0.875),
        ({1: 1000}, np.eye(2)[0], 1.0, 0.5),
        ({1: 500, 2: 500}, np.array([0.5, 0, 0, 0.5]), 1.0, 0.5),
        ({5: 4}, np.full(4096, 1 / 4096), 1 - 1 / 4096, 0.0),
        ({0: 830, 1: 170}, np.array([0.5, 0.5]), 0.33, 0.0),
        (dict.fromkeys(range(8), 100), np.eye(8)[1], 0.875, 0.875),  # noise alone
    ],
)
def test_counts_without_a_trace(counts, ideal, distance, uniform):
    found = agreement_of_counts("a", counts, ideal)
    assert found == Agreement("a", pytest.approx(distance), pytest.approx(uniform), True)


def test_total_variation_and_that_of_the_uniform_distribution():
    ideal = np.array([0.7, 0.1, 0.1, 0.1])
    found = agreement_of_counts("a", {0: 60, 1: 20, 3: 20}, ideal)
    assert found == Agreement("a", pytest.approx(0.2), pytest.approx(0.45), False)


@pytest.mark.parametrize(
    ("values", "ideal", "far"),
    [
        ([0.5, -0.4], [1.0, -1.0], False),
        ([-0.5, 0.4], [1.0, -1.0], True),
        ([0.01, 0.0], [1.0, -1.0], True),
        ([0.3, 0.9, -0.2], [1.0, -0.9, 0.1], True),
        ([0.03, -0.05], [0.0, 0.0], False),
        ([0.8, -0.5], [0.0, 0.0], True),
    ],
)
def test_expectation_values(values, ideal, far):
    found = agreement_of_values("a", np.array(values), np.array(ideal), 4000)
    assert found.far == far
    assert found.distance == pytest.approx(np.abs(np.subtract(values, ideal)).mean())
    assert found.uniform == pytest.approx(np.abs(ideal).mean())
    assert not agreement_of_values("a", np.array(values), np.array(ideal), 1).far


def test_few_public_records_are_far():
    """Deep circuits, and a series on one machine; the other 97 % are not accused."""
    far = {}
    for row in stored_rows(DATA / "hardware_public"):
        counts = {k: c for k, c in enumerate(row["counts"]) if c}
        if agreement_of_counts("", counts, np.array(row["ideal"])).far:
            far[json.loads(row["family_params"])["record"]] = row["n_two_qubit"]
    assert len(far) == 32
    assert sum(n_two_qubit > 100 for n_two_qubit in far.values()) == 17
    data = load_expectations(DATA / "algiers_trotter")
    columns = zip(data.values, data.ideal_values, data.shots.tolist(), strict=True)
    assert sum(agreement_of_values("", v, z, shots).far for v, z, shots in columns) == 17


WRONG = """OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3]; x q[0]; measure q -> c;"""


def test_the_command_names_such_records(tmp_path, capsys):
    """X on qubit 0, and counts that no order of the bits explains."""
    record = {"qasm": WRONG, "circuit_stage": "submitted", "device": "lab"}
    records = [
        record | {"id": "wrong [b]", "counts": {"110": 980, "111": 20}},
        *(record | {"id": f"r{k}", "counts": {"001": 900 + k, "011": 60}} for k in range(9)),
    ]
    path = tmp_path / "given.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in records))
    options = Namespace(
        file=path, name="lab", root=tmp_path, family="x", bit_order="qiskit", seed=0, replace=False
    )
    import_data(options)
    said = " ".join(capsys.readouterr().out.split())
    assert "Distance from ideal (total variation): median 0.06, 90 % of the records below" in said
    assert "largest 1.00" in said
    assert "the counts of 1 of 10 records show no trace of their circuit" in said
    assert "record wrong [b], total variation 1.00 (a uniform distribution: 0.88)" in said
    facts = read_manifest(tmp_path / "lab").recipe["imported"]
    assert facts["far_from_ideal"] == ["wrong [b]"]
