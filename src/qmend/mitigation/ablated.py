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

    Each circuit gets another one of another calibration, drawn at random. That tells what is
    used: a mitigator that never looks at the calibration is as good with ``random_backend``.

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
    others = _exchange(circuits.calibration_index)
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


def _exchange(calibration_index: IntArray) -> IntArray:
    """Draw another circuit for each, with another calibration unless most have the same.

    Circuits stand in a circle, at random, those of one calibration beside each other. Each gets the
    one that stands as many places further as the largest group counts, at most half a circle.

    Returns:
        (N,) each circuit once.
    """
    count = len(calibration_index)
    generator = np.random.default_rng(_SEED)
    values, group, sizes = np.unique(calibration_index, return_inverse=True, return_counts=True)
    place = generator.permutation(len(values))[group]  # of the group in the circle
    order = np.lexsort([generator.permutation(count), place])
    others = np.empty_like(order)
    others[order] = np.roll(order, max(1, min(int(sizes.max()), count // 2)))
    return others
