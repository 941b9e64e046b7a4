"""The dry run of a collection: what would be submitted, and an estimate of its time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.config import CollectionConfig, DatasetConfig, collected_recipe
from qmend.datasets.ledger import Ledger
from qmend.devices.device import DeviceConfig, resolve
from qmend.gates import TWO_QUBIT
from qmend.generation.job import draw_job, generation_setup
from qmend.hardware.opening import check_config, check_same
from qmend.hardware.processor_time import quantum_seconds, rep_delay
from qmend.hardware.service import OpenService, open_service

#: Of an estimate: what a job takes on the processor besides its shots, in seconds.
JOB_OVERHEAD = 2.0
#: Jobs that an estimate draws; more of them would say the same.
_SAMPLED_JOBS = 3


@dataclass(frozen=True)
class Plan:
    """Size and cost of a collection before it starts.

    Attributes:
        jobs, circuits, shots: all that would still be submitted; shots a circuit.
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
) -> Plan:
    """Plan a collection; nothing is submitted or written.

    The time is the sum of :func:`quantum_seconds` over the first jobs, carried over to all, and
    :data:`JOB_OVERHEAD` a job. It is an estimate of ours, not the service's.

    Raises:
        QmendError: as ``collect``.
    """
    check_config(dataset, device, config)
    ledger = Ledger(folder)
    if ledger.opening is not None:
        check_same(ledger, collected_recipe(dataset, device), folder)
        device = DeviceConfig.model_validate(ledger.opening["recipe"]["device"])
    pinned = resolve(device)
    setup = generation_setup(dataset, pinned)
    backend = service(pinned, config).backend
    drawn = [draw_job(setup, job, {}) for job in range(min(_SAMPLED_JOBS, dataset.jobs))]
    delay = rep_delay(backend)
    seconds = sum(
        quantum_seconds(
            d.table, d.measured, setup.device.calibration, pinned.layout, dataset.shots, delay
        )
        for d in drawn
    )
    table = InstructionTable.concatenate([d.table for d in drawn])
    depth, two_qubit = table.depth(), table.count(*TWO_QUBIT)
    there = sum(r.state in ("submitted", "done", "fetched") for r in ledger.jobs.values())
    left = dataset.jobs - there
    return Plan(
        jobs=left,
        circuits=left * dataset.job_size,
        shots=dataset.shots,
        there=there,
        sampled=len(table),
        depth=(float(np.median(depth)), float(depth.max())),
        two_qubit=(float(np.median(two_qubit)), float(two_qubit.max())),
        rep_delay=delay,
        seconds=left * (seconds / len(drawn) + JOB_OVERHEAD),
    )
