"""One job of a simulated dataset: draw, compile, simulate, sample, prove the labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from qmend.circuits.compilation import Compiler, build_compiler
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import compiled_probabilities, to_bit_order
from qmend.datasets.config import DatasetConfig
from qmend.datasets.schema import SCHEMA, instructions_column, rows_column
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.execution.base import Executor, build_executor
from qmend.simulation.readout import apply_readout, readout_matrices
from qmend.simulation.sampling import sample_counts
from qmend.types import FloatArray, QmendError, Split

#: Largest difference allowed between a label and the compiled circuit's own distribution.
LABEL_TOLERANCE = 1e-10


@dataclass(frozen=True)
class JobTask:
    """One job to make: its number, split, and how often each circuit was already redrawn."""

    dataset: DatasetConfig
    device: DeviceConfig
    job: int
    split: Split
    attempts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Machinery:
    """What all jobs of a dataset share."""

    device: Device
    compiler: Compiler
    executor: Executor
    readout: FloatArray


@lru_cache(maxsize=2)
def machinery(dataset: DatasetConfig, device: DeviceConfig) -> Machinery:
    """Device, compiler and executor of a dataset, built once a process.

    Raises:
        QmendError: if they do not fit each other.
    """
    chain = load_device(device)
    compiler = build_compiler(
        dataset.compiler.name,
        chain.n_qubits,
        chain.native_gates,
        chain.edges,
        dataset.compiler.optimization_level,
    )
    executor = build_executor(dataset.executor, dataset.noise, chain.calibration, chain.layout)
    return Machinery(chain, compiler, executor, readout_matrices(chain.calibration, chain.layout))


def make_job(task: JobTask) -> pa.Table:
    """All circuits of one job as rows of the contract.

    Raises:
        QmendError: if a label differs from the compiled circuit's own noiseless distribution.
    """
    dataset = task.dataset
    shared = machinery(dataset, task.device)
    chain = shared.device
    attempts = dict(task.attempts)
    seeds = [
        circuit_seed(dataset.seed, task.job, index, attempts.get(index, 0))
        for index in range(dataset.job_size)
    ]
    sources = [dataset.family.draw(np.random.default_rng(seed)) for seed in seeds]
    compiled = [shared.compiler(source) for source in sources]
    table = InstructionTable.from_circuits(chain.n_qubits, [c.instructions for c in compiled])
    measured = np.array([c.measured for c in compiled], dtype=np.int64)
    ideal = np.array([np.abs(s.state()) ** 2 for s in sources])
    check_labels(table, measured, ideal, f"job {task.job}")
    exact = shared.executor.probabilities(table, task.job)
    noisy_exact = to_bit_order(apply_readout(exact, shared.readout), measured)
    counts = sample_counts(
        noisy_exact, dataset.shots, [np.random.SeedSequence([seed, 1]) for seed in seeds]
    )
    size = dataset.job_size
    columns = {
        "circuit_id": pa.array(table.circuit_ids(measured)),
        "family": pa.array([dataset.family.name] * size),
        "family_params": pa.array([json.dumps(s.params, sort_keys=True) for s in sources]),
        "seed": pa.array(seeds, pa.int64()),
        "n_qubits": pa.array([chain.n_qubits] * size, pa.int16()),
        "device": pa.array([chain.name] * size),
        "calibration_id": pa.array([chain.calibration.calibration_id] * size),
        "layout": rows_column(np.tile(chain.layout, (size, 1)), pa.int16()),
        "instructions": instructions_column(table),
        "measured": rows_column(measured, pa.int16()),
        "circuit_stage": pa.array(["executed"] * size),
        "depth": pa.array(table.depth(), pa.int32()),
        "n_two_qubit": pa.array(table.count("cx", "ecr", "cz"), pa.int32()),
        "shots": pa.array([dataset.shots] * size, pa.int64()),
        "counts": rows_column(counts, pa.int64()),
        "noisy_exact": rows_column(noisy_exact, pa.float64()),
        "ideal": rows_column(ideal, pa.float64()),
        "source": pa.array(["simulated"] * size),
        "job_id": pa.array([f"{dataset.name}-{task.job:06d}"] * size),
        "executed_at": pa.array([chain.calibration.time] * size, SCHEMA.field("executed_at").type),
        "split": pa.array([task.split] * size),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def circuit_seed(seed: int, job: int, index: int, attempt: int = 0) -> int:
    """The seed of one circuit: its drawing and its shots follow from it alone."""
    state = np.random.SeedSequence(seed, spawn_key=(job, index, attempt)).generate_state(
        1, np.uint64
    )
    return int(state[0] >> np.uint64(1))


def check_labels(
    table: InstructionTable, measured: np.ndarray, ideal: FloatArray, where: str
) -> None:
    """Prove that ``ideal`` is what the compiled circuits give when measured without noise.

    Raises:
        QmendError: naming the first row that differs by more than :data:`LABEL_TOLERANCE`.
    """
    own = to_bit_order(compiled_probabilities(table), measured)
    off = np.abs(own - ideal).max(axis=1)
    if (off > LABEL_TOLERANCE).any():
        row = int(np.argmax(off))
        raise QmendError(
            f"In {where}, the ideal distribution of circuit {row} is not the noiseless measured "
            f"distribution of its instructions (they differ by {off[row]:.2g}): labels and "
            "circuits are permuted against each other; generate the data again."
        )
