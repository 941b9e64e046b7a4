"""Pauli circuits on one device, which all benchmarks measure with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qmend.circuits.compilation import build_compiler
from qmend.circuits.families import build_family
from qmend.circuits.instructions import InstructionTable
from qmend.datasets.config import DatasetConfig
from qmend.devices.device import Device, DeviceConfig
from qmend.generation.generate import generate

SHOTS = 20_000
ALGIERS = DeviceConfig(name="algiers", backend="FakeAlgiers", layout=(0, 1, 2, 3, 5))
#: A dataset has at least three jobs, one for each split.
_LEAST_JOBS = 3


def pauli_table(device: Device, circuits: int, compiler: str = "qiskit") -> InstructionTable:
    """Draw Pauli circuits, T uniform on 3..9, compiled for the device (Qiskit: level 1)."""
    n = device.n_qubits
    family = build_family({"name": "pauli", "n_qubits": n})
    compile_one = build_compiler(compiler, n, device.native_gates, device.edges, 1)
    drawn = [family.draw(np.random.default_rng(seed)) for seed in range(circuits)]
    return InstructionTable.from_circuits(n, [compile_one(c).instructions for c in drawn])


def whole_jobs(circuits: int, job_size: int) -> tuple[int, int]:
    """Return circuits and job size of a dataset with at least three whole jobs."""
    job_size = max(1, min(job_size, circuits // _LEAST_JOBS))
    return max(circuits // job_size, _LEAST_JOBS) * job_size, job_size


def generate_pauli(folder: Path, circuits: int, job_size: int, compiler: str = "qiskit") -> None:
    """Generate a dataset of Pauli circuits in this process."""
    config = {
        "name": "bench",
        "family": {"name": "pauli", "n_qubits": 5},
        "circuits": circuits,
        "job_size": job_size,
        "shots": SHOTS,
        "compiler": {"name": compiler},
    }
    generate(DatasetConfig.model_validate(config), ALGIERS, folder)
