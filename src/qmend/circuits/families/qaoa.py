"""The quantum approximate optimisation algorithm for MaxCut on random graphs."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from qmend.circuits.families import FAMILIES, Family, SourceCircuit
from qmend.circuits.gadgets import Gadget
from qmend.circuits.rotations import local_gadgets, pauli_string, rotation_circuit
from qmend.portable import arctan2, standard_normal
from qmend.types import FloatArray

Edge = tuple[int, int]

#: (gamma, beta) that are optimal at p = 1..4 for large random graphs in the limit of large degree:
#: arXiv 1910.08187; arXiv 2110.14206.
_FIXED = (
    ((0.5,), (np.pi / 8,)),
    ((0.3817, 0.6655), (0.4960, 0.2690)),
    ((0.3297, 0.5688, 0.6406), (0.5500, 0.3675, 0.2109)),
    ((0.2949, 0.5144, 0.5586, 0.6429), (0.5710, 0.4176, 0.3028, 0.1729)),
)


@FAMILIES.register("qaoa")
class QAOAFamily(Family):
    """prod_k exp(-i beta_k sum_q X_q) exp(-i gamma_k C) on the uniform superposition.

    C = sum over the edges (1 - Z_a Z_b) / 2 counts the cut edges; its constant is left out. The
    start is made by RY(pi/2) on each qubit. The graph is ``erdos_renyi`` (each edge with
    ``edge_probability``, drawn again without edges) or ``regular`` (each vertex with ``degree``
    edges). The number of layers p is uniform in ``layers_min..layers_max``. Angles:

    - ``random``: gamma uniform in (0, 2 pi), beta in (0, pi).
    - ``fixed``: near optimal, the optimum for large degree (arXiv 2110.14206) carried over to the
      graph's mean degree d by tan gamma = 2 gamma_table / sqrt(d - 1), which at p = 1 is the
      optimum of every d-regular graph without triangles.
    - ``ramp``: near optimal, gamma_k / 2 = t (k - 1/2) / p and beta_k = t (1 - (k - 1/2) / p),
      annealing in steps of t = 0.75 (arXiv 2101.05742).

    ``angle_noise`` is the deviation of the normal noise on each near-optimal angle.
    """

    name: Literal["qaoa"]
    n_qubits: int = Field(ge=2, le=10)
    graph: Literal["erdos_renyi", "regular"]
    edge_probability: float = Field(gt=0, le=1)
    degree: int = Field(ge=1, le=9)
    layers_min: int = Field(ge=1, le=4)
    layers_max: int = Field(ge=1, le=4)
    angles: Literal["random", "fixed", "ramp"]
    angle_noise: float = Field(ge=0, le=3)

    @model_validator(mode="after")
    def _has_graphs(self) -> Self:
        if self.graph == "regular" and self.degree >= self.n_qubits:
            raise ValueError(
                f"degree ({self.degree}) must be below n_qubits ({self.n_qubits}): a vertex has "
                "at most one edge to each other one"
            )
        if self.graph == "regular" and self.degree * self.n_qubits % 2:
            raise ValueError(
                f"no graph of {self.n_qubits} vertices has degree {self.degree} everywhere: "
                "degree * n_qubits must be even"
            )
        return self

    def draw(self, rng: np.random.Generator) -> SourceCircuit:
        if self.graph == "regular":
            edges = regular_graph(self.n_qubits, self.degree, rng)
        else:
            edges = erdos_renyi_graph(self.n_qubits, self.edge_probability, rng)
        p = int(rng.integers(self.layers_min, self.layers_max + 1))
        gamma, beta = self.draw_angles(rng, p, 2 * len(edges) / self.n_qubits)
        gadgets = qaoa_gadgets(self.n_qubits, edges, gamma, beta)
        return SourceCircuit(
            {"p": p, "edges": [list(edge) for edge in edges]},
            circuit=rotation_circuit(gadgets, self.n_qubits),
            gadgets=gadgets,
        )

    def draw_angles(
        self, rng: np.random.Generator, p: int, mean_degree: float
    ) -> tuple[FloatArray, FloatArray]:
        """(p,) gamma and (p,) beta."""
        if self.angles == "random":
            return rng.uniform(0, 2 * np.pi, p), rng.uniform(0, np.pi, p)
        gamma, beta = fixed_angles(p, mean_degree) if self.angles == "fixed" else ramp_angles(p)
        noise = self.angle_noise * standard_normal(rng, 2 * p)
        return gamma + noise[:p], beta + noise[p:]


def fixed_angles(p: int, mean_degree: float) -> tuple[FloatArray, FloatArray]:
    """Near-optimal (p,) gamma and (p,) beta for p from 1 to 4, see :class:`QAOAFamily`."""
    gamma, beta = (np.array(values) for values in _FIXED[p - 1])
    return arctan2(2 * gamma, np.sqrt(max(mean_degree - 1.0, 0.0))), beta


def ramp_angles(p: int) -> tuple[FloatArray, FloatArray]:
    """Linear ramps of (p,) gamma and (p,) beta, see :class:`QAOAFamily`."""
    progress = (np.arange(p) + 0.5) / p
    return 2 * 0.75 * progress, 0.75 * (1 - progress)


def qaoa_gadgets(
    n_qubits: int, edges: list[Edge], gamma: FloatArray, beta: FloatArray
) -> list[Gadget]:
    """Write the circuit of :class:`QAOAFamily` for a graph and its angles."""
    gadgets = local_gadgets(n_qubits, "Y", np.full(n_qubits, np.pi / 4))
    for cost, mixer in zip(gamma, beta, strict=True):
        gadgets += [
            (pauli_string(n_qubits, {a: "Z", b: "Z"}), -0.5 * float(cost)) for a, b in edges
        ]
        gadgets += local_gadgets(n_qubits, "X", np.full(n_qubits, mixer))
    return gadgets


def erdos_renyi_graph(n: int, probability: float, rng: np.random.Generator) -> list[Edge]:
    """Draw each of the n (n - 1) / 2 edges with a probability, until there is one."""
    while True:
        edges = [(a, b) for a in range(n) for b in range(a + 1, n) if rng.random() < probability]
        if edges:
            return edges


def regular_graph(n: int, degree: int, rng: np.random.Generator) -> list[Edge]:
    """Draw a graph uniform over all ``degree``-regular ones (pairing model).

    Half-edges are paired at random until no edge is a loop or double; beyond half of the
    possible edges the complement is drawn, where that succeeds more often.
    """
    if degree > (n - 1) / 2:
        without = set(regular_graph(n, n - 1 - degree, rng))
        return [(a, b) for a in range(n) for b in range(a + 1, n) if (a, b) not in without]
    while True:
        pairs = np.sort(rng.permutation(np.repeat(np.arange(n), degree)).reshape(-1, 2), axis=1)
        edges = {(int(a), int(b)) for a, b in pairs if a != b}
        if len(edges) == len(pairs):
            return sorted(edges)
