"""The interface of all encodings, their registry, and the standardisation of values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmend.datasets.circuits import (
    CircuitBatch,
    fill_missing,
    measured_readout,
    per_calibration,
)
from qmend.datasets.table import LabelledCircuits
from qmend.devices.calibration import Calibration
from qmend.devices.imputation import MeanCalibration
from qmend.encodings.batch import Batch
from qmend.gates import GATES
from qmend.registry import Registry
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

Float32 = NDArray[np.float32]

#: Standardised values are clipped to this range, as in the paper.
CLIP = 10.0


@dataclass(frozen=True)
class Standardiser:
    """Scale columns to (x - mean) / deviation.

    Clipped at :data:`CLIP`; a constant column becomes 0.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @staticmethod
    def fit(values: NDArray[np.float64]) -> Standardiser:
        """Fit to columns of (N, F); a deviation below 1e-9 |mean| counts as 0."""
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        return Standardiser(mean, np.where(deviation <= 1e-9 * np.abs(mean), 0.0, deviation))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        constant = self.deviation == 0  # NaN stays NaN
        safe = np.where(constant, 1.0, self.deviation)
        scaled = np.clip((values - self.mean) / safe, -CLIP, CLIP)
        return np.where(constant, 0.0, scaled)


class Encoding(ABC):
    """Circuits and calibrations as a :class:`Batch`; fitted on the training split.

    Attributes:
        standardiser: of the context; None before the fit.
        mean_calibration: means over the training data's calibrations, for data that have none.
    """

    name: str
    #: Rises with every change of a column's meaning; a checkpoint of another version is refused.
    version: int
    #: Gates that it can encode.
    gates: tuple[str, ...] = GATES

    def __init__(self) -> None:
        self.standardiser: Standardiser | None = None
        self.mean_calibration = MeanCalibration()

    @abstractmethod
    def tokens(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_]]:
        """Compute tokens (N, L, F) and their mask (N, L)."""

    @abstractmethod
    def context(self, calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
        """Compute the unscaled context (C,) of circuits on a chain."""

    def contexts(self, batch: CircuitBatch) -> FloatArray:
        """Compute the unscaled context (N, C) of each circuit."""
        return per_calibration(batch, [self.context(*chain) for chain in batch.chains])

    def fit(self, *parts: CircuitBatch) -> Encoding:
        """Learn the standardisation, and the mean calibration, from training circuits.

        Args:
            parts: the circuits of each size.
        """
        used = [part.chains[k] for part in parts for k in np.unique(part.calibration_index)]
        once = {(calibration.calibration_id, layout): calibration for calibration, layout in used}
        self.mean_calibration = MeanCalibration.of(once.values())
        filled = [fill_missing(part, self.mean_calibration).circuits for part in parts]
        self.standardiser = Standardiser.fit(np.concatenate([self.contexts(p) for p in filled]))
        return self

    def __call__(
        self,
        circuits: CircuitBatch,
        ideal: FloatArray | None = None,
        with_tokens: bool = True,
        job: IntArray | None = None,
    ) -> Batch:
        """Encode circuits.

        Args:
            ideal: (N, 2^m) their labels.
            with_tokens: False: ``tokens`` and ``mask`` have length 0.
            job: (N,) of each circuit, whose labelled circuits may be references of each other.

        Raises:
            QmendError: if the encoding was not fitted.
        """
        if self.standardiser is None:
            raise QmendError(f"The {self.name} encoding has not been fitted to training data yet.")
        context = self.standardiser(self.contexts(circuits))
        tokens, mask = self.tokens(circuits)
        if not with_tokens:
            tokens, mask = tokens[:, :0], mask[:, :0]
        readout = measured_readout(circuits)[:, :, 1, 0]
        device = self.device(circuits, tokens, ideal, job)
        return Batch(
            tokens=torch.from_numpy(tokens),
            mask=torch.from_numpy(mask),
            context=_single(context),
            noisy=_single(circuits.noisy),
            readout=_single(readout),
            shots=_single(circuits.shots)[:, None],
            device=None if device is None else _single(device),
            ideal=None if ideal is None else _single(ideal),
        )

    def of_labelled(self, part: LabelledCircuits, with_tokens: bool = True) -> Batch:
        """Encode training circuits; the means of the encoding stand in for missing values."""
        circuits = fill_missing(part.circuits, self.mean_calibration).circuits
        return self(circuits, part.ideal, with_tokens, part.job)

    def device(
        self,
        circuits: CircuitBatch,
        tokens: Float32,
        ideal: FloatArray | None,
        job: IntArray | None,
    ) -> FloatArray | None:
        """Compute numbers of the device (N, D), for encodings that have any."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return name, version, standardisation and mean calibration as plain data.

        Only of a fitted encoding.
        """
        assert self.standardiser is not None
        scale = {key: values.tolist() for key, values in vars(self.standardiser).items()}
        return {
            "name": self.name,
            "version": self.version,
            "state": {"context": scale},
            "typical": self.mean_calibration.to_json(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Encoding:
        """Invert :meth:`to_json`.

        Raises:
            QmendError: if the version is another than this package's.
        """
        encoding = ENCODINGS[str(data["name"])]()
        if data["version"] != encoding.version:
            raise QmendError(
                f"The model was trained with version {data['version']} of the {encoding.name} "
                f"encoding, this package has {encoding.version}; train it again or install the "
                "package it was trained with."
            )
        scale = data["state"]["context"]
        encoding.standardiser = Standardiser(np.array(scale["mean"]), np.array(scale["deviation"]))
        encoding.mean_calibration = MeanCalibration.from_json(data["typical"])
        return encoding


ENCODINGS: Registry[type[Encoding]] = Registry("qmend.encodings", "encoding", "model.encoding")


def _single(values: AnyArray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def qubit_values(calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
    """Read readout error, T1 and T2 (us) of a chain's qubits (3, n)."""
    qubits = [calibration.qubit(physical) for physical in layout]
    fields = ("readout_error", "t1_us", "t2_us")
    return np.array([[calibration.value(qubit, field) for qubit in qubits] for field in fields])
