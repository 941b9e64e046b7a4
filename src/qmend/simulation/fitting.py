"""Fit a surrogate's constants to expectation values that a real device has measured.

Minimises, over the constants theta and a shift s_j of the coherent errors in each job j,

    sum_i rho(r_i^2 / (v_i + d^2)) / 2 + |theta / sigma|^2 / 2 + |s / sigma_s|^2 / 2,

with r_i = simulated - measured <Z>, v_i its shot noise, d what the model is allowed to miss, and
rho(u) = 2 (sqrt(1 + u) - 1), which is u for small residuals and grows slowly for the few values
of a faulty readout. L-BFGS, gradients through the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.simulation import differentiable
from qmend.simulation.fitted import (
    REVERSED,
    TERMS,
    FittedConfig,
    GateConstants,
    QubitConstants,
    Spread,
    reversed_terms,
)
from qmend.simulation.fusion import Fusion
from qmend.simulation.noise import DeviceNoise, NoiseParameters
from qmend.simulation.surrogate import Constants, Plan, SurrogateConfig, SurrogateNoise
from qmend.types import FloatArray, IntArray, QmendError

#: Errors after the device's own direction of a two-qubit gate.
NATIVE_TERMS = tuple(REVERSED)
#: Those that shift from job to job: phases of control and target.
SHIFTED = ("ZI", "IZ")
#: Prior standard deviations: angles in rad, of factors the logarithm's. ZZ, ZX, stark and rx are
#: those of ``conf/noise/surrogate_hardware.yaml``.
PRIOR: dict[str, float] = {
    "gate_error": 0.5,
    "error": 0.5,
    "t1": 0.3,
    "t2": 0.4,
    "ZZ": 0.05,
    "ZX": 0.04,
    "IX": 0.03,
    "IY": 0.03,
    "IZ": 0.03,
    "ZI": 0.03,
    "ZY": 0.03,
    "stark": 0.03,
    "sx": 0.012,
    "x": 0.012,
    "rz": 0.01,
    "flip_up": 0.7,
    "flip_down": 0.7,
}


@dataclass(frozen=True)
class Measurements:
    """Executed circuits and the expectation values that a device gave.

    Attributes:
        circuits: N circuits as they were executed.
        measured: (N, k) chain position behind each value.
        z: (N, k) measured <Z>, readout error included.
        job: (N,) number of the job of each, 0..J-1.
        shots: behind each value.
    """

    circuits: InstructionTable
    measured: IntArray
    z: FloatArray
    job: IntArray
    shots: int

    def __post_init__(self) -> None:
        n = len(self.circuits)
        if self.z.shape != self.measured.shape or len(self.z) != n or len(self.job) != n:
            raise QmendError(
                f"{n} circuits need as many rows of positions {self.measured.shape}, values "
                f"{self.z.shape} and jobs {self.job.shape}; give one each."
            )
        if not (np.abs(self.z) <= 1).all():
            raise QmendError(
                "A measured <Z> lies outside -1..1 or is missing; remove that circuit."
            )

    def __len__(self) -> int:
        return len(self.circuits)

    def select(self, index: IntArray) -> Measurements:
        return Measurements(
            self.circuits.select(index),
            self.measured[index],
            self.z[index],
            self.job[index],
            self.shots,
        )


@dataclass(frozen=True)
class FitSettings:
    """What cross-validation chooses.

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
class _Prepared:
    """Circuits made ready for many evaluations."""

    plan: Plan
    fusion: Fusion
    measured: Tensor


class NoiseModel:
    """The surrogate's physics on a chain as a function of its constants, in torch.

    Coherent errors belong to the device's own direction of a two-qubit gate (the shorter) and
    appear in the other direction as :data:`~qmend.simulation.fitted.REVERSED` says.

    Attributes:
        shapes: of each constant.
        native: (E, 2) control and target of each two-qubit gate in the device's own direction.
    """

    def __init__(self, calibration: Calibration, layout: Sequence[int]) -> None:
        self.calibration, self.layout = calibration, tuple(layout)
        switches = SurrogateConfig(name="surrogate_hardware", drift=0.0)
        self._noise = SurrogateNoise(calibration, layout, switches)
        self.known = replace(
            self._noise.base.parameters,
            t2=torch.minimum(self._noise.base.parameters.t2, 2 * self._noise.base.parameters.t1),
        )
        edges, n = self._noise.edges, len(layout)
        length = {
            (int(a), int(b)): float(time)
            for a, b, time in zip(
                self.known.first, self.known.second, self.known.length, strict=True
            )
        }
        pairs = [(int(a), int(b)) for a, b in edges]
        native = [p for p in pairs if length[p] <= length.get(p[::-1], np.inf)]
        self.native = np.array(native, dtype=np.int64).reshape(-1, 2)
        self._edge = torch.tensor([native.index(p if p in native else p[::-1]) for p in pairs])
        forward = torch.tensor([p in native for p in pairs])
        # Where an error of a native gate appears among the terms of each directed gate.
        self._appears = torch.zeros(len(TERMS), len(NATIVE_TERMS), len(pairs), dtype=torch.float64)
        for k, term in enumerate(NATIVE_TERMS):
            other, sign = REVERSED[term]
            self._appears[TERMS.index(term), k] += forward.double()
            self._appears[TERMS.index(other), k] += sign * (~forward).double()
        per_gate, per_qubit = (len(native),), (n,)
        self.shapes: dict[str, tuple[int, ...]] = {
            name: per_gate if name in NATIVE_TERMS or name == "gate_error" else per_qubit
            for name in PRIOR
        }
        self.shapes["stark"] = (len(native), n)

    def defaults(self) -> dict[str, Tensor]:
        """All constants zero: the calibration's own model."""
        return {
            name: torch.zeros(shape, dtype=torch.float64) for name, shape in self.shapes.items()
        }

    def prepare(self, data: Measurements, by_job: bool) -> _Prepared:
        """The circuits' structure, with a group of two-qubit gates for each job if asked for."""
        plan = self._noise.plan(data.circuits, data.job if by_job else None)
        return _Prepared(plan, Fusion.of(plan.sequence), torch.from_numpy(data.measured))

    def expectations(
        self, prepared: _Prepared, values: dict[str, Tensor], shift: Tensor | None = None
    ) -> Tensor:
        """(N, k) <Z> with readout error.

        Args:
            values: the constants by name: angles, and logarithms of factors.
            shift: (J, len(SHIFTED), E) added to the shifted terms, for circuits grouped by job.
        """
        base = DeviceNoise(self.calibration, self.layout, self._parameters(values))
        one, two = self._noise.channels(prepared.plan, self._constants(values, shift), base)
        n = len(self.layout)
        parities = differentiable.evolve(prepared.fusion.program(one, two))
        single = parities[:, [1 << q for q in range(n)]]
        up, down = self._flips(values)
        return torch.gather((1 - up - down) * single + down - up, 1, prepared.measured)

    def _flips(self, values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return (
            self.known.flip_up * torch.exp(values["flip_up"]),
            self.known.flip_down * torch.exp(values["flip_down"]),
        )

    def _parameters(self, values: dict[str, Tensor]) -> NoiseParameters:
        known = self.known
        first = torch.from_numpy(known.first)
        is_two = torch.from_numpy(known.second >= 0)
        codes = torch.zeros(len(known.first), dtype=torch.long)
        codes[is_two] = self._edge
        logarithm = torch.where(is_two, values["gate_error"][codes], values["error"][first])
        return replace(
            known,
            t1=known.t1 * torch.exp(values["t1"]),
            t2=known.t2 * torch.exp(values["t2"]),
            error=known.error * torch.exp(logarithm),
        )

    def _constants(self, values: dict[str, Tensor], shift: Tensor | None) -> Constants:
        native = torch.stack([values[term] for term in NATIVE_TERMS])  # (terms, E)
        if shift is not None:
            moved = torch.zeros(len(shift), *native.shape, dtype=torch.float64)
            rows = torch.tensor([NATIVE_TERMS.index(term) for term in SHIFTED])
            native = native + moved.index_copy(1, rows, shift)
        terms = torch.einsum("tkp,...kp->...tp", self._appears, native[..., self._edge])
        used = {term: terms[..., k, :] for k, term in enumerate(TERMS)}
        n = len(self.layout)
        return Constants(
            zz=used.pop("ZZ"),
            zx=used.pop("ZX"),
            stark=values["stark"][self._edge],
            rx=torch.stack([values["sx"], values["x"]]),
            idle_zz=torch.zeros(n, n, dtype=torch.float64),
            terms=used,
            rz=values["rz"],
        )

    def config(
        self, values: dict[str, FloatArray], drift: FloatArray, device_seed: int = 0
    ) -> FittedConfig:
        """The constants as a noise config, for qubits and gates of the chain.

        Args:
            drift: (len(SHIFTED), E) standard deviations of the shifts from job to job.
        """
        up, down = self._flips({k: torch.from_numpy(v) for k, v in values.items()})
        qubits = {
            physical: QubitConstants(
                t1=_rounded(np.exp(values["t1"][k])),
                t2=_rounded(np.exp(values["t2"][k])),
                error=_rounded(np.exp(values["error"][k])),
                sx=_rounded(values["sx"][k]),
                x=_rounded(values["x"][k]),
                rz=_rounded(values["rz"][k]),
                flip_up=_rounded(min(float(up[k]), 0.5)),
                flip_down=_rounded(min(float(down[k]), 0.5)),
            )
            for k, physical in enumerate(self.layout)
        }
        gates = {}
        for edge, (a, b) in enumerate(self.native):
            own = {term: _rounded(values[term][edge]) for term in NATIVE_TERMS}
            stark = {
                physical: _rounded(values["stark"][edge, k])
                for k, physical in enumerate(self.layout)
                if k not in (a, b)
            }
            error = _rounded(np.exp(values["gate_error"][edge]))
            moving = {term: _rounded(drift[k, edge]) for k, term in enumerate(SHIFTED)}
            name = (self.layout[a], self.layout[b])
            gates[f"{name[0]}-{name[1]}"] = GateConstants(
                error=error, terms=own, stark=stark, drift=moving
            )
            if self._noise.base.two_row[:, b, a].max() >= 0:
                gates[f"{name[1]}-{name[0]}"] = GateConstants(
                    error=error, terms=reversed_terms(own), stark=stark
                )
        return FittedConfig(
            name="surrogate_fitted",
            device_seed=device_seed,
            qubits=qubits,
            gates=gates,
            spread=self._spread(values, drift),
        )

    def _spread(self, values: dict[str, FloatArray], drift: FloatArray) -> Spread:
        factors = {
            name: (_rounded(values[name].mean()), _rounded(values[name].std()))
            for name in ("t1", "t2", "error", "gate_error", "flip_up", "flip_down")
        }
        spectators = np.ones(values["stark"].shape, dtype=bool)
        np.put_along_axis(spectators, self.native, False, axis=1)
        return Spread(
            **factors,
            rx=_rms(np.concatenate([values["sx"], values["x"]])),
            rz=_rms(values["rz"]),
            stark=_rms(values["stark"][spectators]),
            terms={term: _rms(values[term]) for term in NATIVE_TERMS},
            drift={term: _rms(drift[k]) for k, term in enumerate(SHIFTED)},
        )


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
    """The constants, and the shift of each job, that fit the measurements best.

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
        found = scipy.optimize.minimize(
            objective,
            np.zeros(count + (int(np.prod(shift_shape)) if by_job else 0)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": settings.iterations},
        )
    with torch.no_grad():
        values, shift = unpack(torch.from_numpy(found.x))
    return NoiseFit(
        model,
        settings,
        {name: value.numpy() for name, value in values.items()},
        np.zeros(shift_shape) if shift is None else shift.numpy(),
        float(found.fun),
        int(found.nit),
    )


def thirds(circuits: InstructionTable, measured: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """A third of the circuits to fit, the rest to report on; equal circuits stay together."""
    _, kind = np.unique(circuits.circuit_ids(measured), return_inverse=True)
    kinds = int(kind.max(initial=-1)) + 1
    chosen = np.random.default_rng(seed).permutation(kinds)[: round(kinds / 3)]
    inside = np.isin(kind, chosen)
    return np.flatnonzero(inside), np.flatnonzero(~inside)


@dataclass(frozen=True)
class Validation:
    """Mean absolute error of <Z> on circuits left out of a fit.

    Attributes:
        static: without the shift of the circuits' jobs.
        shifted: with the shift that the other circuits of the job gave.
    """

    settings: FitSettings
    static: float
    shifted: float


def cross_validate(
    model: NoiseModel,
    data: Measurements,
    choices: Sequence[FitSettings],
    folds: int = 3,
    seed: int = 0,
) -> list[Validation]:
    """Each choice fitted on all folds but one and scored on that, equal circuits together."""
    _, kind = np.unique(data.circuits.circuit_ids(data.measured), return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(kind.max(initial=-1)) + 1)
    fold = np.argsort(order)[kind] % folds
    results = []
    for settings in choices:
        errors = np.zeros((2, folds))
        for k in range(folds):
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            fit = fit_noise(model, data.select(inside), settings)
            rest = data.select(outside)
            unseen = rest.job >= len(fit.shift)
            if unseen.any():
                more = np.zeros((int(rest.job.max()) + 1 - len(fit.shift), *fit.shift.shape[1:]))
                fit = replace(fit, shift=np.concatenate([fit.shift, more]))
            for at, by_job in enumerate((False, settings.shift > 0)):
                error = fit.expectations(rest, by_job) - rest.z
                errors[at, k] = np.abs(error).sum()
        static, shifted = errors.sum(axis=1) / data.z.size
        results.append(Validation(settings, float(static), float(shifted)))
    return results


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that share so small matrices mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounded(value: float) -> float:
    """Six significant digits: more says nothing and fills a config."""
    return float(f"{float(value):.6g}")


def _rms(values: FloatArray) -> float:
    return _rounded(float(np.sqrt((values**2).mean())))
