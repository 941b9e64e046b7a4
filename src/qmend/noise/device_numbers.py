"""Four numbers of a device in one job, with their uncertainty.

They are the theta of :mod:`qmend.noise.parity_model`. The prior's width depends on the
calibration: narrow where it has the values, wide where means stand in for them. References, which
are circuits of the same job whose ideal is known, narrow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmend.noise.parity_model import NUMBERS, ParityLosses, expand
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

#: Steps of the fit, its longest in deviations of the prior, and the length at which it ends.
_STEPS, _LONGEST, _SHORT = 20, 2.0, 1e-3
#: Halvings of a step that makes the fit worse.
_HALVINGS = 6


@dataclass(frozen=True)
class DeviceNumbers:
    """A normal distribution of theta, its numbers taken as independent.

    Attributes:
        mean, deviation: (4,), see :data:`qmend.noise.parity_model.NUMBERS`.

    Raises:
        QmendError: if a value is not finite, or a deviation is not positive.
    """

    mean: FloatArray
    deviation: FloatArray

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if values.shape != (len(NUMBERS),) or not np.isfinite(values).all():
                raise QmendError(
                    f"The {name} of device numbers is {values}; give a finite number for each of "
                    f"{', '.join(NUMBERS)}."
                )
        if not (self.deviation > 0).all():
            raise QmendError(
                f"The deviation of device numbers is {self.deviation}; give positive numbers."
            )


@dataclass(frozen=True)
class DevicePrior:
    """Theta before any measurement, and how far parities are from the model.

    Attributes:
        known: of numbers whose calibration values are there.
        filled: of numbers some of whose values are missing, so that means stand in.
        parity: deviation of a measured parity from the model, beside its shots.
        circuit: of the logarithm of each circuit's own factor on the losses of its gates and
            waits, as where the gates that ran are not known.

    Raises:
        QmendError: if ``parity`` is not positive, or ``circuit`` negative.
    """

    known: DeviceNumbers
    filled: DeviceNumbers
    parity: float
    circuit: float

    def __post_init__(self) -> None:
        if not (0 < self.parity < np.inf and 0 <= self.circuit < np.inf):
            raise QmendError(
                f"A device prior has the deviations parity={self.parity} and "
                f"circuit={self.circuit}; give a positive one and one of at least 0."
            )

    def of(self, missing: AnyArray) -> DeviceNumbers:
        """Choose by (3,) whether values of gates, waits and readout are missing.

        The bias goes with readout.
        """
        chosen = np.append(missing, missing[-1])
        return DeviceNumbers(
            np.where(chosen, self.filled.mean, self.known.mean),
            np.where(chosen, self.filled.deviation, self.known.deviation),
        )


#: Where a circuit has the gates that ran, and where not: mean and deviation over the training jobs
#: of ``dataset=worlds``, each fitted to its 96 circuits.
EXECUTED = DevicePrior(
    known=DeviceNumbers(np.array([0.2, 0.05, 0.1, 0.5]), np.array([0.4, 1.0, 0.7, 0.45])),
    filled=DeviceNumbers(np.array([0.1, 0.0, -0.6, 0.7]), np.array([0.6, 1.3, 1.1, 0.5])),
    parity=0.03,
    circuit=0.15,
)
SUBMITTED = DevicePrior(
    known=DeviceNumbers(np.array([0.65, 0.3, 0.15, 0.55]), np.array([0.4, 1.0, 0.7, 0.45])),
    filled=DeviceNumbers(np.array([0.4, 0.9, -0.4, 0.5]), np.array([0.85, 1.1, 1.1, 0.55])),
    parity=0.03,
    circuit=0.4,
)


@dataclass(frozen=True)
class References:
    """K circuits of one job whose ideal is known, all with m measured bits.

    Attributes:
        losses: of the K circuits.
        seen, ideal: (K, 2^m) measured and ideal parities.
        shots: (K,).

    Raises:
        QmendError: if shapes differ, a parity is no number between -1 and 1, or shots are none.
    """

    losses: ParityLosses
    seen: FloatArray
    ideal: FloatArray
    shots: IntArray

    def __post_init__(self) -> None:
        size = self.losses.gates.shape
        if not (self.seen.shape == self.ideal.shape == size and self.shots.shape == size[:1]):
            raise QmendError(
                f"References with losses of shape {size} have parities of {self.seen.shape} and "
                f"{self.ideal.shape} and shots of {self.shots.shape}; give each circuit its own."
            )
        for name in ("seen", "ideal"):
            if not (np.abs(getattr(self, name)) <= 1 + 1e-6).all():
                raise QmendError(
                    f"A reference has a {name} parity that is no number between -1 and 1; give "
                    "the Walsh-Hadamard transform of a distribution."
                )
        if not (self.shots > 0).all():
            raise QmendError("A reference has no shots; give how often it was measured.")


def posterior(
    prior: DevicePrior, missing: AnyArray, references: Sequence[References]
) -> DeviceNumbers:
    """Narrow a device's numbers by references of one job; without any, return the prior.

    The maximum of the posterior by Gauss and Newton's method, and Laplace's deviations there. A
    parity's variance is (1 - y_s^2) / shots + parity^2. The factor of each reference's own is
    part of the maximum, and integrated over in the deviations, which no reference can widen. On
    data of the model itself these are right to 10 %; the maximum is off their mean by at most a
    quarter of them, as the logarithm of a factor on little loss has a skewed posterior.

    Args:
        missing: (3,) as of :func:`qmend.datasets.circuits.missing_sources`.
        references: of any sizes; their order has no influence.
    """
    start = prior.of(missing)
    parts = [part for part in references if len(part.shots)]
    if not parts:
        return start
    fit = _Fit(start, prior, parts)
    x, own = np.zeros(len(NUMBERS)), [np.zeros(len(part.shots)) for part in parts]
    here = fit.quadratic(x, own)
    for _ in range(_STEPS):
        step, own_step = here.newton()
        longest = max(np.abs(each).max() for each in (step, *own_step))
        length = min(1.0, _LONGEST / max(longest, _SHORT))
        for _ in range(_HALVINGS):
            moved = x + length * step
            own_moved = [e + length * d for e, d in zip(own, own_step, strict=True)]
            there = fit.quadratic(moved, own_moved)
            if there.value <= here.value:
                break
            length /= 2
        else:
            break
        x, own, here = moved, own_moved, there
        if length * longest < _SHORT:
            break
    deviation = np.sqrt(np.diag(np.linalg.inv(here.hessian)))
    return DeviceNumbers(start.mean + start.deviation * x, start.deviation * deviation)


@dataclass(frozen=True)
class _Quadratic:
    """Minus the logarithm of a posterior near a point, in the prior's deviations.

    Attributes:
        value: at the point.
        gradient, hessian: (4,) and (4, 4), the factors of circuits already eliminated.
        own: of each part, what follows its circuits' factors: (K,) gradient, (K,) curvature,
            (4, K) mixed derivatives.
    """

    value: float
    gradient: FloatArray
    hessian: FloatArray
    own: list[tuple[FloatArray, FloatArray, FloatArray]]

    def newton(self) -> tuple[FloatArray, list[FloatArray]]:
        """Return the step of theta and those of each part's circuits."""
        step: FloatArray = np.linalg.solve(self.hessian, -self.gradient).astype(np.float64)
        return step, [-(slope + step @ mixed) / curved for slope, curved, mixed in self.own]


class _Fit:
    """The posterior as a function of theta and of each circuit's own factor.

    Both in units of their prior's deviations, theta from the prior's mean.
    """

    def __init__(
        self, start: DeviceNumbers, prior: DevicePrior, parts: Sequence[References]
    ) -> None:
        self.start, self.circuit = start, prior.circuit
        self.scale = np.append(start.deviation, prior.circuit)
        self.parts = []
        for part in parts:
            losses, seen, ideal = part.losses, part.seen, part.ideal
            variance = np.maximum(1 - seen**2, 0) / part.shots[:, None] + prior.parity**2
            # The compiled sum is compiled anew for every other layout in memory.
            columns = (losses.gates, losses.waits, losses.readout, ideal, seen, 1 / variance)
            self.parts.append(tuple(np.ascontiguousarray(c, dtype=np.float64) for c in columns))

    def quadratic(self, x: FloatArray, own: Sequence[FloatArray]) -> _Quadratic:
        """Expand around a point, the model linearized."""
        theta = self.start.mean + self.start.deviation * x
        value, gradient, hessian = float(x @ x), x.copy(), np.eye(len(NUMBERS))
        of_own = []
        for part, e in zip(self.parts, own, strict=True):
            gates, waits, readout, ideal, seen, weight = part
            slopes = np.empty((len(e), len(self.scale)))
            curves = np.empty((len(e), len(self.scale), len(self.scale)))
            value += float(e @ e) + expand(
                gates, waits, readout, ideal, seen, weight, theta, self.circuit * e, slopes, curves
            )
            slopes *= self.scale
            curves *= np.outer(self.scale, self.scale)
            slope, curved, mixed = slopes[:, -1] + e, 1 + curves[:, -1, -1], curves[:, -1, :-1].T
            gradient += slopes[:, :-1].sum(axis=0) - mixed @ (slope / curved)
            hessian += curves[:, :-1, :-1].sum(axis=0) - (mixed / curved) @ mixed.T
            of_own.append((slope, curved, mixed))
        return _Quadratic(value, gradient, hessian, of_own)
