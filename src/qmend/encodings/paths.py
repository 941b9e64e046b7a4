"""One token a parity: the losses on its sampled Pauli paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmend.datasets.circuits import CircuitBatch
from qmend.devices.calibration import Calibration
from qmend.encodings.base import ENCODINGS, Encoding, Float32, qubit_values
from qmend.types import FloatArray


@ENCODINGS.register("paths")
class PathsEncoding(Encoding):
    """One token a parity, in fixed physical units for all devices and sizes.

    Token s belongs to the parity Z_s of measured qubits; its columns are
    :data:`qmend.noise.paths.FEATURES`. Of these only ``ended_rate`` and ``ended_idle_rate`` depend
    on the initial state. Context (3): readout error, T1 and T2, each the mean over qubits,
    standardised on the training split.
    """

    name = "paths"
    version = 2

    def tokens(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_]]:
        from qmend.noise.paths import FEATURES, path_features  # loads numba

        size, positions = 2**batch.n_measured, batch.positions
        tokens = np.zeros((len(batch), size, len(FEATURES)), dtype=np.float32)
        for k in np.unique(batch.calibration_index):
            rows = np.flatnonzero(batch.calibration_index == k)
            calibration, layout = batch.calibrations[k], batch.layouts[k]
            table = batch.instructions.select(rows)
            tokens[rows] = path_features(table, calibration, layout, measured=positions[rows])
        return tokens, np.ones(tokens.shape[:2], dtype=bool)

    def context(self, calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
        means: FloatArray = qubit_values(calibration, layout).mean(axis=1)
        return means
