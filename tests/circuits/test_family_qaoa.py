"""QAOA: graphs, the circuit, and expected cuts that are known exactly."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from scipy.linalg import expm

from qmend.circuits.families import SourceCircuit
from qmend.circuits.families.qaoa import (
    QAOAFamily,
    erdos_renyi_graph,
    fixed_angles,
    qaoa_gadgets,
    ramp_angles,
    regular_graph,
)

RING = {n: [(k, (k + 1) % n) for k in range(n)] for n in (4, 5, 6, 8)}
PETERSEN = [
    *[(k, (k + 1) % 5) for k in range(5)],
    *[(k, k + 5) for k in range(5)],
    *[(k + 5, (k + 2) % 5 + 5) for k in range(5)],
]


def cuts(n: int, edges) -> np.ndarray:
    """(2^n,) cut edges of each bit string, counted one by one."""
    return np.array(
        [sum((s >> a) & 1 != (s >> b) & 1 for a, b in edges) for s in range(2**n)], dtype=float
    )


def expected_cut(n: int, edges, gamma, beta) -> float:
    gadgets = qaoa_gadgets(n, edges, np.array(gamma), np.array(beta))
    return float(SourceCircuit({}, gadgets=gadgets, n_qubits=n).probabilities() @ cuts(n, edges))


@pytest.mark.parametrize("n", RING)
def test_one_layer_cuts_three_quarters_of_a_ring(n):
    """Farhi, Goldstone and Gutmann, arXiv 1411.4028: (2p + 1) / (2p + 2) at the optimum."""
    gamma, beta = fixed_angles(1, 2.0)
    assert expected_cut(n, RING[n], gamma, beta) / n == pytest.approx(0.75, abs=1e-12)
    for change in (-0.05, 0.05):
        assert expected_cut(n, RING[n], gamma + change, beta) / n < 0.7495
        assert expected_cut(n, RING[n], gamma, beta + change) / n < 0.7495


def test_one_layer_on_a_cubic_graph_without_triangles():
    """1/2 + ((d - 1) / d)^((d - 1) / 2) / (2 sqrt d) = 0.69245 for d = 3 (arXiv 1706.02998)."""
    gamma, beta = fixed_angles(1, 3.0)
    assert expected_cut(10, PETERSEN, gamma, beta) / 15 == pytest.approx(
        0.5 + 2 / 3 / (2 * np.sqrt(3)), abs=1e-12
    )


def test_the_state_is_the_alternating_evolution():
    """Dense exponentials of C, diagonal, and of sum X."""
    rng = np.random.default_rng(3)
    edges = [(0, 1), (1, 2), (0, 3)]
    gamma, beta = rng.uniform(0, 3, 2), rng.uniform(0, 3, 2)
    x = np.array([[0, 1], [1, 0]])
    mixer = sum(np.kron(np.kron(np.eye(2 ** (3 - q)), x), np.eye(2**q)) for q in range(4))
    state = np.full(16, 0.25, dtype=complex)
    for c, b in zip(gamma, beta, strict=True):
        state = expm(-1j * b * mixer) @ (np.exp(-1j * c * cuts(4, edges)) * state)
    source = SourceCircuit({}, gadgets=qaoa_gadgets(4, edges, gamma, beta), n_qubits=4)
    assert abs(np.vdot(state, source.state())) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("angles", [fixed_angles, lambda p, degree: ramp_angles(p)])
def test_near_optimal_angles_improve_with_the_layers(angles):
    share = []
    for p in (1, 2, 3, 4):
        ratios = []
        for seed in range(15):
            edges = erdos_renyi_graph(6, 0.5, np.random.default_rng(seed))
            cut = expected_cut(6, edges, *angles(p, len(edges) / 3))
            ratios.append(cut / cuts(6, edges).max())
        share.append(np.mean(ratios))
    assert share[0] > 0.75  # half of the edges, what random strings cut, is 0.6
    assert (np.diff(share) > 0).all()
    assert share[-1] > 0.88


def test_drawn_angles():
    def one(angles: str, noise: float, seed: int):
        family = QAOAFamily(name="qaoa", angles=angles, angle_noise=noise)
        return family.draw_angles(np.random.default_rng(seed), 3, 2.5)

    assert np.array_equal(one("fixed", 0, 0), fixed_angles(3, 2.5))
    assert np.array_equal(one("ramp", 0, 0), ramp_angles(3))
    noise = np.array([one("fixed", 0.2, s) for s in range(200)]) - fixed_angles(3, 2.5)
    assert stats.kstest(noise.ravel() / 0.2, "norm").pvalue > 1e-3
    random = np.array([one("random", 0.2, s) for s in range(200)])
    assert stats.kstest(random[:, 0].ravel() / (2 * np.pi), "uniform").pvalue > 1e-3
    assert stats.kstest(random[:, 1].ravel() / np.pi, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("n", "degree"), [(5, 2), (6, 3), (7, 4), (8, 5), (10, 9), (4, 1)])
def test_regular_graphs(n, degree):
    for seed in range(10):
        edges = regular_graph(n, degree, np.random.default_rng(seed))
        assert len(set(edges)) == len(edges) == n * degree // 2
        assert all(a < b for a, b in edges)
        assert Counter(v for e in edges for v in e) == dict.fromkeys(range(n), degree)


def test_regular_graphs_are_uniform():
    """The 70 labelled cubic graphs of 6 vertices, by way of the complement too."""
    rng = np.random.default_rng(0)
    seen = Counter(tuple(regular_graph(6, 3, rng)) for _ in range(2100))
    assert len(seen) == 70
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_erdos_renyi_graphs():
    rng = np.random.default_rng(0)
    count = np.array([len(erdos_renyi_graph(5, 0.4, rng)) for _ in range(800)])
    expected = stats.binom(10, 0.4).pmf(np.arange(1, 8)) / (1 - 0.6**10)
    observed = np.bincount(count, minlength=8)[1:8]
    assert stats.chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-3
    assert {len(erdos_renyi_graph(2, 0.05, rng)) for _ in range(5)} == {1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"degree": 3}, r"no graph of 5 vertices has degree 3 everywhere"),
        ({"degree": 5, "n_qubits": 4}, r"degree \(5\) must be below n_qubits \(4\)"),
        ({"layers_max": 5}, "layers_max"),
        ({"edge_probability": 0}, "edge_probability"),
    ],
)
def test_impossible_graphs_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        QAOAFamily(name="qaoa", graph="regular", **fields)
