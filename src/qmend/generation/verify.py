"""Verify a simulated dataset: hashes, labels, splits, noise, shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from qmend.circuits.statevector import compiled_probabilities, to_bit_order
from qmend.datasets.config import recipe_configs
from qmend.datasets.table import Dataset, load_dataset, read_distributions
from qmend.generation.execution import execute, execution_seed
from qmend.generation.job import check_labels, generation_setup
from qmend.noise.base import Executor
from qmend.simulation.sampling import STEPS
from qmend.types import QmendError

#: A step of the grid of stored probabilities: rounding moves them by less.
TOLERANCE = 1 / STEPS
#: Counts less likely than this under ``noisy_exact`` are refused.
LEAST_P_VALUE = 1e-6


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify_dataset`.

    Attributes:
        rows: circuits whose labels were proven.
        simulated: circuits simulated again.
        difference: largest, between stored noisy probabilities and the executor's.
        difference_to_aer: the same with Aer; None for noise that Aer's device model lacks.
        p_value: chi-square of all counts against ``noisy_exact``; 1 without it.
    """

    rows: int
    simulated: int
    difference: float
    difference_to_aer: float | None
    p_value: float


def verify_dataset(folder: Path, sample: int = 20) -> Verification:
    """Check a dataset thoroughly.

    Every file matches its hash; every label is the noiseless measured distribution of its
    circuit; every ``circuit_id`` is that of its instructions; no job and no circuit is in two
    splits; a sample of noisy distributions equals Aer's; all counts fit them (chi-square).

    Raises:
        QmendError: naming the first thing that is wrong.
    """
    data = load_dataset(folder)
    rows = data.rows
    table, measured = rows.circuits.instructions, rows.circuits.measured
    ideal = to_bit_order(compiled_probabilities(table), measured)
    check_labels(ideal, to_bit_order(rows.ideal, measured), str(folder), TOLERANCE)
    if table.circuit_ids(measured) != rows.circuit_id.tolist():
        raise QmendError(f"{folder}: a circuit_id is not the hash of its instructions.")
    for name, column in (("job", rows.job_id), ("circuit", rows.circuit_id)):
        pairs = set(zip(column.tolist(), data.split.tolist(), strict=True))
        if len(pairs) != len(set(column.tolist())):
            raise QmendError(f"{folder}: a {name} is in two splits; generate the data again.")
    if rows.noisy_exact is None:
        return Verification(len(rows), 0, 0.0, None, 1.0)
    config, device = recipe_configs(data.manifest.recipe)
    setup = generation_setup(config, device)
    ids = [c.calibration_id for c in rows.circuits.calibrations]
    for job, k in zip(rows.job.tolist(), rows.circuits.calibration_index.tolist(), strict=True):
        if ids[k] != setup.calibration(job).calibration_id:
            raise QmendError(
                f"{folder}: a circuit of job {job} names another calibration than the job ran "
                "under; generate the data again."
            )
    seeds = np.asarray(read_distributions(folder)[1]["seed"]).tolist()
    randomizations = config.twirling.randomizations
    again = _difference(data, seeds, randomizations, sample, setup.executor) or 0.0
    to_aer = _difference(data, seeds, randomizations, sample, setup.aer)
    for difference, what in ((again, "a new simulation"), (to_aer or 0.0, "Aer's")):
        if not difference <= TOLERANCE:
            raise QmendError(
                f"{folder}: stored noisy distributions differ by {difference:.2g} from {what} "
                f"(allowed: {TOLERANCE:.2g}); generate the data again."
            )
    counts = rows.circuits.noisy * rows.circuits.shots[:, None]
    p_value = _chi_square(counts, rows.noisy_exact * rows.circuits.shots[:, None])
    if not p_value >= LEAST_P_VALUE:
        raise QmendError(
            f"{folder}: the counts do not fit the noisy distributions (p = {p_value:.2g})."
        )
    return Verification(len(rows), min(sample, len(rows)), again, to_aer, p_value)


def _difference(
    data: Dataset,
    seeds: Sequence[int],
    randomizations: int,
    sample: int,
    executor_of: Callable[[int], Executor | None],
) -> float | None:
    """Largest difference of stored probabilities from an executor's, on a sample of rows.

    None if there is no executor.

    Args:
        seeds: of each circuit.
        executor_of: job -> executor.
    """
    chosen = np.unique(np.linspace(0, len(data.rows) - 1, sample).astype(np.int64))
    part = data.rows.select(chosen)
    circuits = part.circuits
    jobs = part.job
    assert part.noisy_exact is not None
    differences = [0.0]
    for job in np.unique(jobs).tolist():
        at = np.flatnonzero(jobs == job)
        executor = executor_of(job)
        if executor is None:
            return None
        _, source = execute(
            circuits.instructions.select(at),
            circuits.measured[at],
            [execution_seed(seeds[row]) for row in chosen[at]],
            circuits.shots[at],
            executor,
            job,
            randomizations,
        )
        stored = to_bit_order(part.noisy_exact[at], circuits.measured[at])
        differences.append(np.abs(source - stored).max())
    return float(np.max(differences))  # NaN stays NaN


def _chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """p-value of all rows together; outcomes expected less than five times are pooled by row."""
    rare = expected < 5
    pooled = [(x * rare).sum(axis=1, keepdims=True) for x in (observed, expected)]
    seen = np.concatenate([np.where(rare, 0, observed), pooled[0]], axis=1)
    mean = np.concatenate([np.where(rare, 0, expected), pooled[1]], axis=1)
    used = mean >= 5
    statistic = ((seen - mean)[used] ** 2 / mean[used]).sum()
    freedom = used.sum() - len(observed)
    return float(stats.chi2.sf(statistic, freedom))
