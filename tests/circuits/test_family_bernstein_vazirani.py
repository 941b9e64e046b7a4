"""Bernstein-Vazirani circuits read their secret with certainty."""

import numpy as np
import pytest

from qmend.circuits.families.bernstein_vazirani import BernsteinVaziraniFamily


def drawn(seed: int, **fields):
    family = BernsteinVaziraniFamily(name="bernstein_vazirani", **fields)
    return family.draw(np.random.default_rng(seed))


def secret_probability(source) -> float:
    """P(the data qubits read the secret)."""
    read = np.arange(2**source.n_qubits)
    if source.params["ancilla"] is not None:
        read &= ~(1 << source.params["ancilla"])
    return float(source.probabilities()[read == source.params["secret"]].sum())


@pytest.mark.parametrize("oracle", ["ancilla", "ladder"])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_the_secret_is_the_outcome_with_certainty(oracle, n):
    secrets = set()
    for seed in range(12):
        source = drawn(seed, n_qubits=n, oracle=oracle, exact_probability=1.0)
        assert (source.params["ancilla"] is None) == (oracle == "ladder")
        assert secret_probability(source) == pytest.approx(1, abs=1e-9)
        secrets.add(source.params["secret"])
    assert len(secrets) > min(n, 6) - 1


def test_the_ancilla_is_turned_back_or_left():
    certain = {
        round(float(drawn(s, oracle="ancilla", exact_probability=1.0).probabilities().max()), 9)
        for s in range(20)
    }
    assert certain == {0.5, 1.0}


def test_ones_are_in_their_range():
    for seed in range(20):
        secret = drawn(seed, n_qubits=6, oracle="ladder", ones_min=2, ones_max=3).params["secret"]
        assert 2 <= secret.bit_count() <= 3


def test_one_error_of_the_oracle_s_phase_reads_no_secret():
    """RZ(pi + e) between exact layers: sin^2((pi + e) / 2) the secret, else 0."""
    source = drawn(3, n_qubits=4, oracle="ladder", exact_probability=1.0, ones_min=3)
    for item in (circuit := source.circuit.copy()).data:
        if item.operation.name == "rz":
            position = circuit.data.index(item)
    wrong = circuit.data[position].operation.to_mutable()
    wrong.params = [np.pi + 0.4]
    circuit.data[position] = circuit.data[position].replace(operation=wrong)
    p = type(source)({}, circuit=circuit).probabilities()
    assert p[source.params["secret"]] == pytest.approx(np.cos(0.2) ** 2, abs=1e-9)
    assert p[0] == pytest.approx(np.sin(0.2) ** 2, abs=1e-9)


def test_errors_of_angles_lower_the_secret_s_probability():
    exact, off = (
        np.mean([
            secret_probability(drawn(s, exact_probability=share, angle_noise=0.3))
            for s in range(60)
        ])
        for share in (1.0, 0.0)
    )  # fmt: skip
    assert exact == pytest.approx(1, abs=1e-9)
    assert 0.5 < off < 0.95
