"""Readout error undone by mthree, the field's usual tool."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.simplex import project_to_simplex
from qmend.noise.readout import readout_matrices
from qmend.types import FloatArray, QmendError

#: Readout contrast 1 - 2 e below which mthree has no usable inverse, or calls a qubit faulty.
_LEAST_CONTRAST = 1e-3


@BASELINES.register("mthree")
class M3Readout(Mitigator):
    """mthree with the calibration's readout matrices, then the nearest distribution.

    Solves A x = p in the space of the K measured bitstrings, A the restriction of the product of
    the readout matrices to them, its columns renormalised: where all 2^n were measured, the exact
    inverse, to the single precision that mthree computes in. Nation, Kang, Sundaresan,
    Gambetta, PRX Quantum 2, 040326 (2021).

    Raises:
        QmendError: if the package mthree is not installed.
    """

    name = "mthree"
    calibration_values = ("readout_error",)

    def __init__(self) -> None:
        try:
            self._mthree = importlib.import_module("mthree")
        except ModuleNotFoundError:
            raise QmendError(
                "The baseline mthree needs the package mthree; install it with `pip install "
                "mthree`, or use readout_inversion."
            ) from None

    def mitigate(self, circuits: CircuitBatch) -> FloatArray:
        return project_to_simplex(self.quasi(circuits))

    def quasi(self, circuits: CircuitBatch) -> FloatArray:
        """Return quasi-distributions (N, 2^m) of mthree, zero where nothing was measured.

        Raises:
            QmendError: if a qubit's readout can't be inverted.
        """
        m = circuits.n_measured
        used = np.unique(circuits.calibration_index).tolist()
        corrections = {k: self._correction(*circuits.chains[k]) for k in used}
        labels = [format(outcome, f"0{m}b") for outcome in range(2**m)]
        out = np.zeros_like(circuits.noisy)
        for row, k in enumerate(circuits.calibration_index.tolist()):
            seen = np.flatnonzero(circuits.noisy[row])
            # mthree divides by the sum, so that frequencies serve as well as counts.
            counts = {labels[x]: float(circuits.noisy[row, x]) for x in seen}
            # All distances: by default, flips of more than three bits are left out.
            quasi = corrections[k].apply_correction(
                counts, qubits=circuits.positions[row].tolist(), distance=-1, method="direct"
            )
            out[row, seen] = [quasi[labels[x]] for x in seen]
        return out

    def _correction(self, calibration: Calibration, layout: tuple[int, ...]) -> Any:
        matrices = readout_matrices(calibration, layout)
        dead = np.flatnonzero(np.linalg.det(matrices) < _LEAST_CONTRAST)
        if len(dead):
            raise QmendError(
                f"mthree can't invert the readout of qubit {layout[dead[0]]}, which is wrong half "
                "of the time or more; use readout_inversion, or another layout."
            )
        correction = self._mthree.M3Mitigation()
        correction.cals_from_matrices(list(matrices))
        return correction
