"""Folding keeps the circuit; each extrapolation is exact for the law it assumes."""

import numpy as np
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_states
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import ExecutedMitigator
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL
from qmend.mitigation.baselines.zero_noise_extrapolation import (
    ExponentialExtrapolation,
    LinearExtrapolation,
    fold,
)
from qmend.types import QmendError

KINDS = (LinearExtrapolation, ExponentialExtrapolation)


@pytest.fixture(scope="module")
def mixed() -> InstructionTable:
    """All three two-qubit gates in both directions between rotations; one circuit without any."""
    rng = np.random.default_rng(5)
    circuits = []
    for _ in range(6):
        gates = []
        for name in rng.permutation(["cx", "cz", "ecr"] * 3):
            a, b = rng.permutation(3)[:2]
            gates += [("sx", int(a), -1, 0.0), ("rz", int(b), -1, float(rng.uniform(-3, 3)))]
            gates.append((str(name), int(a), int(b), 0.0))
        circuits.append(gates)
    return InstructionTable.from_circuits(3, [*circuits, [("sx", 1, -1, 0.0)]])


def test_folding_keeps_the_state_and_multiplies_two_qubit_gates(mixed):
    table = fold(mixed, (1, 3, 5))
    assert len(table) == 3 * len(mixed)
    states = compiled_states(table).reshape(len(mixed), 3, 8)
    np.testing.assert_allclose(states, np.tile(compiled_states(mixed)[:, None], (1, 3, 1)))
    for gates in (("cx",), ("cz",), ("ecr",)):
        counts = table.count(*gates).reshape(-1, 3)
        np.testing.assert_array_equal(counts, mixed.count(*gates)[:, None] * [1, 3, 5])
    once = mixed.count("sx", "rz")[:, None]
    np.testing.assert_array_equal(table.count("sx", "rz").reshape(-1, 3), once * [1, 1, 1])
    assert table.circuit(0) == mixed.circuit(0)
    first = next(k for k, gate in enumerate(mixed.circuit(0)) if gate[2] >= 0)
    assert table.circuit(1)[first : first + 3] == [mixed.circuit(0)[first]] * 3


class Law:
    """Measurements that follow ``law(scale)``; the scale is read off the circuits."""

    def __init__(self, law, circuits: InstructionTable) -> None:
        self.law, self.circuits = law, circuits

    def __call__(self, circuits: CircuitBatch, further: InstructionTable) -> np.ndarray:
        k = len(further) // len(circuits)
        scale = further.count("cx") // np.repeat(circuits.instructions.count("cx"), k)
        return np.array([self.law(c) for c in scale]).reshape(len(circuits), k, -1)

    def batch(self, algiers, calibration) -> CircuitBatch:
        return CircuitBatch(
            self.circuits,
            np.tile(self.law(1), (len(self.circuits), 1)),
            np.full(len(self.circuits), 1000),
            (algiers.layout,),
            (calibration,),
            np.zeros(len(self.circuits), dtype=int),
            np.tile(np.arange(self.circuits.n_qubits), (len(self.circuits), 1)),
        )


@pytest.fixture(scope="module")
def coupled() -> InstructionTable:
    return InstructionTable.from_circuits(5, [[("cx", 0, 1, 0.0)] * k for k in (1, 4)])


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """(32,) p - 1/32 in pairs of opposite sign."""
    half = np.random.default_rng(0).uniform(0.002, 1 / 32, size=16)
    return np.concatenate([half, -half])


@pytest.mark.parametrize("scales", [(1, 3), (1, 3, 5), (1, 5, 7, 9)])
def test_linear_noise_is_undone(scales, coupled, signal, algiers, perfect):
    ideal = 1 / 32 + signal
    change = np.random.default_rng(1).permutation(signal) / 40
    runs = Law(lambda c: ideal + (c - 1) * change, coupled)
    mitigated = ExecutedMitigator(LinearExtrapolation(scales), runs).mitigate(
        runs.batch(algiers, perfect())
    )
    # The line goes on to scale 0; no value is negative, so the projection changes nothing.
    expected = ideal - change
    assert expected.min() >= 0
    np.testing.assert_allclose(mitigated, np.tile(expected, (2, 1)), atol=1e-12)


@pytest.mark.parametrize("scales", [(1, 3), (1, 3, 5), (1, 5, 7, 9)])
def test_exponential_noise_is_undone(scales, coupled, signal, algiers, perfect):
    """Every pair of outcomes decays at its own rate."""
    rate = np.tile(np.random.default_rng(2).uniform(0.0, 0.7, size=16), 2)
    runs = Law(lambda c: 1 / 32 + signal * np.exp(-rate * c), coupled)
    mitigated = ExecutedMitigator(ExponentialExtrapolation(scales), runs).mitigate(
        runs.batch(algiers, perfect())
    )
    np.testing.assert_allclose(mitigated, np.tile(1 / 32 + signal, (2, 1)), atol=1e-12)


def test_depolarizing_two_qubit_gates_decay_exponentially(
    perfect, exact_runs, random_circuits, ideal
):
    """Simulated: survival (1 - p)^CX, readout error on top; the line falls short of it."""
    errors = {("cx", (2, 1)): 0.02, ("cx", (1, 2)): 0.02, ("readout", (1,)): 0.08}
    runs = exact_runs(perfect(errors), (2, 1))
    batch = runs.measure(random_circuits([(0, 1), (1, 0)], 3), 10**6)
    exponential = ExecutedMitigator(ExponentialExtrapolation(), runs).mitigate(batch)
    np.testing.assert_allclose(exponential, ideal(batch), atol=1e-12)
    linear = np.abs(
        ExecutedMitigator(LinearExtrapolation(), runs).mitigate(batch) - ideal(batch)
    ).sum()
    assert 1e-3 < linear < 0.5 * np.abs(batch.noisy - ideal(batch)).sum()


def test_a_signal_lost_in_folding_is_left_as_measured(coupled, signal, algiers, perfect):
    """Where p - u turns over at once there is no rate to extrapolate with."""
    runs = Law(lambda c: 1 / 32 + signal * (1.0 if c == 1 else -0.1), coupled)
    batch = runs.batch(algiers, perfect())
    np.testing.assert_allclose(
        ExecutedMitigator(ExponentialExtrapolation(), runs).mitigate(batch), batch.noisy, atol=1e-12
    )


def test_a_scale_that_has_lost_the_signal_is_left_out():
    """The first two decay as e^-c/4; the third has turned over and says nothing."""
    scales = np.array([1.0, 3.0, 5.0])
    signal = 0.1 * np.exp(-scales / 4)
    signal[2] = -0.002
    measured = 0.5 + np.stack([signal, -signal], axis=1)[None]
    extrapolated = ExponentialExtrapolation().extrapolate(measured, scales)
    np.testing.assert_allclose(extrapolated, [[0.6, 0.4]], atol=1e-12)


def test_shot_noise_counts_less_where_the_signal_is_strong():
    """Against a weighted straight line of numpy through the logarithms, value by value."""
    rng = np.random.default_rng(7)
    scales = np.array([1.0, 3.0, 5.0])
    signal = rng.uniform(0.01, 0.1, size=(4, 1, 8)) * np.exp(-0.3 * scales)[:, None]
    signal *= rng.uniform(0.8, 1.2, size=signal.shape)
    extrapolated = ExponentialExtrapolation().extrapolate(signal + 1 / 8, scales)
    for row, values in enumerate(signal):
        for outcome, y in enumerate(values.T):
            slope, _ = np.polyfit(scales, np.log(y), 1, w=y)
            decay = np.exp(slope * scales)
            assert slope < 0
            assert extrapolated[row, outcome] - 1 / 8 == pytest.approx(decay @ y / (decay @ decay))


def test_a_faint_signal_is_not_amplified_without_bound():
    """A decay by e^-20 from scale 1 to 3 counts as no more than the least survival a scale."""
    measured = 0.25 + np.array([[[1e-3, -1e-3, 0, 0], [2e-12, -2e-12, 0, 0]]])
    extrapolated = ExponentialExtrapolation((1, 3)).extrapolate(measured, np.array([1.0, 3.0]))
    assert extrapolated[0, 0] - 0.25 == pytest.approx(1e-3 / LEAST_SURVIVAL, rel=1e-3)
    np.testing.assert_allclose(extrapolated[0].sum(), 1, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_shots_are_counted(kind):
    assert kind((1, 3)).shots_factor == 2
    assert kind().shots_factor == kind.shots_factor == 3


@pytest.mark.parametrize("scales", [(1,), (1, 2), (3, 5), (1, 5, 3), (1, 1, 3), ()])
def test_scales_that_cannot_be_folded_are_refused(scales):
    with pytest.raises(QmendError, match="odd, increasing and begin with 1"):
        LinearExtrapolation(scales)
