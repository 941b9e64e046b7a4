"""Agreement of measured values with their circuit: a wrong one crashes nothing either.

Noise flattens a distribution towards the uniform one, u. A trace of the circuit stays: measured
frequencies f lie from u in the direction of the ideal p. Their correlation

    r = (f - u).(p - u) / (|f - u| |p - u|),    |f - u| without its shot noise,

is 1 for any depolarization and .93 for one outcome of twelve bits that are each misread with 10 %.
Of 1,196 public records (``hardware_public``, p apart from u) 97 % have more than .3; most others
are deep. For another circuit's counts it is about 2^(-n/2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from qmend.types import FloatArray

#: A record is far from ideal if r is smaller than this by more than the shot noise,
LEAST_CORRELATION = 0.3
#: or the share (f - u).(p - u) / |p - u|^2 of the ideal distribution that is left is.
LEAST_SHARE = 0.05
#: Ideal distributions nearer to uniform than this have no direction: counts are then far if their
#: own distance exceeds the shot noise by more than the second value,
_FEATURELESS = 0.1
_MOST_SURPLUS = 0.25
#: or if shots repeat outcomes so often that 2^n |f - u|^2 exceeds this.
_MOST_STRUCTURE = 4.0
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Agreement:
    """One record's distance from its ideal values.

    Attributes:
        name: the record's id.
        distance: total variation; of expectation values the mean absolute difference.
        uniform: distance of the uniform distribution, whose expectation values are 0.
        far: whether the record shows no trace of its circuit.
    """

    name: str
    distance: float
    uniform: float
    far: bool


def agreement_of_counts(name: str, counts: Mapping[int, float], ideal: FloatArray) -> Agreement:
    """Compare counts by outcome number with (2^n,) ideal probabilities."""
    outcomes, drawn = np.array(list(counts)), np.array(list(counts.values()))
    shots, size = float(drawn.sum()), len(ideal)
    frequencies, seen = drawn / shots, ideal[outcomes]
    distance = float(np.abs(frequencies - seen).sum() + 1 - seen.sum()) / 2
    uniform = float(np.abs(ideal - 1 / size).sum()) / 2
    # |f - u|^2 from pairs of shots: free of shot noise in the mean; its error if f is uniform.
    pairs = max(shots * (shots - 1), 1.0)
    structure = float((drawn * (drawn - 1)).sum()) / pairs - 1 / size
    structure_error = math.sqrt(2 / (size * pairs))
    if uniform < _FEATURELESS:
        surplus = distance - _sampled_uniform(shots, size)
        far = (
            surplus > _MOST_SURPLUS + STANDARD_ERRORS / (2 * math.sqrt(shots))
            or structure * size > _MOST_STRUCTURE + 2 * STANDARD_ERRORS * structure_error * size
        )
        return Agreement(name, distance, uniform, far)
    mean = float(frequencies @ seen)
    variance = max(float(frequencies @ seen**2) - mean**2, 0.0)
    error = math.sqrt(variance / shots) + float(ideal.max()) / shots
    far = _lacks_trace(
        mean - 1 / size + STANDARD_ERRORS * error,
        structure - STANDARD_ERRORS * structure_error,
        float((ideal**2).sum()) - 1 / size,
    )
    return Agreement(name, distance, uniform, far)


def agreement_of_values(name: str, values: FloatArray, ideal: FloatArray, shots: int) -> Agreement:
    """Compare (n,) expectation values with ideal ones; 0 stands for the uniform distribution."""
    distance, uniform = float(np.abs(values - ideal).mean()), float(np.abs(ideal).mean())
    variance = np.maximum(1 - values**2, 1 / shots) / shots
    if uniform < _FEATURELESS:
        error = math.sqrt(float(variance.mean()))
        far = distance > _MOST_SURPLUS + STANDARD_ERRORS * error
        return Agreement(name, distance, uniform, far)
    far = _lacks_trace(
        float(values @ ideal) + STANDARD_ERRORS * math.sqrt(float(variance @ ideal**2)),
        float((values**2 - variance).sum()),
        float((ideal**2).sum()),
    )
    return Agreement(name, distance, uniform, far)


def _lacks_trace(overlap: float, measured: float, ideal: float) -> bool:
    """Decide from the largest overlap, smallest |f - u|^2 and |p - u|^2 that shots allow."""
    along = LEAST_CORRELATION * math.sqrt(max(measured, 0.0) * ideal)
    return overlap < max(along, LEAST_SHARE * ideal)


def _sampled_uniform(shots: float, size: int) -> float:
    """Mean total variation from uniform of that many uniform shots (De Moivre's formula)."""
    above = math.floor(shots / size) + 1
    deviation = 2 * above * (1 - 1 / size) * float(binom.pmf(above, shots, 1 / size))
    return size * deviation / shots / 2
