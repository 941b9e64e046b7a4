"""The reference that knows circuit and noise."""

from dataclasses import replace

import numpy as np

from qmend import metrics
from qmend.datasets.table import Dataset
from qmend.mitigation.base import ExecutedMitigator
from qmend.mitigation.baselines.probabilistic_inversion import ProbabilisticInversion
from qmend.mitigation.simplex import project_to_simplex
from qmend.mitigation.simulated_runner import SimulatedRunner
from qmend.walsh import walsh_hadamard


def inversion(dataset: Dataset) -> ExecutedMitigator:
    return ExecutedMitigator(ProbabilisticInversion(), SimulatedRunner(dataset, exact=True))


def test_exact_probabilities_give_the_ideal(tiny):
    """Relaxation, depolarization and readout error of a whole device; shots without end."""
    test = tiny.part("test")
    exact = replace(
        test.circuits,
        noisy=test.noisy_exact,
        shots=np.full(len(test), 10**15),
    )
    mitigated = inversion(tiny).mitigate(exact)
    assert metrics.l1(test.noisy_exact, test.ideal).min() > 0.05
    np.testing.assert_allclose(mitigated, test.ideal, atol=1e-6)


def test_no_other_parity_factor_has_a_smaller_error(tiny):
    """Mean squared error over many measurements of one circuit, before the projection."""
    test = tiny.part("test").select(np.arange(1))
    shots, count = 200, 20_000
    rng = np.random.default_rng(0)
    measured = walsh_hadamard(rng.multinomial(shots, test.noisy_exact[0], size=count) / shots)
    ideal, noisy = (walsh_hadamard(p)[0] for p in (test.ideal, test.noisy_exact))
    power = noisy**2 + (1 - noisy**2) / shots
    best = ideal * noisy / power

    def error(factor: np.ndarray) -> np.ndarray:
        return ((factor * measured - ideal) ** 2).mean(axis=0)

    chosen = error(best)
    alive = np.abs(ideal) > 0.05
    alive[0] = False
    assert alive.sum() > 3
    for other in (0.8 * best, 1.2 * best):
        assert (error(other)[alive] > chosen[alive]).all()
    batch = replace(test.circuits, shots=np.array([shots]), noisy=test.noisy_exact)
    used = inversion(tiny).mitigate(batch)
    expected = project_to_simplex(walsh_hadamard((best * noisy)[None]) / 32)
    np.testing.assert_allclose(used, expected, rtol=0, atol=1e-6)


def test_few_shots_are_shrunk_and_many_inverted(tiny):
    test = tiny.part("test")
    mitigator = inversion(tiny)

    def spread(shots: int) -> float:
        batch = replace(test.circuits, shots=np.full(len(test), shots), noisy=test.noisy_exact)
        mitigated = mitigator.mitigate(batch)
        return float(metrics.l1(mitigated, np.full_like(mitigated, 1 / 32)).mean())

    few, some, many = (spread(shots) for shots in (10, 1000, 10**12))
    assert few < some < many
