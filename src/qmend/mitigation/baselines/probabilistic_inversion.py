"""The known noise inverted parity by parity: a reference that simulates the circuit."""

from __future__ import annotations

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities, measured_marginals
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, MultiCircuitMitigator
from qmend.mitigation.simplex import project_to_simplex
from qmend.types import FloatArray
from qmend.walsh import walsh_hadamard


@BASELINES.register("probabilistic_inversion")
class ProbabilisticInversion(MultiCircuitMitigator):
    """Multiply each parity by its best factor, from a simulation.

    Circuit and noise are simulated. With the true parities x_s = <Z_s> of the ideal and y_s of the
    noisy distribution (readout error included) and shot noise of variance
    v_s = (1 - y_s^2) / shots, the measured parity m_s is multiplied by

        c_s = x_s y_s / (y_s^2 + v_s),

    which minimises the mean squared error E(c m_s - x_s)^2 over the shots: the known noise's
    inverse x_s / y_s, shrunk as by Wiener's filter. Back from the Walsh-Hadamard basis, the
    quasi-distribution is projected to the nearest distribution. No parity-wise factor does better
    before the projection. The one further circuit is the circuit again. Its result must be the
    exact probabilities under the true noise, which nobody has of a real device. Of a dataset
    measured by randomized compiling, :class:`qmend.mitigation.simulated_runner.SimulatedRunner`
    draws other Paulis than the dataset's own: the factors are then best for circuits like these.
    """

    name = "probabilistic_inversion"
    #: It shrinks each parity for the shot noise that exact input does not have.
    noiseless_error = 2e-3
    exact_results = True

    def construct_circuits(self, circuits: CircuitBatch) -> InstructionTable:
        return circuits.instructions

    def combine_results(self, circuits: CircuitBatch, results: FloatArray) -> FloatArray:
        simulated = compiled_probabilities(circuits.instructions)
        ideal = walsh_hadamard(measured_marginals(simulated, circuits.measured))
        noisy, measured = walsh_hadamard(results[:, 0]), walsh_hadamard(circuits.noisy)
        # Rounding may bring a parity beyond 1.
        variance = np.maximum(1 - noisy**2, 0.0) / circuits.shots[:, None]
        power = noisy**2 + variance
        factor = ideal * noisy / np.where(power > 0, power, 1.0)
        mitigated = walsh_hadamard(factor * measured) / circuits.noisy.shape[1]
        return project_to_simplex(mitigated)
