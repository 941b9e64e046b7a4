"""Jobs of a simulated dataset: draw, compile, simulate, sample, prove the labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities, measured_marginals, read_out
from qmend.circuits.twirling import randomize
from qmend.datasets.config import DatasetConfig
from qmend.datasets.schema import REFERENCE, SCHEMA, instructions_column, rows_column
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig
from qmend.gates import TWO_QUBIT
from qmend.generation.execution import Execution, execution_seed
from qmend.generation.setup import GenerationSetup, generation_setup
from qmend.noise.base import Executor
from qmend.simulation.sampling import round_distributions
from qmend.types import FloatArray, IntArray, QmendError, Split

#: Largest difference allowed between the distributions of a source circuit and of the compiled
#: one, whose angles are rounded to steps of 5.7e-12.
LABEL_TOLERANCE = 1e-9
#: Ends the keys of random numbers that say which qubits are measured.
_MEASURED = (0, 0, 3)
#: Redraws of one circuit, after which its family counts as exhausted.
MAX_REDRAWS = 100


@dataclass(frozen=True)
class JobTask:
    """One job to make.

    Attributes:
        job: its number.
        attempts: circuit of the job -> how often it was redrawn.
    """

    dataset: DatasetConfig
    device: DeviceConfig
    job: int
    split: Split
    attempts: Mapping[int, int]


@dataclass(frozen=True)
class DrawnJob:
    """The circuits of one job before they run; bit order is the source's.

    Attributes:
        seeds: of each circuit.
        families: (N,) names.
        params: (N,) JSON of the family's parameters.
        table: the compiled circuits, chain order.
        measured: (N, m) chain position behind each classical bit.
        ideal: (N, 2^m) labels on their grid, proven.
    """

    seeds: list[int]
    families: list[str]
    params: list[str]
    table: InstructionTable
    measured: IntArray
    ideal: FloatArray

    @property
    def circuit_ids(self) -> list[str]:
        return self.table.circuit_ids(self.measured)

    @property
    def execution_seeds(self) -> list[np.random.SeedSequence]:
        return [execution_seed(seed) for seed in self.seeds]

    def compilations(self, randomizations: int) -> tuple[InstructionTable, IntArray]:
        """Compile all randomizations of the circuits, with the qubits that each measures.

        Raises:
            QmendError: as :func:`randomize`.
        """
        measured = np.repeat(self.measured, max(1, randomizations), axis=0)
        return randomize(self.table, self.execution_seeds, randomizations), measured


def draw_job(setup: GenerationSetup, job: int, attempts: Mapping[int, int]) -> DrawnJob:
    """Draw and compile the circuits of one job, and prove their labels.

    Args:
        attempts: circuit of the job -> how often it was already redrawn.

    Raises:
        QmendError: if a label differs from the compiled circuit's own noiseless distribution.
    """
    setup = setup.of_job(job)
    dataset = setup.dataset
    seeds, families, sources = [], [], []
    for index in range(dataset.job_size):
        seeds.append(circuit_seed(dataset.seed, job, index, attempts.get(index, 0)))
        family = dataset.family.stratum(job * dataset.job_size + index)
        families.append(family.name)
        sources.append(family.draw(np.random.default_rng(seeds[-1])))
    compiled = [setup.compiler(source) for source in sources]
    table = InstructionTable.from_circuits(
        setup.device.n_qubits, [c.instructions for c in compiled]
    )
    bits = _measured_bits(dataset, job, seeds)
    places = np.array([c.measured for c in compiled], dtype=np.int64)
    measured = np.take_along_axis(places, bits, axis=1)
    ideal = read_out(compiled_probabilities(table), measured)
    sources_own = measured_marginals(np.array([s.probabilities() for s in sources]), bits)
    check_labels(ideal, sources_own, f"job {job}", LABEL_TOLERANCE)
    params = [json.dumps(s.params, sort_keys=True) for s in sources]
    return DrawnJob(seeds, families, params, table, measured, round_distributions(ideal))


def _measured_bits(dataset: DatasetConfig, job: int, seeds: Sequence[int]) -> IntArray:
    """(N, m) qubits of each source circuit that are measured, ascending; m is one for the job."""
    n, m = dataset.family.n_qubits, dataset.draw_n_measured(job)
    if m == n:
        return np.tile(np.arange(n), (len(seeds), 1))
    streams = (np.random.default_rng([seed, *_MEASURED]) for seed in seeds)
    return np.array([np.sort(stream.permutation(n)[:m]) for stream in streams])


def draw_job_without(
    setup: GenerationSetup,
    job: int,
    unwanted: Callable[[list[str]], list[int]],
    exhausted: str,
) -> tuple[DrawnJob, dict[int, int]]:
    """Draw a job, and its unwanted circuits again until there are none.

    Args:
        unwanted: id of each circuit's instructions -> the circuits to be drawn again.
        exhausted: message for a family that has too few other circuits.

    Returns:
        The job, and circuit -> how often it was redrawn.

    Raises:
        QmendError: as :func:`draw_job`, or after :data:`MAX_REDRAWS` redraws of one circuit.
    """
    attempts: Counter[int] = Counter()
    while True:
        drawn = draw_job(setup, job, attempts)
        again = unwanted(drawn.table.circuit_ids())
        if not again:
            return drawn, dict(attempts)
        attempts.update(again)
        if max(attempts.values()) > MAX_REDRAWS:
            raise QmendError(exhausted)


def make_job(task: JobTask) -> pa.Table:
    """Simulate one job; return its circuits as rows of the contract.

    Raises:
        QmendError: if a label differs from the compiled circuit's own noiseless distribution.
    """
    dataset = task.dataset
    setup = generation_setup(dataset, task.device)
    drawn = draw_job(setup, task.job, task.attempts)
    executor = setup.executor(task.job)
    by_aer = dataset.simulator == "aer"
    reference = setup.noise(task.job) if by_aer else None
    counts, noisy_exact = simulate_job(drawn, executor, task.job, dataset, reference)
    return job_rows(
        setup.of_job(task.job),
        drawn,
        counts,
        noisy_exact,
        source="simulated",
        job=task.job,
        job_id=f"{dataset.name}-{task.job:06d}",
        calibration=setup.reported(task.job),
        executed_at=setup.calibration(task.job).time,
        split=task.split,
        executed=not setup.noise_config(task.job).hides_gates,
    )


def simulate_job(
    drawn: DrawnJob,
    executor: Executor,
    job: int,
    dataset: DatasetConfig,
    reference: Executor | None = None,
) -> tuple[IntArray, FloatArray]:
    """Simulate drawn circuits; counts and distributions as of :meth:`Execution.sample`."""
    shots = np.full(len(drawn.seeds), dataset.draw_shots(job))
    randomizations = dataset.twirling.randomizations
    return Execution(
        drawn.table,
        drawn.measured,
        drawn.execution_seeds,
        shots,
        executor,
        job,
        randomizations,
        reference,
    ).sample()


def job_rows(
    setup: GenerationSetup,
    drawn: DrawnJob,
    counts: IntArray,
    noisy_exact: FloatArray | None,
    *,
    source: str,
    job: int,
    job_id: str,
    calibration: Calibration | None,
    executed_at: datetime,
    split: Split,
    executed: bool = True,
) -> pa.Table:
    """Write a job that ran as rows of the contract.

    Args:
        counts: (N, 2^m) in the source's bit order; a row adds up to its shots.
        noisy_exact: (N, 2^m) the distributions behind them, None for hardware.
        source: ``simulated`` or ``hardware``.
        job: its number; ``job_id`` is its name.
        calibration: None if none is known.
        executed: whether the circuits have the gates that ran.
    """
    chain, size = setup.device, len(drawn.seeds)
    exact = pa.nulls(size, SCHEMA.field("noisy_exact").type)
    columns = {
        "circuit_id": pa.array(drawn.circuit_ids),
        "family": pa.array(drawn.families),
        "family_params": pa.array(drawn.params),
        "seed": pa.array(drawn.seeds, pa.int64()),
        "n_qubits": pa.array([chain.n_qubits] * size, pa.int16()),
        "device": pa.array([chain.name] * size),
        "calibration_id": pa.array(
            [None if calibration is None else calibration.calibration_id] * size, pa.string()
        ),
        "layout": rows_column(np.tile(chain.layout, (size, 1)), pa.int16()),
        "instructions": instructions_column(drawn.table),
        "measured": rows_column(drawn.measured, pa.int16()),
        "circuit_stage": pa.array(["executed" if executed else "submitted"] * size),
        "depth": pa.array(drawn.table.depth(), pa.int32()),
        "n_two_qubit": pa.array(drawn.table.count(*TWO_QUBIT), pa.int32()),
        "shots": pa.array(counts.sum(axis=1), pa.int64()),
        "outcomes": pa.nulls(size, SCHEMA.field("outcomes").type),
        "counts": rows_column(counts, pa.int64()),
        "noisy_exact": exact if noisy_exact is None else rows_column(noisy_exact, pa.float64()),
        "ideal": rows_column(drawn.ideal, pa.float64()),
        "source": pa.array([source] * size),
        "job": pa.array([job] * size, pa.int32()),
        "job_id": pa.array([job_id] * size),
        "executed_at": pa.array([executed_at] * size, SCHEMA.field("executed_at").type),
        "split": pa.array([REFERENCE if f == REFERENCE else split for f in drawn.families]),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def circuit_seed(seed: int, job: int, index: int, attempt: int = 0) -> int:
    """Derive the seed of one circuit, which alone decides its gates and its shots."""
    state = np.random.SeedSequence(seed, spawn_key=(job, index, attempt)).generate_state(
        1, np.uint64
    )
    return int(state[0] >> np.uint64(1))


def check_labels(ideal: FloatArray, others: FloatArray, where: str, tolerance: float) -> None:
    """Check that the compiled circuits' noiseless distributions are those computed otherwise.

    Raises:
        QmendError: naming the first row that differs by more than the tolerance.
    """
    off = np.abs(ideal - others).max(axis=1)
    wrong = ~(off <= tolerance)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise QmendError(
            f"In {where}, the ideal distribution of circuit {row} is not the noiseless measured "
            f"distribution of its instructions (they differ by {off[row]:.2g}): labels and "
            "circuits are permuted against each other; generate the data again."
        )
