"""Encoded training examples from worlds: compiled circuits measured again, or drawn anew."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from qmend.benchmarks.alternating import alternate, empty_table, one_core
from qmend.config.compose import preset_values
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import load_dataset
from qmend.devices.device import DeviceConfig
from qmend.encodings import ENCODINGS, Encoding
from qmend.generation.generate import generate
from qmend.generation.online import OnlineCircuits
from qmend.generation.online_noise import online_noise
from qmend.processes import fork_server, without_main_module

_CONFIG = "generate dataset=worlds device=algiers_line"
#: Jobs of each number of qubits; three splits need one each.
_JOBS = 4
#: Jobs of each number of qubits that two processes measure together.
_TOGETHER = 16


def bench_worlds(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Measure the simulation and encoding of circuits in new worlds, by number of qubits.

    Args:
        circuits: of each number of qubits.
    """
    shipped = DatasetConfig.model_validate(preset_values(_CONFIG, "dataset"))
    assert shipped.qubits is not None
    sizes, shares = np.unique(shipped.qubits, return_counts=True)
    shares = shares / shares.sum()
    size = max(1, min(shipped.job_size, circuits // _JOBS))
    title = f"one core, jobs of {size} circuits"
    table = empty_table(title, "qubits", "share %", "ms measured again", "ms drawn anew", "ratio")
    again, anew, together = [], [], []
    with tempfile.TemporaryDirectory() as scratch, _two_workers() as workers:
        for n, share in zip(sizes.tolist(), shares.tolist(), strict=True):
            with one_core():
                source, encoding = _source(Path(scratch) / str(n), shipped, n, size)
                drawn = replace(source, resampled=())
                timings = alternate(
                    {
                        "again": partial(_make, source, encoding, range(_JOBS)),
                        "anew": partial(_make, drawn, encoding, range(_JOBS)),
                    },
                    repeats,
                )
            together.append(_seconds_together(workers, source, encoding, repeats))
            rows = _JOBS * size
            again.append(timings.median("again") / rows)
            anew.append(timings.median("anew") / rows)
            figures = [f"{1e3 * again[-1]:.2f}", f"{1e3 * anew[-1]:.2f}"]
            ratio = timings.ratio("anew", "again")[0]
            table.add_row(str(n), f"{100 * share:.0f}", *figures, f"{ratio:.1f}x")
    mean = float(shares @ again)
    table.add_row("mix", "100", f"{1e3 * mean:.2f}", f"{1e3 * float(shares @ anew):.2f}", "")
    summary = {
        "bench": "worlds",
        "examples_a_second_two_processes": round(1 / float(shares @ together)),
        "examples_a_second_one_core": round(1 / mean),
        "ratio": round(float(shares @ anew) / mean, 1),
        "by_qubits": {str(n): round(1 / x) for n, x in zip(sizes.tolist(), again, strict=True)},
        "job_size": size,
    }
    return table, summary


def _source(
    folder: Path, shipped: DatasetConfig, qubits: int, size: int
) -> tuple[OnlineCircuits, Encoding]:
    """Make a library of compiled circuits, and an encoding fitted to it."""
    family = shipped.family.of_size(qubits)
    changes = {"family": family, "qubits": (qubits,), "job_size": size, "circuits": _JOBS * size}
    changes["measured_qubits"] = (1, qubits)
    dataset = shipped.model_copy(update=changes)
    device = DeviceConfig.model_validate(preset_values(_CONFIG, "device"))
    device = device.model_copy(update={"layout": device.layout[:qubits]})
    generate(dataset, device, folder)
    stored = load_dataset(folder)
    noise = online_noise("dataset", (0.0, 0.0), dataset, 0)
    encoding = ENCODINGS["device_paths"]().fit(*(group.circuits for group in stored.groups))
    source = OnlineCircuits.like(stored, dataset, device, noise, 0, "noise")
    return replace(source, resampled=stored.groups), encoding


def _make(source: OnlineCircuits, encoding: Encoding, jobs: range) -> int:
    parts = [part for job in jobs for part in source.job(job)]
    return sum(len(encoding.of_labelled(part)) for part in parts)


@contextmanager
def _two_workers() -> Iterator[ProcessPoolExecutor]:
    """Start two processes."""
    context = fork_server(__name__)
    with ProcessPoolExecutor(2, mp_context=context) as workers, without_main_module():
        yield workers


def _seconds_together(
    workers: ProcessPoolExecutor, source: OnlineCircuits, encoding: Encoding, repeats: int
) -> float:
    """Return seconds an encoded example of two processes together; the median of repeats."""
    half = _TOGETHER // 2
    seconds = []
    for repeat in range(repeats + 1):  # the first is not counted: it warms the workers up
        ranges = [range(half), range(half, _TOGETHER)]
        started = time.perf_counter()
        made = sum(workers.map(partial(_make, source, encoding), ranges))
        if repeat:
            seconds.append((time.perf_counter() - started) / made)
    return float(np.median(seconds))
