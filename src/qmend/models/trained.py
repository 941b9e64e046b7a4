"""A trained network with all that its use needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qmend.datasets.circuits import CircuitBatch
from qmend.encodings import Batch, BatchLoader, Encoding
from qmend.models.base import Architecture, Dimensions, count_parameters
from qmend.models.config import ModelConfig
from qmend.types import FloatArray

#: Circuits that a network takes at once where nothing is learned.
INFERENCE_BATCH = 512


@dataclass(frozen=True)
class TrainedModel:
    """A network with its config, its sizes and its fitted encoding."""

    network: Architecture
    config: ModelConfig
    dimensions: Dimensions
    encoding: Encoding

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return count_parameters(self.network)

    def mitigates(self, n_qubits: int, n_measured: int) -> bool:
        """Return whether it takes circuits on so many qubits that measure so many of them."""
        return self.network.any_size or n_qubits == n_measured == self.dimensions.n_qubits

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        """Return (N, 2^m) mitigated distributions, chain order, float64, rows summing to one."""
        return self.infer(self.encoding(circuits, with_tokens=self.network.reads_circuit))

    def infer(self, encoded: Batch) -> FloatArray:
        """Return the mitigated distributions of encoded circuits, as :meth:`mitigate`."""
        self.network.eval()
        with torch.inference_mode():
            parts = [
                self.network(batch).double()
                for batch in BatchLoader(encoded, batch_size=INFERENCE_BATCH)
            ]
        mitigated = torch.cat(parts).numpy()
        normalised: FloatArray = mitigated / mitigated.sum(axis=1, keepdims=True)
        return normalised
