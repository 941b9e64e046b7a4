"""One token a parity: what the sampled Pauli paths of the parity meet in the circuit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmend.datasets.circuits import CircuitBatch, per_calibration
from qmend.devices.calibration import Calibration
from qmend.encodings.base import ENCODINGS, Encoding, Float32
from qmend.types import FloatArray

#: Paths sampled for each circuit: -log of a parity's survival is then known to 0.007.
PATHS = 32


@ENCODINGS.register("paths")
class PathsEncoding(Encoding):
    """Token s is the parity Z_s, its columns those of :data:`qmend.noise.paths.FEATURES`.

    In fixed physical units, whatever the chain, its length or the native gates, so that models
    carry over. No token depends on the initial state. Context: readout error, T1 and T2, each the
    mean over qubits, standardised on the training split.
    """

    name = "paths"
    version = 1

    def raw(self, batch: CircuitBatch) -> tuple[Float32, NDArray[np.bool_], FloatArray]:
        from qmend.noise.paths import FEATURES, path_features  # loads numba

        size = 2**batch.n_qubits
        tokens = np.zeros((len(batch), size, len(FEATURES)), dtype=np.float32)
        for k in np.unique(batch.calibration_index):
            rows = np.flatnonzero(batch.calibration_index == k)
            calibration, layout = batch.calibrations[k], batch.layouts[k]
            table = batch.instructions.select(rows)
            tokens[rows] = path_features(table, calibration, layout, PATHS)
        context = per_calibration(batch, [_context(*chain) for chain in batch.chains])
        return tokens, np.ones(tokens.shape[:2], dtype=bool), context


def _context(calibration: Calibration, layout: tuple[int, ...]) -> FloatArray:
    fields = ("readout_error", "t1_us", "t2_us")
    return np.array(
        [np.mean([calibration.value(calibration.qubit(q), f) for q in layout]) for f in fields]
    )
