"""The noise of one device on one chain, ready to simulate circuits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from qmend.circuits.instructions import InstructionTable
from qmend.types import FloatArray

if TYPE_CHECKING:
    from qmend.noise.device_noise import DeviceNoise
    from qmend.simulation.program import Program


class Executor(Protocol):
    """Computes the distributions of circuits under a noise."""

    @property
    def readout(self) -> FloatArray:
        """(n, 2, 2) column-stochastic matrices M[measured, prepared] in chain order."""

    def probabilities(self, table: InstructionTable, job: int) -> FloatArray:
        """(N, 2^n) exact distributions before readout error, chain order.

        Args:
            job: number of the job, for noise that drifts from one to the next.
        """


class Noise(ABC):
    """A noise model on a chain; an :class:`Executor` by the batched simulator."""

    @property
    @abstractmethod
    def gates(self) -> DeviceNoise:
        """The native gates with the incoherent part of the noise."""

    @property
    @abstractmethod
    def readout(self) -> FloatArray:
        """(n, 2, 2) column-stochastic matrices M[measured, prepared] in chain order."""

    @abstractmethod
    def program(self, table: InstructionTable, job: int = 0) -> Program:
        """Give circuits the channels of one job.

        Raises:
            QmendError: if a circuit has a gate that the device lacks.
        """

    def probabilities(self, table: InstructionTable, job: int = 0) -> FloatArray:
        """(N, 2^n) exact distributions before readout error, chain order."""
        from qmend.simulation.outputs import probabilities  # loads numba

        return probabilities(self.program(table, job))
