"""Clifford data regression: fit each circuit's noise on near-Clifford circuits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qmend.circuits.clifford import CLIFFORD_TOLERANCE
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities, measured_marginals
from qmend.datasets.circuits import CircuitBatch
from qmend.gates import GATE_CODE
from qmend.mitigation.base import BASELINES, MultiCircuitMitigator
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL, undo_depolarizing
from qmend.types import FloatArray, QmendError


@BASELINES.register("clifford_data_regression")
class CliffordDataRegression(MultiCircuitMitigator):
    """Fit the noise of each circuit on its near-Clifford partners.

    ideal = a noisy + b. Every circuit gets ``partners`` copies in which all but a few RZ are turned
    to the nearest multiple of pi/2. They are measured with the circuit's shots and cost
    ``partners`` times those. One line through all outcomes of all partners,

        a = sum (ideal - u)(noisy - u) / sum (noisy - u)^2,   b = (1 - a) u,   u = 2^-m,

    is least squares: a and b keep the sum of probabilities. 1 / a is the survival by which the
    circuit is mitigated. Readout error is undone first in all measurements.

    The partners' ideal distributions take a time polynomial in n and exponential in ``kept``
    alone; at the sizes of these tables a statevector is the quicker way to the same numbers.

    Czarnik, Arrasmith, Coles, Cincio, Quantum 5, 592 (2021), arXiv 2005.10189.

    Args:
        partners: near-Clifford circuits for each circuit.
        kept: RZ left as they are, at most; never more than half of a circuit's non-Clifford ones,
            so that its partners are easier than itself.
    """

    name = "clifford_data_regression"
    calibration_values = ("readout_error",)
    shots_factor = 11.0
    other_circuits = True

    def __init__(self, partners: int = 10, kept: int = 3) -> None:
        if partners < 1 or kept < 0:
            raise QmendError(
                f"Clifford data regression needs at least one partner and no negative number of "
                f"kept rotations, not {partners} and {kept}."
            )
        self.partners, self.kept = partners, kept
        self.shots_factor = 1.0 + partners

    def construct_circuits(self, circuits: CircuitBatch) -> InstructionTable:
        return near_clifford(circuits.instructions, self.partners, self.kept)

    def combine_results(self, circuits: CircuitBatch, results: FloatArray) -> FloatArray:
        partners = self.construct_circuits(circuits)
        uniform = 1.0 / results.shape[2]
        noisy = undo_readout(circuits, results) - uniform  # (N, k, 2^m)
        measured = np.repeat(circuits.measured, results.shape[1], axis=0)
        simulated = measured_marginals(compiled_probabilities(partners), measured)
        ideal = simulated.reshape(noisy.shape) - uniform
        common, power = (ideal * noisy).sum(axis=(1, 2)), (noisy**2).sum(axis=(1, 2))
        # Partners without any signal leave the noise unknown.
        alive = common > LEAST_SURVIVAL * power
        survival = np.where(alive, power / np.where(alive, common, 1.0), 1.0)
        return undo_depolarizing(undo_readout(circuits, circuits.noisy), survival)


def near_clifford(table: InstructionTable, partners: int, kept: int) -> InstructionTable:
    """Make near-Clifford partners of each circuit, chosen by the circuit alone.

    Returns:
        N ``partners`` circuits: those of the first circuit, then of the second, and so on.
    """
    nearest = np.round(table.angle / (np.pi / 2)) * (np.pi / 2)
    free = (table.gate == GATE_CODE["rz"]) & (np.abs(table.angle - nearest) > CLIFFORD_TOLERANCE)
    seeds = table.circuit_ids()
    copies = table.select(np.repeat(np.arange(len(table)), partners))
    angles = copies.angle.copy()
    for circuit, seed in enumerate(seeds):
        own = slice(table.offsets[circuit], table.offsets[circuit + 1])
        at = np.flatnonzero(free[own])
        angle = np.tile(np.where(free[own], nearest[own], table.angle[own]), (partners, 1))
        left = min(kept, len(at) // 2)
        order = np.random.default_rng(int(seed, 16)).random((partners, len(at))).argsort(axis=1)
        chosen = at[order[:, :left]]
        np.put_along_axis(angle, chosen, table.angle[own][chosen], axis=1)
        start, end = copies.offsets[[circuit * partners, (circuit + 1) * partners]]
        angles[start:end] = angle.reshape(-1)
    return replace(copies, angle=angles)
