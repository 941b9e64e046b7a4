"""Several trained networks as one mitigator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import Mitigator
from qmend.mitigation.learned import LearnedMitigator
from qmend.types import FloatArray, QmendError


class Ensemble(Mitigator):
    """The arithmetic mean of its members' distributions, (1/K) sum_k p_k.

    L1 is convex: for every circuit the error of the mean is at most the mean of the members'
    errors, and below it where they err in different directions. Of all distributions the mean
    has the least mean KL(p_k || p) from the members. A geometric mean would have neither
    property for L1, and one member that gives an outcome no probability would veto it. (Deep
    ensembles: Lakshminarayanan, Pritzel, Blundell, arXiv 1612.01474)

    Args:
        members: at least two; those that take one number of qubits take the same one.

    Raises:
        QmendError: if there are fewer, or sizes differ.
    """

    name = "ensemble"

    def __init__(self, members: Sequence[LearnedMitigator]) -> None:
        if len(members) < 2:
            raise QmendError(
                f"An ensemble needs at least two trained models, not {len(members)}; name more."
            )
        fixed = [m.model for m in members if not m.model.network.any_size]
        sizes = sorted({model.dimensions.n_qubits for model in fixed})
        if len(sizes) > 1:
            raise QmendError(
                f"An ensemble's models must have one number of qubits, not "
                f"{' and '.join(map(str, sizes))}; choose models trained on equal sizes."
            )
        self.members = tuple(members)
        self.parameters = sum(member.parameters for member in members)

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        mean: FloatArray = np.mean([m.mitigate(circuits) for m in self.members], axis=0)
        return mean
