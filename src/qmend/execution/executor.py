"""One interface for all ways to run circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.noise.config import AerNoiseConfig, AnyNoise
from qmend.types import FloatArray, QmendError


class Executor(Protocol):
    """Runs compiled circuits under a noise model."""

    #: (n, 2, 2) matrices M[measured, prepared] of the readout error that goes with the noise.
    readout: FloatArray

    def probabilities(self, table: InstructionTable, job: int) -> FloatArray:
        """(N, 2^n) exact distributions before readout, chain order.

        Args:
            job: number of the job, for noise that drifts from one to the next.
        """


def build_executor(
    name: str,
    noise: AnyNoise,
    calibration: Calibration,
    layout: Sequence[int],
) -> Executor:
    """An executor by name, ``aer`` or ``ptm``.

    Raises:
        QmendError: if the executor can't simulate the noise.
    """
    if name == "aer":
        if not isinstance(noise, AerNoiseConfig):
            raise QmendError(
                f"dataset.executor=aer simulates only dataset.noise.name=aer, not {noise.name}; "
                "use dataset.executor=ptm."
            )
        from qmend.execution.aer import AerExecutor

        return AerExecutor(calibration, layout)
    from qmend.execution.ptm import PtmExecutor

    return PtmExecutor(noise, calibration, layout)
