"""Near-Clifford partners, and the line fitted to them."""

from dataclasses import replace

import numpy as np
import pytest

from qmend.circuits.clifford import clifford_probabilities
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities
from qmend.mitigation.base import ExecutedMitigator
from qmend.mitigation.baselines.clifford_data_regression import (
    CliffordDataRegression,
    near_clifford,
)
from qmend.types import QmendError


def quarter_turns(angle: np.ndarray) -> np.ndarray:
    return angle / (np.pi / 2)


def test_partners_are_the_circuit_with_a_few_free_rotations(tiny):
    """Same gates on the same qubits; other angles are the nearest multiples of pi/2."""
    table = tiny.part("test").circuits.instructions
    partners = near_clifford(table, 7, 2)
    own = table.select(np.repeat(np.arange(len(table)), 7))
    for name in ("offsets", "gate", "first", "second"):
        np.testing.assert_array_equal(getattr(partners, name), getattr(own, name))
    turns = quarter_turns(partners.angle)
    free = np.abs(turns - np.round(turns)) > 1e-6
    np.testing.assert_array_equal(partners.angle[free], own.angle[free])
    assert np.abs(partners.angle - own.angle).max() <= np.pi / 4 + 1e-12
    kept = np.bincount(own.circuit_index[free], minlength=len(own)).reshape(-1, 7)
    turns = quarter_turns(table.angle)
    before = np.bincount(
        table.circuit_index[np.abs(turns - np.round(turns)) > 1e-6], minlength=len(table)
    )
    assert before.max() >= 4
    np.testing.assert_array_equal(kept, np.tile(np.minimum(2, before // 2)[:, None], (1, 7)))
    assert len(set(partners.circuit_ids(np.tile(np.arange(5), (len(partners), 1))))) > len(table)


_TURNS = {0: (), 1: ("s",), 2: ("z",), 3: ("sdg",)}


def test_their_ideal_needs_no_statevector(tiny):
    """Pauli strings carried backwards, SX = H S H, give the labels that are used."""
    partners = near_clifford(tiny.part("test").circuits.instructions.select(np.arange(6)), 2, 3)
    for row, expected in enumerate(compiled_probabilities(partners)):
        gates = []
        for name, a, b, angle in partners.circuit(row):
            k = int(np.round(quarter_turns(angle)))
            if name == "sx":
                gates += [("h", a, -1, 0.0), ("s", a, -1, 0.0), ("h", a, -1, 0.0)]
            elif name == "rz" and abs(quarter_turns(angle) - k) < 1e-9:
                gates += [(turn, a, -1, 0.0) for turn in _TURNS[k % 4]]
            else:
                gates.append((name, a, b, angle))
        np.testing.assert_allclose(clifford_probabilities(gates, 5), expected, atol=1e-9)


class Depolarized:
    """Global depolarizing noise, a survival for each circuit and its partners."""

    def __init__(self, survival: np.ndarray) -> None:
        self.survival = survival

    def __call__(self, circuits, further: InstructionTable) -> np.ndarray:
        ideal = compiled_probabilities(further).reshape(len(circuits), -1, 32)
        s = self.survival[:, None, None]
        return s * ideal + (1 - s) / 32


def test_a_global_depolarizing_factor_is_recovered(perfect, exact_runs, random_circuits, algiers):
    """Exactly, circuit by circuit, whatever the partners are."""
    circuits = random_circuits([(0, 1), (1, 2), (2, 3), (3, 4)], 4, blocks=4)
    noiseless = exact_runs(perfect(), algiers.layout).measure(circuits, 1000)
    runs = Depolarized(np.random.default_rng(0).uniform(0.1, 1.0, size=len(circuits)))
    noisy = runs(noiseless, noiseless.instructions)[:, 0]
    batch = replace(noiseless, noisy=noisy)
    assert np.abs(noisy - noiseless.noisy).max() > 0.1
    mitigated = ExecutedMitigator(CliffordDataRegression(partners=6), runs).mitigate(batch)
    partners = compiled_probabilities(near_clifford(batch.instructions, 6, 3))
    alive = np.ptp(partners.reshape(len(batch), -1), axis=1) > 1e-9
    assert alive.mean() > 0.5
    np.testing.assert_allclose(mitigated[alive], noiseless.noisy[alive], atol=1e-10)
    # Partners that are all uniform have nothing to say.
    np.testing.assert_allclose(mitigated[~alive], noisy[~alive], atol=1e-10)


def test_readout_error_is_no_part_of_the_line(perfect, exact_runs, random_circuits, ideal):
    """Simulated two-qubit depolarizing noise with a readout error that one line could not hold."""
    errors = {
        ("cx", (2, 1)): 0.04,
        ("cx", (1, 2)): 0.04,
        ("readout", (1,)): 0.1,
        ("readout", (2,)): 0.01,
    }
    runs = exact_runs(perfect(errors), (2, 1))
    batch = runs.measure(random_circuits([(0, 1), (1, 0)], 6), 10**6)
    mitigated = ExecutedMitigator(CliffordDataRegression(), runs).mitigate(batch)
    assert np.abs(batch.noisy - ideal(batch)).max() > 0.05
    np.testing.assert_allclose(mitigated, ideal(batch), atol=1e-10)


def test_shots_are_counted():
    assert CliffordDataRegression(partners=4).shots_factor == 5
    default = CliffordDataRegression()
    assert default.shots_factor == CliffordDataRegression.shots_factor == 1 + default.partners


@pytest.mark.parametrize(("partners", "kept"), [(0, 3), (5, -1)])
def test_numbers_without_meaning_are_refused(partners, kept):
    with pytest.raises(QmendError, match="at least one partner"):
        CliffordDataRegression(partners, kept)
