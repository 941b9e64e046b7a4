"""Zero-noise extrapolation: measure with more noise, extrapolate to none."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch
from qmend.mitigation.base import BASELINES, MultiCircuitMitigator
from qmend.mitigation.baselines.readout_inversion import undo_readout
from qmend.mitigation.baselines.survival import LEAST_SURVIVAL
from qmend.mitigation.simplex import project_to_simplex
from qmend.types import FloatArray, IntArray, QmendError


class ZeroNoiseExtrapolation(MultiCircuitMitigator):
    """Extrapolate each probability to zero noise from folded circuits.

    At scale factor c = 1, 3, 5, ... every two-qubit gate G is replaced by G (G^-1 G)^((c-1)/2),
    which leaves the unitary and multiplies the two-qubit noise by c. Each scale is measured with
    the shots of the circuit (scale 1 is the circuit itself), so that k scales cost k times
    the shots. Folding does not touch readout error: it is undone first. The extrapolated
    quasi-distribution is projected to the nearest distribution.

    Temme, Bravyi, Gambetta, Phys. Rev. Lett. 119, 180509 (2017); folding: Giurgica-Tiron,
    Hindy, LaRose, Mari, Zeng, arXiv 2005.10921.

    Args:
        scales: odd, increasing, the first one 1.
    """

    shots_factor = 3.0
    calibration_values = ("readout_error",)

    def __init__(self, scales: Sequence[int] = (1, 3, 5)) -> None:
        steps = np.diff(scales)
        if len(scales) < 2 or scales[0] != 1 or (steps < 1).any() or (steps % 2).any():
            raise QmendError(
                f"Scale factors of zero-noise extrapolation are odd, increasing and begin with 1, "
                f"such as 1, 3, 5; not {', '.join(map(str, scales))}."
            )
        self.scales = tuple(scales)
        self.shots_factor = float(len(scales))

    def construct_circuits(self, circuits: CircuitBatch) -> InstructionTable:
        """Fold each circuit to all scales but 1, the measured circuit itself."""
        return fold(circuits.instructions, self.scales[1:])

    def combine_results(self, circuits: CircuitBatch, results: FloatArray) -> FloatArray:
        measured = np.concatenate([circuits.noisy[:, None], results], axis=1)  # (N, k, 2^m)
        scales = np.array(self.scales, dtype=np.float64)
        return project_to_simplex(self.extrapolate(undo_readout(circuits, measured), scales))

    @abstractmethod
    def extrapolate(self, measured: FloatArray, scales: FloatArray) -> FloatArray:
        """Extrapolate values (N, k, 2^m) at scales (k,) to scale 0 (N, 2^m)."""


@BASELINES.register("zne_linear")
class LinearExtrapolation(ZeroNoiseExtrapolation):
    """Fit p(c) = p(0) + b c to each probability by least squares."""

    name = "zne_linear"

    def extrapolate(self, measured: FloatArray, scales: FloatArray) -> FloatArray:
        away = scales - scales.mean()
        weights = 1 / len(scales) - scales.mean() * away / (away**2).sum()
        extrapolated: FloatArray = np.einsum("nkx,k->nx", measured, weights)
        return extrapolated


@BASELINES.register("zne_exponential")
class ExponentialExtrapolation(ZeroNoiseExtrapolation):
    """Fit an exponential decay to each probability.

    p(c) = u + (p(0) - u) exp(-r c) with u = 2^-m. log |p(c) - u| is fitted by a line with weights
    (p(c) - u)^2, the inverse variances of the logarithms. The rate r is kept between 0 and that of
    a survival of :data:`LEAST_SURVIVAL`; the amplitude then follows by least squares. Scales at
    which p - u has changed its sign since scale 1 have lost the signal and are left out; where
    only scale 1 is left, the probability stays as it is.
    """

    name = "zne_exponential"

    def extrapolate(self, measured: FloatArray, scales: FloatArray) -> FloatArray:
        uniform = 1.0 / measured.shape[2]
        signal = measured - uniform
        kept = signal * signal[:, :1] > 0
        logarithm = np.log(np.where(kept, np.abs(signal), 1.0))
        # Relative to the strongest scale, so that a faint signal does not underflow.
        largest = np.abs(signal).max(axis=1, keepdims=True)
        weight = np.where(kept, (signal / np.where(largest > 0, largest, 1.0)) ** 2, 0.0)
        c = scales[:, None]
        total = weight.sum(axis=1, keepdims=True)
        total = np.where(total > 0, total, 1.0)
        mean_c = (weight * c).sum(axis=1, keepdims=True) / total
        mean_log = (weight * logarithm).sum(axis=1, keepdims=True) / total
        spread = (weight * (c - mean_c) ** 2).sum(axis=1)
        slope = (weight * (c - mean_c) * (logarithm - mean_log)).sum(axis=1)
        rate = np.where(spread > 0, -slope / np.where(spread > 0, spread, 1.0), 0.0)
        rate = np.clip(rate, 0.0, -np.log(LEAST_SURVIVAL))
        decay = np.exp(-rate[:, None] * c)
        amplitude = (kept * decay * signal).sum(axis=1) / np.maximum(
            (kept * decay**2).sum(axis=1), LEAST_SURVIVAL**2
        )
        extrapolated: FloatArray = uniform + amplitude
        return extrapolated


def fold(table: InstructionTable, scales: Sequence[int]) -> InstructionTable:
    """Fold circuits to scales: repeat each two-qubit gate that many times.

    CX, CZ and ECR are their own inverses: G G^-1 G is G three times.

    Returns:
        N k circuits: the k scales of the first circuit, then of the second, and so on.
    """
    out = table.select(np.repeat(np.arange(len(table)), len(scales)))
    scale: IntArray = np.tile(np.array(scales, dtype=np.int64), len(table))
    repeats = np.where(out.second >= 0, scale[out.circuit_index], 1)
    ends = np.concatenate([[0], np.cumsum(repeats)])
    return InstructionTable(
        out.n_qubits,
        ends[out.offsets],
        np.repeat(out.gate, repeats),
        np.repeat(out.first, repeats),
        np.repeat(out.second, repeats),
        np.repeat(out.angle, repeats),
    )
