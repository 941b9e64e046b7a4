"""Fit a surrogate's constants to expectation values that a real device has measured.

Minimises, over the constants theta and a shift s_j of the coherent errors in each job j,

    sum_i rho(r_i^2 / (v_i + d^2)) / 2 + |theta / sigma|^2 / 2 + |s / sigma_s|^2 / 2,

with r_i = simulated - measured <Z>, v_i its shot noise, d what the model is allowed to miss, and
rho(u) = 2 (sqrt(1 + u) - 1), which is u for small residuals and grows slowly for the few values
of a faulty readout. L-BFGS, gradients through the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from qmend.circuits.instructions import InstructionTable
from qmend.noise.config import FittedConfig
from qmend.noise.fit_model import PRIOR, SHIFTED, NoiseModel
from qmend.noise.measurements import Measurements
from qmend.types import FloatArray, IntArray, QmendError


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit; cross-validation chose the defaults.

    Attributes:
        parts: constants that the fit may move, names of :data:`PRIOR`; the rest stay as the
            calibration has them, or 0.
        shift: prior standard deviation (rad) of a job's shift of each term of :data:`SHIFTED`;
            0 for none.
        discrepancy: d, the standard deviation of <Z> that the model is allowed to miss.
        prior: factor on all prior standard deviations.
        iterations: of L-BFGS, at most.
    """

    parts: tuple[str, ...] = tuple(PRIOR)
    shift: float = 0.04
    discrepancy: float = 0.02
    prior: float = 1.0
    iterations: int = 80


@dataclass(frozen=True)
class NoiseFit:
    """A fitted model.

    Attributes:
        model, settings: what was fitted.
        values: constants by name: angles (rad), logarithms of factors.
        shift: (J, len(SHIFTED), E) of the jobs of the data, rad; zeros where a job had none.
        loss: at the minimum.
        steps: of L-BFGS.
    """

    model: NoiseModel
    settings: FitSettings
    values: dict[str, FloatArray]
    shift: FloatArray
    loss: float
    steps: int

    @cached_property
    def drift(self) -> FloatArray:
        """(len(SHIFTED), E) standard deviation of the shifts over the jobs of the data."""
        seen = self.shift[np.abs(self.shift).sum(axis=(1, 2)) > 0]
        if not len(seen):
            return np.zeros(self.shift.shape[1:])
        deviation: FloatArray = np.sqrt((seen**2).mean(axis=0))
        return deviation

    @property
    def config(self) -> FittedConfig:
        return self.model.config(self.values, self.drift)

    def expectations(self, data: Measurements, by_job: bool = False) -> FloatArray:
        """(N, k) simulated <Z>; ``by_job`` adds the shift of each circuit's job."""
        prepared = self.model.prepare(data, by_job)
        values = {name: torch.from_numpy(value) for name, value in self.values.items()}
        shift = torch.from_numpy(self.shift) if by_job else None
        with torch.no_grad(), _one_thread():
            return self.model.expectations(prepared, values, shift).numpy()


def fit_noise(model: NoiseModel, data: Measurements, settings: FitSettings) -> NoiseFit:
    """Fit the constants, and the shift of each job, to measurements.

    Raises:
        QmendError: if a part is unknown, or a circuit has a gate that the device lacks.
    """
    unknown = set(settings.parts) - set(PRIOR)
    if unknown:
        raise QmendError(f"No constants {sorted(unknown)} to fit; known: {', '.join(PRIOR)}.")
    jobs = int(data.job.max(initial=-1)) + 1
    by_job = settings.shift > 0
    prepared = model.prepare(data, by_job)
    measured = torch.from_numpy(data.z)
    # A value near 1 still has the noise of a few flips.
    variance = torch.clamp(1 - measured**2, min=0.01) / data.shots + settings.discrepancy**2
    sizes = {name: int(np.prod(model.shapes[name])) for name in settings.parts}
    shift_shape = (jobs, len(SHIFTED), len(model.native))
    count = sum(sizes.values())

    def unpack(x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        values = model.defaults()
        pieces = torch.split(x[:count], list(sizes.values()))
        for name, piece in zip(sizes, pieces, strict=True):
            values[name] = (piece * PRIOR[name] * settings.prior).reshape(model.shapes[name])
        return values, (x[count:] * settings.shift).reshape(shift_shape) if by_job else None

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        point = torch.from_numpy(x.copy()).requires_grad_()
        values, shift = unpack(point)
        residual = model.expectations(prepared, values, shift) - measured
        misfit = (torch.sqrt(1 + residual**2 / variance) - 1).sum()
        loss = misfit + (point**2).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        assert point.grad is not None
        return float(loss.detach()), point.grad.numpy()

    with _one_thread():
        optimum = scipy.optimize.minimize(
            objective,
            np.zeros(count + (int(np.prod(shift_shape)) if by_job else 0)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": settings.iterations},
        )
    with torch.no_grad():
        values, shift = unpack(torch.from_numpy(optimum.x))
    return NoiseFit(
        model,
        settings,
        {name: value.numpy() for name, value in values.items()},
        np.zeros(shift_shape) if shift is None else shift.numpy(),
        float(optimum.fun),
        int(optimum.nit),
    )


def thirds(circuits: InstructionTable, measured: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """Split circuits: a third to fit, the rest to report on; equal ones stay together."""
    _, kind = np.unique(circuits.circuit_ids(measured), return_inverse=True)
    kinds = int(kind.max(initial=-1)) + 1
    chosen = np.random.default_rng(seed).permutation(kinds)[: round(kinds / 3)]
    inside = np.isin(kind, chosen)
    return np.flatnonzero(inside), np.flatnonzero(~inside)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: more would mostly wait for each other on such small matrices."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
