"""Plan a collection without submitting it: its size and an estimate of its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.collected import check_same
from qmend.datasets.config import CollectionConfig, DatasetConfig, collected_recipe
from qmend.datasets.ledger import Ledger
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, check_usable, resolve
from qmend.gates import TWO_QUBIT
from qmend.generation.job import draw_job
from qmend.generation.setup import generation_setup
from qmend.hardware.opening import check_config
from qmend.hardware.references import with_references
from qmend.hardware.service import OpenService, open_service
from qmend.types import IntArray

#: Of an estimate: what a job takes on the processor besides its shots, in seconds.
JOB_OVERHEAD = 2.0
#: Jobs that an estimate draws.
_SAMPLED_JOBS = 3
#: Of processors that do not report theirs: IBM's usual delay between two shots, in seconds.
DEFAULT_REP_DELAY = 250e-6


@dataclass(frozen=True)
class CollectionPlan:
    """Size and cost of a collection before it starts.

    Attributes:
        jobs, circuits: that would still be submitted, each randomization a circuit.
        shots: of each circuit.
        there: jobs that are already fetched or submitted.
        depth, two_qubit: (median, largest) of the ``sampled`` circuits.
        rep_delay: seconds between shots that the estimate assumes.
        seconds: estimated time on the processor of what would be submitted.
    """

    jobs: int
    circuits: int
    shots: int
    there: int
    sampled: int
    depth: tuple[float, float]
    two_qubit: tuple[float, float]
    rep_delay: float
    seconds: float


def plan(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    config: CollectionConfig,
    service: OpenService = open_service,
) -> CollectionPlan:
    """Plan a collection; nothing is submitted or written.

    The time of a job is the mean of :func:`quantum_seconds` over the first jobs, plus
    :data:`JOB_OVERHEAD`. It is an estimate of ours, not the service's.

    Raises:
        QmendError: as ``collect``.
    """
    check_config(dataset, device, config)
    ledger = Ledger(folder)
    if ledger.opening is not None:
        check_same(ledger, collected_recipe(dataset, device), folder)
        device = DeviceConfig.model_validate(ledger.opening["recipe"]["device"])
    resolved = resolve(device)
    setup = generation_setup(dataset, resolved)
    if ledger.opening is None:
        check_usable(resolved)
    backend = service(resolved, config).backend
    randomizations = dataset.twirling.randomizations
    drawn = [
        with_references(draw_job(setup, job, {}), dataset, job, config.references).compilations(
            randomizations
        )
        for job in range(min(_SAMPLED_JOBS, dataset.jobs))
    ]
    each, delay = max(1, randomizations), rep_delay(backend)
    shots, calibration = dataset.fixed_shots() // each, setup.device.calibration
    seconds = sum(
        quantum_seconds(table, measured, calibration, resolved.layout, shots, delay)
        for table, measured in drawn
    )
    depth = np.concatenate([table.depth() for table, _ in drawn])
    two_qubit = np.concatenate([table.count(*TWO_QUBIT) for table, _ in drawn])
    there = sum(r.state in ("submitted", "done", "fetched") for r in ledger.jobs.values())
    left = dataset.jobs - there
    return CollectionPlan(
        jobs=left,
        circuits=left * (dataset.job_size + config.references) * each,
        shots=shots,
        there=there,
        sampled=len(depth),
        depth=(float(np.median(depth)), float(depth.max())),
        two_qubit=(float(np.median(two_qubit)), float(two_qubit.max())),
        rep_delay=delay,
        seconds=left * (seconds / len(drawn) + JOB_OVERHEAD),
    )


def quantum_seconds(
    table: InstructionTable,
    measured: IntArray,
    calibration: Calibration,
    layout: Sequence[int],
    shots: int,
    rep_delay: float,
) -> float:
    """Estimate the time of circuits on the processor, without a job's own overhead.

        sum over circuits of shots * (as-soon-as-possible schedule + longest readout + rep_delay)

    with the calibration's gate and readout lengths; lengths that it lacks count as 0.
    """
    readout = {p: (calibration.qubit(p).readout_length_ns or 0.0) for p in layout}
    length = {(g.gate, g.qubits): g.length_ns or 0.0 for g in calibration.gates}
    total = 0.0
    for index in range(len(table)):
        free = dict.fromkeys(layout, 0.0)
        for gate, first, second, _ in table.circuit(index):
            qubits = tuple(layout[k] for k in (first, second) if k >= 0)
            end = max(free[q] for q in qubits) + length.get((gate, qubits), 0.0)
            free.update(dict.fromkeys(qubits, end))
        ends = [free[layout[k]] + readout[layout[k]] for k in measured[index].tolist()]
        total += shots * (max(ends) * 1e-9 + rep_delay)
    return total


def rep_delay(backend: Any) -> float:
    """Read the default delay between two shots, in seconds."""
    delay = getattr(backend, "default_rep_delay", None)
    return float(delay) if delay else DEFAULT_REP_DELAY
