"""Expectation values that a real device has measured, as data to fit a noise model to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.types import FloatArray, IntArray, QmendError


@dataclass(frozen=True)
class Measurements:
    """Executed circuits and the expectation values that a device gave.

    Attributes:
        circuits: N circuits as they were executed.
        measured: (N, k) chain position behind each value.
        z: (N, k) measured <Z>, readout error included.
        job: (N,) number of the job of each, 0..J-1.
        shots: behind each value.
    """

    circuits: InstructionTable
    measured: IntArray
    z: FloatArray
    job: IntArray
    shots: int

    def __post_init__(self) -> None:
        n = len(self.circuits)
        if self.z.shape != self.measured.shape or len(self.z) != n or len(self.job) != n:
            raise QmendError(
                f"{n} circuits need as many rows of positions {self.measured.shape}, values "
                f"{self.z.shape} and jobs {self.job.shape}; give one each."
            )
        if not (np.abs(self.z) <= 1).all():
            raise QmendError(
                "A measured <Z> lies outside -1..1 or is missing; remove that circuit."
            )

    def __len__(self) -> int:
        return len(self.circuits)

    def select(self, index: IntArray) -> Measurements:
        return Measurements(
            self.circuits.select(index),
            self.measured[index],
            self.z[index],
            self.job[index],
            self.shots,
        )
