"""The fidelity of noise models to a device: simulated and measured <Z> of the same circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.gates import TWO_QUBIT
from qmend.metrics import Bootstrap, Interval
from qmend.noise.base import Noise
from qmend.noise.config import SurrogateConfig
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.fit_model import NoiseModel
from qmend.noise.fitting import FitSettings, NoiseFit, fit_noise, thirds
from qmend.noise.measurements import Measurements
from qmend.noise.readout import readout_matrices
from qmend.simulation import kernel
from qmend.simulation.program import Program
from qmend.types import FloatArray, IntArray

#: Numbers of two-qubit gates, both ends included, that tables tell apart.
BINS: tuple[tuple[int, int], ...] = ((8, 19), (20, 34), (35, 49), (50, 62))
#: Constants that leave no coherent error.
INCOHERENT = ("gate_error", "error", "t1", "t2", "flip_up", "flip_down")
#: Names of the rows of a report.
MEASURED, IDEAL = "measured", "ideal"
DEFAULT, SURROGATE = "device model of Aer", "surrogate, constants drawn"
INCOHERENT_FIT, FITTED = "fitted without coherent errors", "fitted"
BY_JOB = "fitted, shift of the job known"
DRIFTING, SCATTERED = "fitted, drift drawn", "fitted, drift and scatter drawn"
_FAULT = 8.0


@dataclass(frozen=True)
class Agreement:
    """One set of <Z> against ideal and against measured values, with intervals.

    Attributes:
        name: of the row.
        slope: sum(ideal * z) / sum(ideal^2), a line through the origin.
        mean_error: mean |z - ideal|.
        correlation: with the ideal values.
        slopes, mean_errors, correlations: the same for each of :data:`BINS`.
        error_to_measured: root mean square of z - measured.
        median_to_measured: median of |z - measured|, which few faulty values do not move.
        correlation_to_measured: with the measured values.
    """

    name: str
    slope: Interval
    mean_error: Interval
    correlation: Interval
    slopes: tuple[Interval, ...]
    mean_errors: tuple[Interval, ...]
    correlations: tuple[Interval, ...]
    error_to_measured: Interval
    median_to_measured: Interval
    correlation_to_measured: Interval


@dataclass(frozen=True)
class FitReport:
    """The result of a fit to one third of the circuits, on the other two.

    Attributes:
        rows: of the table, on the held-out circuits.
        sound: the same rows without the jobs in ``faulty``.
        faulty: jobs in which a qubit's measured values of the *training* circuits are off by
            more than eight times what they usually are.
        fit, incoherent: fits of all constants, and of those without coherent errors.
        train, test: circuits of the fit and of the rows.
        values: (N, k) <Z> of each row's name, all circuits.
        two_qubit: (N,) two-qubit gates.
        job: (N,) number of the job.
        scatter: standard deviation of <Z> within a job that the fit leaves unexplained, shot
            noise taken off; faulty jobs left out.
        qubit: (N, k) chain position of each value.
    """

    rows: tuple[Agreement, ...]
    sound: tuple[Agreement, ...]
    faulty: tuple[int, ...]
    fit: NoiseFit
    incoherent: NoiseFit
    train: IntArray
    test: IntArray
    values: dict[str, FloatArray]
    two_qubit: IntArray
    job: IntArray
    scatter: float
    qubit: IntArray


def agreements(
    values: Mapping[str, FloatArray],
    two_qubit: IntArray,
    bootstrap: Bootstrap,
) -> tuple[Agreement, ...]:
    """Compute a row for each of the values, which include :data:`MEASURED` and :data:`IDEAL`.

    Args:
        values: (N, k) <Z> by name.
        two_qubit: (N,) two-qubit gates of each circuit.
        bootstrap: over the N circuits, for 95 % intervals.
    """
    ideal, measured = values[IDEAL], values[MEASURED]
    inside = [(two_qubit >= low) & (two_qubit <= high) for low, high in BINS]

    def figures(z: FloatArray, index: IntArray) -> list[float]:
        values = [*_to_ideal(z[index], ideal[index])]
        for bin in inside:
            chosen = index[bin[index]]
            values += _to_ideal(z[chosen], ideal[chosen])
        difference = z[index] - measured[index]
        values.append(float(np.sqrt((difference**2).mean())))
        values.append(float(np.median(np.abs(difference))))
        values.append(_correlation(z[index], measured[index]))
        return values

    samples = list(bootstrap.samples())
    rows = []
    for name, z in values.items():
        value = figures(z, np.arange(len(ideal)))
        drawn = np.array([figures(z, index) for index in samples])
        # A bin without circuits has no figures.
        filled = ~np.isnan(drawn).all(axis=0)
        low, high = np.full((2, len(value)), np.nan)
        low[filled], high[filled] = np.nanpercentile(drawn[:, filled], [2.5, 97.5], axis=0)
        intervals = [
            Interval(v, float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)
        ]
        bins = intervals[3:-3]
        rows.append(
            Agreement(
                name=name,
                slope=intervals[0],
                mean_error=intervals[1],
                correlation=intervals[2],
                slopes=tuple(bins[::3]),
                mean_errors=tuple(bins[1::3]),
                correlations=tuple(bins[2::3]),
                error_to_measured=intervals[-3],
                median_to_measured=intervals[-2],
                correlation_to_measured=intervals[-1],
            )
        )
    return tuple(rows)


def _to_ideal(z: FloatArray, ideal: FloatArray) -> list[float]:
    if not len(z):
        return [np.nan] * 3
    slope = float((ideal * z).sum() / (ideal**2).sum())
    return [slope, float(np.abs(z - ideal).mean()), _correlation(z, ideal)]


def _correlation(z: FloatArray, other: FloatArray) -> float:
    if z.size < 2 or not z.std() or not other.std():
        return np.nan
    return float(np.corrcoef(z.ravel(), other.ravel())[0, 1])


def expectations(program: Program, measured: IntArray, readout: FloatArray) -> FloatArray:
    """Compute <Z> (N, k) behind each classical bit, with readout error.

    Args:
        readout: (n, 2, 2) matrices M[measured, prepared].
    """
    single = kernel.evolve(program)[:, [1 << q for q in range(program.n_qubits)]]
    up, down = readout[:, 1, 0], readout[:, 0, 1]
    return np.take_along_axis((1 - up - down) * single + down - up, measured, axis=1)


def fit_report(
    circuits: InstructionTable,
    measured: IntArray,
    measured_z: FloatArray,
    ideal_z: FloatArray,
    groups: IntArray,
    calibration: Calibration,
    layout: Sequence[int],
    seed: int = 0,
    shots: int = 10_000,
    settings: FitSettings | None = None,
    others: Mapping[str, FloatArray] | None = None,
    replicates: int = 500,
) -> FitReport:
    """Fit on a third of the circuits and compare all noise models on the rest.

    Args:
        circuits: N circuits as executed.
        measured: (N, k) chain position behind each value.
        measured_z, ideal_z: (N, k) <Z>.
        groups: (N,) job of each circuit.
        calibration: the snapshot that the models start from.
        layout: physical qubits of the chain.
        seed: of the split, the surrogate's drawn constants and the drawn drift.
        shots: behind each measured value.
        settings: of the fit; the default is what cross-validation chose on ibm_algiers.
        others: further (N, k) <Z> to put into the table, by name.
        replicates: of the bootstrap over jobs.

    Raises:
        QmendError: if a circuit has a gate that the device lacks, or the shapes do not fit.
    """
    settings = settings or FitSettings()
    _, job = np.unique(groups, return_inverse=True)
    data = Measurements(circuits, measured, measured_z, job.astype(np.int64), shots)
    train, test = thirds(circuits, measured, seed)
    model = NoiseModel(calibration, layout)
    fit = _all_jobs(fit_noise(model, data.select(train), settings), int(job.max()) + 1)
    incoherent = fit_noise(
        model, data.select(train), replace(settings, parts=INCOHERENT, shift=0.0)
    )
    plain = readout_matrices(calibration, layout)
    drawn = SurrogateConfig(name="surrogate_hardware", device_seed=seed)
    by_job = fit.expectations(data, by_job=settings.shift > 0)
    faulty = _faulty(by_job[train] - measured_z[train], measured[train], job[train])
    good = np.isin(job[train], faulty, invert=True)
    shot_noise = np.clip(1 - measured_z**2, 0, None) / shots
    left = ((by_job - measured_z) ** 2 - shot_noise)[train][good]
    scatter = float(np.sqrt(max(left.mean(), 0.0)))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    drifting = _job_by_job(
        fit.config.model_copy(update={"device_seed": seed}).build(calibration, layout), data
    )
    values = {
        MEASURED: measured_z,
        **(others or {}),
        IDEAL: ideal_z,
        DEFAULT: expectations(DeviceNoise(calibration, layout).program(circuits), measured, plain),
        SURROGATE: _job_by_job(drawn.build(calibration, layout), data),
        INCOHERENT_FIT: incoherent.expectations(data),
        FITTED: fit.expectations(data),
        BY_JOB: by_job,
        DRIFTING: drifting,
        SCATTERED: drifting
        + np.sqrt(scatter**2 + shot_noise) * rng.standard_normal(measured_z.shape),
    }
    two_qubit = circuits.count(*TWO_QUBIT)
    tables = []
    for chosen in (test, test[np.isin(job[test], faulty, invert=True)]):
        part = {name: z[chosen] for name, z in values.items()}
        bootstrap = Bootstrap.over(job[chosen], replicates, seed)
        tables.append(agreements(part, two_qubit[chosen], bootstrap))
    return FitReport(
        tables[0],
        tables[1],
        faulty,
        fit,
        incoherent,
        train,
        test,
        values,
        two_qubit,
        job.astype(np.int64),
        scatter,
        measured,
    )


def _all_jobs(fit: NoiseFit, jobs: int) -> NoiseFit:
    """Extend a fit with zero shift for jobs that it has not seen."""
    more = np.zeros((jobs - len(fit.shift), *fit.shift.shape[1:]))
    return replace(fit, shift=np.concatenate([fit.shift, more]))


def _job_by_job(noise: Noise, data: Measurements) -> FloatArray:
    """Compute <Z> (N, k), each circuit under the noise of its job."""
    z = np.empty(data.z.shape)
    for job in np.unique(data.job):
        at = np.flatnonzero(data.job == job)
        program = noise.program(data.circuits.select(at), int(job))
        z[at] = expectations(program, data.measured[at], noise.readout)
    return z


def _faulty(residual: FloatArray, qubit: IntArray, job: IntArray) -> tuple[int, ...]:
    """List jobs in which a qubit's median residual is far outside the usual range."""
    faulty: set[int] = set()
    for q in np.unique(qubit):
        medians = {
            int(j): float(np.median(residual[job == j][qubit[job == j] == q]))
            for j in np.unique(job)
        }
        usual = 1.4826 * np.median(np.abs(list(medians.values())))
        faulty |= {j for j, median in medians.items() if abs(median) > _FAULT * usual}
    return tuple(sorted(faulty))
