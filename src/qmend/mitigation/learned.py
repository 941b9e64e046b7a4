"""A trained network as a mitigator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers, references_of
from qmend.mitigation.base import KnownCircuits, Mitigator
from qmend.models.trained import TrainedModel
from qmend.types import FloatArray, QmendError


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
        n_qubits = self.model.dimensions.n_qubits
        if not self.model.mitigates(circuits.n_qubits, circuits.n_measured):
            raise QmendError(
                f"This {self.model.config.name} was trained on {n_qubits} qubits, all measured; "
                f"the circuits have {circuits.n_qubits} and measure {circuits.n_measured}: choose "
                "circuits, or a model, of the same size."
            )
        return self.model.mitigate(circuits)
