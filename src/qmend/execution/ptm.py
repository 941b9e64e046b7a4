"""The fast executor: batched evolution in the Pauli-transfer-matrix picture."""

from __future__ import annotations

from collections.abc import Sequence

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.noise.config import AnyNoise, FittedConfig, SurrogateConfig
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.fitted import FittedNoise
from qmend.noise.readout import readout_matrices
from qmend.noise.surrogate import SurrogateNoise
from qmend.simulation.outputs import probabilities
from qmend.simulation.program import Program
from qmend.types import FloatArray


class PtmExecutor:
    """Exact noisy distributions from :mod:`qmend.simulation`.

    Args:
        noise: Aer's device model, surrogate hardware, or one fitted to a real device.
        calibration: the snapshot.
        layout: physical qubits of the chain.
    """

    def __init__(
        self,
        noise: AnyNoise,
        calibration: Calibration,
        layout: Sequence[int],
    ) -> None:
        self.readout = readout_matrices(calibration, layout)
        self._device: DeviceNoise | None = None
        self._surrogate: SurrogateNoise | FittedNoise | None = None
        if isinstance(noise, SurrogateConfig):
            self._surrogate = SurrogateNoise(calibration, layout, noise)
        elif isinstance(noise, FittedConfig):
            self._surrogate = FittedNoise(calibration, layout, noise)
            self.readout = self._surrogate.readout(layout)
        else:
            self._device = DeviceNoise(calibration, layout)

    def probabilities(self, table: InstructionTable, job: int) -> FloatArray:
        """(N, 2^n) exact distributions before readout, chain order."""
        return probabilities(self.program(table, job))

    def program(self, table: InstructionTable, job: int) -> Program:
        """Compiled circuits under the noise of a job."""
        if self._surrogate is not None:
            return self._surrogate.program(table, job)
        assert self._device is not None
        return self._device.program(table)

    @property
    def gates(self) -> DeviceNoise:
        """The native gates, with the incoherent part of the noise."""
        if isinstance(self._surrogate, FittedNoise):
            return self._surrogate.gates
        if self._surrogate is not None:
            return self._surrogate.base
        assert self._device is not None
        return self._device
