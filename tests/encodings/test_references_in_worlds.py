"""References by design in simulated worlds, beside other circuits of the job.

The table of docs/architecture.md is ``table(range(60), job_size=96)``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.references import draw_references, known_ideal
from qmend.circuits.statevector import to_chain_order
from qmend.datasets.circuits import CircuitBatch, fill_missing
from qmend.datasets.table import unknown_calibration_of
from qmend.devices.device import resolve
from qmend.encodings import ENCODINGS
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers, references_of
from qmend.generation.execution import Execution, execution_seed
from qmend.generation.job import DrawnJob, draw_job
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.noise.device_numbers import References
from qmend.noise.parity_model import noisy_parities
from qmend.types import QmendError
from qmend.workflows.compose import compose

TARGETS, COUNTS = 5, (1, 3, 9)


@dataclass(frozen=True)
class World:
    """One job of worlds, whose circuits can be measured."""

    setup: GenerationSetup
    job: int
    drawn: DrawnJob
    encoding: DevicePathsEncoding

    def measure(
        self, table: InstructionTable, measured: np.ndarray, seeds: Iterable[int]
    ) -> CircuitBatch:
        """Measure circuits in the job, with what its device shows; missing values are filled."""
        chain, shots = self.setup.of_job(self.job).device, self.setup.dataset.draw_shots(self.job)
        own = [execution_seed(seed) for seed in seeds]
        executor = self.setup.executor(self.job)
        shots = np.full(len(own), shots)
        counts, _ = Execution(table, measured, own, shots, executor, self.job, 0).sample()
        shown = self.setup.reported(self.job)
        if shown is None:
            calibration = unknown_calibration_of("x", chain.layout, table)
        else:
            calibration = shown.restrict(chain.layout)
        batch = CircuitBatch(
            table,
            to_chain_order(counts / shots[:, None], measured),
            shots,
            (chain.layout,),
            (calibration,),
            np.zeros(len(own), dtype=int),
            measured,
            executed=np.full(len(own), not self.setup.noise_config(self.job).hides_gates),
        )
        return fill_missing(batch, self.encoding.mean_calibration).circuits

    def told(self, circuits: CircuitBatch, ideal: np.ndarray) -> References:
        """All circuits as references."""
        rows = np.arange(len(circuits))
        return references_of(circuits, self.encoding.losses(circuits), ideal, rows)


def some(references: References, rows: np.ndarray) -> References:
    losses = type(references.losses)(
        *(getattr(references.losses, name)[rows] for name in ("gates", "waits", "readout"))
    )
    return References(losses, references.seen[rows], references.ideal[rows], references.shots[rows])


def table(jobs: Iterable[int], job_size: int) -> dict[tuple[str, int], np.ndarray]:
    """(kind, K) -> mean of four figures over targets of all jobs.

    They are the deviation and the distance of the mean from the fit to all circuits of the job,
    both in deviations of the prior and root mean squared over the four numbers; the mean absolute
    difference of theta from that fit; and the deviation of the target's measured parities from
    those that the mean predicts.
    """
    config = compose("generate", ["dataset=worlds", "device=algiers_line"])
    dataset = config.simulated.model_copy(update={"job_size": job_size})
    setup = generation_setup(dataset, resolve(config.device))
    encoding = ENCODINGS["device_paths"]()
    assert isinstance(encoding, DevicePathsEncoding)
    figures: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    shown = next(job for job in jobs if setup.reported(job) is not None)
    drawn = draw_job(setup, shown, {})
    first = World(setup, shown, drawn, encoding)
    # Its means stand in for what other devices hide.
    encoding.fit(first.measure(drawn.table, drawn.measured, drawn.seeds))
    for job in jobs:
        drawn = draw_job(setup, job, {})
        world = World(setup, job, drawn, encoding)
        circuits = world.measure(drawn.table, drawn.measured, drawn.seeds)
        ideal = to_chain_order(drawn.ideal, drawn.measured)
        job_told = world.told(circuits, ideal)
        rng = np.random.default_rng([5, job])
        for target in rng.permutation(job_size)[:TARGETS].tolist():
            one = circuits.select(np.array([target]))
            try:
                references = draw_references(one.instructions, one.measured[0], 9, seed=target)
            except QmendError:  # such as a circuit of X and CX alone
                continue
            measured = np.tile(one.measured, (9, 1))
            seeds = range(1000 * target, 1000 * target + 9)
            by_design = world.measure(references, measured, seeds)
            kinds = {
                "design": (
                    world.told(by_design, known_ideal(references, measured)),
                    np.arange(9),
                ),
                "others": (job_told, rng.permutation(np.delete(np.arange(job_size), target))[:9]),
            }
            prior, fit = known_numbers(one)[0], known_numbers(one, [job_told])[0]
            own = some(job_told, np.array([target]))

            def rate(numbers: np.ndarray, prior=prior, fit=fit, own=own) -> list[float]:
                off = numbers[:4] - fit[:4]
                missed = noisy_parities(own.losses, own.ideal, numbers[:4]) - own.seen
                return [
                    np.sqrt(((numbers[4:8] / prior[4:8]) ** 2).mean()),
                    np.sqrt(((off / prior[4:8]) ** 2).mean()),
                    np.abs(off).mean(),
                    np.sqrt((missed[:, 1:] ** 2).mean()),
                ]

            figures["prior", 0].append(rate(prior))
            figures["job", job_size].append(rate(fit))
            for kind, (told, order) in kinds.items():
                for count in COUNTS:
                    numbers = known_numbers(one, [some(told, order[:count])])[0]
                    figures[kind, count].append(rate(numbers))
    return {key: np.mean(rows, axis=0) for key, rows in figures.items()}


@pytest.fixture(scope="module")
def figures() -> dict[tuple[str, int], np.ndarray]:
    return table(range(10), job_size=24)


def test_they_narrow_the_posterior_about_as_much_as_other_circuits(figures):
    deviations = {key: row[0] for key, row in figures.items()}
    for count in COUNTS:
        assert deviations["design", count] < 1.25 * deviations["others", count]
    assert deviations["design", 9] < deviations["design", 3] < deviations["design", 1] < 1


def test_their_numbers_fit_the_target_at_least_as_well(figures):
    missed = {key: row[3] for key, row in figures.items()}
    for count in COUNTS:
        assert missed["design", count] < missed["prior", 0]
        assert missed["design", count] < 1.05 * missed["others", count]
