"""Verify a simulated dataset: hashes, labels, splits, noise, shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from qmend.circuits.statevector import (
    compiled_probabilities,
    measured_marginals,
    to_bit_order,
)
from qmend.datasets.config import recipe_configs
from qmend.datasets.schema import REFERENCE
from qmend.datasets.stored_rows import by_size, read_distributions
from qmend.datasets.table import LabelledCircuits, labelled_rows
from qmend.devices.imputation import UNKNOWN_TIME
from qmend.generation.execution import Execution, execution_seed
from qmend.generation.job import check_labels
from qmend.generation.setup import generation_setup
from qmend.noise.base import Executor
from qmend.simulation.sampling import STEPS
from qmend.types import FloatArray, QmendError

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
    circuit; every ``circuit_id`` is that of its instructions; no job and no circuit, whatever it
    measures, is in two splits (references are in none); a sample of noisy distributions equals
    Aer's; all counts fit them (chi-square).

    Raises:
        QmendError: naming the first thing that is wrong.
    """
    manifest, stored = read_distributions(folder)
    tables = by_size(stored)
    groups = labelled_rows(tables, folder)
    splits = [split for table in tables for split in table["split"].to_pylist()]
    jobs = [job for group in groups for job in group.job_id.tolist()]
    circuits = [name for group in groups for name in group.circuits.instructions.circuit_ids()]
    for what, ids in (("job", jobs), ("circuit", circuits)):
        pairs = {(i, s) for i, s in zip(ids, splits, strict=True) if s != REFERENCE}
        if len(pairs) != len({name for name, _ in pairs}):
            raise QmendError(f"{folder}: a {what} is in two splits; generate the data again.")
    for group in groups:
        table, measured = group.circuits.instructions, group.circuits.measured
        ideal = measured_marginals(compiled_probabilities(table), measured)
        check_labels(ideal, group.ideal, str(folder), TOLERANCE)
        if table.circuit_ids(measured) != group.circuit_id.tolist():
            raise QmendError(f"{folder}: a circuit_id is not the hash of its instructions.")
    if any(group.noisy_exact is None for group in groups):
        return Verification(len(stored), 0, 0.0, None, 1.0)
    config, device = recipe_configs(manifest.recipe)
    setup = generation_setup(config, device)
    for group in groups:
        ran = np.unique(np.stack([group.job, group.circuits.calibration_index], axis=1), axis=0)
        for job, k in ran.tolist():
            shown, (own, layout) = setup.reported(job), group.circuits.chains[k]
            same = own.time == UNKNOWN_TIME if shown is None else own == shown.restrict(layout)
            if not same:
                raise QmendError(
                    f"{folder}: a circuit of job {job} names another calibration than the job ran "
                    "under; generate the data again."
                )
    samples = []  # at least one of each group
    for group, table in zip(groups, tables, strict=True):
        share = -(-sample // len(tables))
        chosen = np.unique(np.linspace(0, len(group) - 1, share, dtype=np.int64))
        samples.append((group.select(chosen), np.asarray(table["seed"])[chosen].tolist()))
    randomizations = config.twirling.randomizations
    again = _difference(samples, randomizations, setup.executor) or 0.0
    to_aer = _difference(samples, randomizations, setup.aer)
    for difference, what in ((again, "a new simulation"), (to_aer or 0.0, "Aer's")):
        if not difference <= TOLERANCE:
            raise QmendError(
                f"{folder}: stored noisy distributions differ by {difference:.2g} from {what} "
                f"(allowed: {TOLERANCE:.2g}); generate the data again."
            )
    p_value = _p_value(groups)
    if not p_value >= LEAST_P_VALUE:
        raise QmendError(
            f"{folder}: the counts do not fit the noisy distributions (p = {p_value:.2g})."
        )
    return Verification(len(stored), sum(len(part) for part, _ in samples), again, to_aer, p_value)


def _difference(
    samples: Sequence[tuple[LabelledCircuits, Sequence[int]]],
    randomizations: int,
    executor_of: Callable[[int], Executor | None],
) -> float | None:
    """Largest difference of stored probabilities from an executor's.

    None if there is no executor.

    Args:
        samples: rows with their seeds, by size.
        executor_of: job -> executor.
    """
    differences = [0.0]
    for part, seeds in samples:
        assert part.noisy_exact is not None
        circuits = part.circuits
        for job in np.unique(part.job).tolist():
            at = np.flatnonzero(part.job == job)
            executor = executor_of(job)
            if executor is None:
                return None
            source = Execution(
                circuits.instructions.select(at),
                circuits.measured[at],
                [execution_seed(seeds[row]) for row in at.tolist()],
                circuits.shots[at],
                executor,
                job,
                randomizations,
            ).expect()
            stored = to_bit_order(part.noisy_exact[at], circuits.measured[at])
            differences.append(np.abs(source - stored).max())
    return float(np.max(differences))  # NaN stays NaN


def _p_value(groups: Sequence[LabelledCircuits]) -> float:
    """Chi-square p-value of the counts of all rows together against ``noisy_exact``."""
    statistic, freedom = 0.0, 0
    for group in groups:
        shots = group.circuits.shots[:, None]
        assert group.noisy_exact is not None
        more, degrees = _chi_square(group.circuits.noisy * shots, group.noisy_exact * shots)
        statistic, freedom = statistic + more, freedom + degrees
    return float(stats.chi2.sf(statistic, freedom))


def _chi_square(observed: FloatArray, expected: FloatArray) -> tuple[float, int]:
    """Statistic and degrees of freedom of all rows together.

    Outcomes expected less than five times are pooled by row.
    """
    rare = expected < 5
    pooled = [(x * rare).sum(axis=1, keepdims=True) for x in (observed, expected)]
    seen = np.concatenate([np.where(rare, 0, observed), pooled[0]], axis=1)
    mean = np.concatenate([np.where(rare, 0, expected), pooled[1]], axis=1)
    used = mean >= 5
    statistic = ((seen - mean)[used] ** 2 / mean[used]).sum()
    return float(statistic), int(used.sum() - len(observed))
