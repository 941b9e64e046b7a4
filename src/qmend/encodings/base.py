"""The common form of an encoding, and the standardisation fitted on training data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmend.datasets.circuits import CircuitBatch, per_calibration
from qmend.devices.imputation import MeanCalibration
from qmend.encodings.batch import Batch
from qmend.gates import GATES
from qmend.noise.readout import readout_matrices
from qmend.registry import Registry
from qmend.types import AnyArray, FloatArray, QmendError

Float32 = NDArray[np.float32]

#: Standardised values are clipped to this range, as in the paper.
CLIP = 10.0


@dataclass(frozen=True)
class Standardiser:
    """(x - mean) / deviation for each column, clipped; a constant column becomes 0."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @staticmethod
    def fit(values: NDArray[np.float64]) -> Standardiser:
        """Columns of (N, F); a spread below 1e-9 of the mean counts as constant."""
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        return Standardiser(mean, np.where(deviation > 1e-9 * np.abs(mean), deviation, 0.0))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        safe = np.where(self.deviation > 0, self.deviation, 1.0)
        scaled = np.clip((values - self.mean) / safe, -CLIP, CLIP)
        return np.where(self.deviation > 0, scaled, 0.0)


class Encoding(ABC):
    """Circuits and calibrations -> a :class:`Batch`.

    Fitted on the training split, saved with a model.
    """

    name: str
    #: Rises whenever the meaning of a column changes; a checkpoint of another version is refused.
    version: int
    #: Gates that it has a place for.
    gates: tuple[str, ...] = GATES

    def __init__(self) -> None:
        self.state: dict[str, Standardiser] = {}
        #: Means over the training data's calibrations, for data that have none.
        self.mean_calibration = MeanCalibration()

    @abstractmethod
    def raw(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_], NDArray[np.float64]]:
        """Tokens (N, L, F), mask (N, L) and the raw context (N, C)."""

    def fit(self, batch: CircuitBatch) -> Encoding:
        """Learn the standardisation, and the mean calibration, from training circuits."""
        _, _, context = self.raw(batch)
        used = np.unique(batch.calibration_index)
        self.mean_calibration = MeanCalibration.of(batch.calibrations[k] for k in used)
        self.state = {"context": Standardiser.fit(context)}
        return self

    def __call__(
        self, circuits: CircuitBatch, ideal: FloatArray | None = None, with_tokens: bool = True
    ) -> Batch:
        """Encode circuits.

        Args:
            ideal: (N, 2^n) their labels.
            with_tokens: if not, ``tokens`` and ``mask`` have length 0.

        Raises:
            QmendError: if the encoding was not fitted.
        """
        if "context" not in self.state:
            raise QmendError(f"The {self.name} encoding has not been fitted to training data yet.")
        tokens, mask, context = self.raw(circuits)
        matrices = [readout_matrices(*chain) for chain in circuits.chains]
        readout = per_calibration(circuits, [m[:, 1, 0] for m in matrices])
        encoded = Batch(
            tokens=torch.from_numpy(tokens),
            mask=torch.from_numpy(mask),
            context=_single(self.state["context"](context)),
            noisy=_single(circuits.noisy),
            readout=_single(readout),
            shots=_single(circuits.shots)[:, None],
            ideal=None if ideal is None else _single(ideal),
        )
        return encoded if with_tokens else encoded.without_tokens()

    def to_json(self) -> dict[str, Any]:
        """Name, version, standardisation and mean calibration as plain data."""
        state = {
            key: {"mean": s.mean.tolist(), "deviation": s.deviation.tolist()}
            for key, s in self.state.items()
        }
        return {
            "name": self.name,
            "version": self.version,
            "state": state,
            "typical": self.mean_calibration.to_json(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Encoding:
        """Inverse of :meth:`to_json`.

        Raises:
            QmendError: if the version is another than this package's.
        """
        encoding = build_encoding(str(data["name"]))
        if data["version"] != encoding.version:
            raise QmendError(
                f"The model was trained with version {data['version']} of the {encoding.name} "
                f"encoding, this package has {encoding.version}; train it again or install the "
                "package it was trained with."
            )
        encoding.state = {
            key: Standardiser(np.array(s["mean"]), np.array(s["deviation"]))
            for key, s in data["state"].items()
        }
        encoding.mean_calibration = MeanCalibration.from_json(data["typical"])
        return encoding


ENCODINGS: Registry[type[Encoding]] = Registry("qmend.encodings", "encoding", "model.encoding")


def build_encoding(name: str) -> Encoding:
    """Make an encoding that is not fitted yet.

    Raises:
        QmendError: if the name is unknown.
    """
    return ENCODINGS[name]()


def _single(values: AnyArray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def ragged_positions(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2, ... within each of consecutive runs of the given lengths."""
    starts = np.cumsum(lengths) - lengths
    positions: NDArray[np.int64] = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return positions
