"""A mitigator whose input is in part that of other circuits, as in an ablation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import Mitigator
from qmend.types import Ablation, FloatArray, IntArray, QmendError

_SEED = 0


class AblatedMitigator(Mitigator):
    """A mitigator that gets parts of its input from other circuits of the same batch.

    A random cycle over the batch gives each circuit another one. That tells what is used: a
    mitigator that never looks at the calibration is as good with ``random_backend``.

    Args:
        ablation: which part comes from the other circuit: its calibration with the layout
            (``random_backend``), its measured distribution with the shots (``random_noise``), its
            instructions with the measured qubits (``random_circuit``).
    """

    def __init__(self, mitigator: Mitigator, ablation: Ablation) -> None:
        self.mitigator, self.ablation = mitigator, ablation
        self.name, self.parameters = mitigator.name, mitigator.parameters
        self.shots_factor, self.abstains = mitigator.shots_factor, mitigator.abstains

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return self.mitigator.mitigate(ablate(circuits, self.ablation))

    def mitigate_others(
        self, batches: Sequence[CircuitBatch], others: CircuitBatch, flips: IntArray
    ) -> list[FloatArray]:
        """Mitigate as without an ablation: whether it simulates is the mitigator's own."""
        return self.mitigator.mitigate_others(batches, others, flips)


def ablate(circuits: CircuitBatch, ablation: Ablation) -> CircuitBatch:
    """Replace a part of each circuit by that of another one, drawn with a fixed seed.

    Raises:
        QmendError: if calibrations are to be exchanged and all circuits have the same.
    """
    if ablation.endswith("backend") and len(np.unique(circuits.calibration_index)) < 2:
        raise QmendError(
            f"ablation={ablation} needs circuits of several calibrations, and all have the same; "
            "choose other data, such as those of dataset/calibrations=drift."
        )
    order = np.random.default_rng(_SEED).permutation(len(circuits))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)
    if ablation == "random_noise":
        return replace(circuits, noisy=circuits.noisy[others], shots=circuits.shots[others])
    if ablation in ("random_circuit", "random_circuit_and_backend"):
        circuits = replace(
            circuits,
            instructions=circuits.instructions.select(others),
            measured=circuits.measured[others],
            executed=None if circuits.executed is None else circuits.executed[others],
        )
    if ablation in ("random_backend", "random_circuit_and_backend"):
        circuits = replace(
            circuits,
            calibration_index=circuits.calibration_index[others],
            filled=None if circuits.filled is None else circuits.filled[others],
        )
    return circuits
