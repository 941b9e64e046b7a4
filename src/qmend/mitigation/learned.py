"""A trained network as a mitigator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers, references_of
from qmend.mitigation.base import KnownCircuits, Mitigator
from qmend.mitigation.guard import Guard
from qmend.mitigation.guard_signals import check_readable, log_gain, read_signals
from qmend.models.trained import TrainedModel
from qmend.types import AnyArray, FloatArray, IntArray, QmendError


class LearnedMitigator(Mitigator):
    """A network that :func:`qmend.training.train.train` trained, as a mitigator."""

    name = "learned"

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.parameters = model.parameters

    def with_references(
        self, circuits: CircuitBatch, references: Sequence[KnownCircuits]
    ) -> CircuitBatch:
        encoding = self.model.encoding
        if not isinstance(encoding, DevicePathsEncoding):
            return super().with_references(circuits, references)
        told = []
        for measured, ideal in references:
            rows = np.arange(len(measured))
            told.append(references_of(measured, encoding.losses(measured), ideal, rows))
        return replace(circuits, numbers=known_numbers(circuits, told))

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Return mitigated distributions (N, 2^m) in chain order.

        Raises:
            QmendError: if the network takes no circuits of that size.
        """
        self.check_size(circuits)
        return self.model.mitigate(circuits)

    def check_size(self, circuits: CircuitBatch) -> None:
        """Refuse circuits of a size that the network does not take.

        Raises:
            QmendError: naming both sizes.
        """
        n_qubits = self.model.dimensions.n_qubits
        if not self.model.mitigates(circuits.n_qubits, circuits.n_measured):
            raise QmendError(
                f"This {self.model.config.name} was trained on {n_qubits} qubits, all measured; "
                f"the circuits have {circuits.n_qubits} and measure {circuits.n_measured}: choose "
                "circuits, or a model, of the same size."
            )


@dataclass(frozen=True)
class Guarded:
    """Outputs of a guarded network, (N, ...) arrays.

    Attributes:
        mitigated: outputs of the network, abstained from or not.
        harm: probability of harm.
        applied: whether the guard applies the network.
    """

    mitigated: FloatArray
    harm: FloatArray
    applied: AnyArray


class GuardedMitigator(Mitigator):
    """A trained network that abstains where its guard predicts harm.

    Raises:
        QmendError: if the network reads no numbers of the device.
    """

    name = "guarded"
    abstains = True

    def __init__(self, network: LearnedMitigator, guard: Guard) -> None:
        check_readable(network.model)
        self.network, self.guard = network, guard
        self.parameters = network.parameters + len(guard.score.weights) + 1

    def with_references(
        self, circuits: CircuitBatch, references: Sequence[KnownCircuits]
    ) -> CircuitBatch:
        told = self.network.with_references(circuits, references)
        gains = []
        for measured, ideal in references:
            mitigated = self.network.mitigate(self.network.with_references(measured, references))
            gains.append(log_gain(ideal, measured.noisy, mitigated))
        gain = np.concatenate(gains).mean() if gains else 0.0
        return replace(told, gains=np.full(len(circuits), gain))

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Return mitigated distributions, as measured where the guard abstains."""
        judged = self.judge(circuits)
        return np.where(judged.applied[:, None], judged.mitigated, circuits.noisy)

    def judge(self, circuits: CircuitBatch) -> Guarded:
        """Mitigate circuits, and say which ones the guard applies the network to.

        Raises:
            QmendError: if the network takes no circuits of that size, or its output is no number.
        """
        self.network.check_size(circuits)
        mitigated, signals = read_signals(self.network.model, circuits)
        if not np.isfinite(mitigated).all():
            raise QmendError(
                "The network's output is no number: its training has diverged; use another network."
            )
        harm = self.guard.score(signals)
        return Guarded(mitigated, harm, harm <= self.guard.threshold)

    def mitigate_others(
        self, batches: Sequence[CircuitBatch], others: CircuitBatch, flips: IntArray
    ) -> list[FloatArray]:
        """Mitigate as the network does without its guard: whether it simulates is its own."""
        return self.network.mitigate_others(batches, others, flips)
