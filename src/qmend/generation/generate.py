"""Simulated datasets: draw, compile, simulate, sample, prove the labels, write shards.

The unit of work is a job; the unit of resumption a shard. Every circuit is made from its own
seed, so the bytes do not depend on the number of workers or on interruptions.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.collected import reuse_collected
from qmend.datasets.completion import complete_dataset, write_calibrations
from qmend.datasets.config import DatasetConfig, dataset_recipe, difference, recipe_sha
from qmend.datasets.ledger import LEDGER
from qmend.datasets.manifest import (
    MANIFEST,
    Manifest,
    check_files,
    damaged_files,
    read_manifest,
)
from qmend.datasets.schema import SCHEMA, instruction_table
from qmend.datasets.shards import (
    RECIPE_KEY,
    SHARD,
    exclusive,
    is_intact,
    shard_marks,
    write_shard,
)
from qmend.datasets.splits import split_jobs
from qmend.devices.device import DeviceConfig, check_usable, resolve
from qmend.generation.job import MAX_REDRAWS, JobTask
from qmend.generation.runners import start_runner
from qmend.generation.setup import generation_setup
from qmend.types import Progress, QmendError, Split

_ATTEMPTS_KEY = b"qmend.attempts"
#: Job -> circuit of the job -> how often it was redrawn.
_Attempts = defaultdict[int, Counter[int]]


@dataclass(frozen=True)
class Generation:
    """Result of :func:`generate`."""

    folder: Path
    manifest: Manifest
    circuits_made: int


def generate(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
    replace: bool = False,
    ray_address: str | None = None,
    wait: bool = False,
) -> Generation:
    """Make a dataset, resume one, or return one that is complete.

    Args:
        folder: the dataset's directory, made if it is missing.
        workers: processes on this machine.
        replace: whether a dataset of another config, or damaged files, may be overwritten.
        ray_address: run the jobs on this Ray cluster instead; ``local``: one started here.
        wait: for another process that is at the same folder, in place of refusing.

    Raises:
        QmendError: if the folder holds another dataset or a damaged one, a gate of the device's
            layout is faulty, or a label is wrong.
    """
    if (folder / LEDGER).exists():
        return Generation(folder, reuse_collected(dataset, device, folder, progress), 0)
    device = resolve(device)  # recipes name physical qubits
    if dataset.family.n_qubits != len(device.layout):
        raise QmendError(
            f"dataset.family.n_qubits is {dataset.family.n_qubits}, but device.layout "
            f"{list(device.layout)} has {len(device.layout)} qubits; make the two equal."
        )
    recipe = dataset_recipe(dataset, device)
    sha = recipe_sha(recipe)
    setup = generation_setup(dataset, device)  # what can't be made is refused before any work
    splits = split_jobs(setup.times(), dataset.split, dataset.seed)
    if not replace and (folder / MANIFEST).exists():
        return _reuse(folder, recipe)  # needs no lock: nothing is written
    check_usable(device)
    with exclusive(folder, wait):
        if replace:
            _clear_outdated(folder, sha)
        if (folder / MANIFEST).exists():
            return _reuse(folder, recipe)
        expected = _shard_paths(dataset, folder)
        if not replace:
            _refuse_other_shards(folder, sha)
        for left in [*folder.glob(".*.part"), *folder.glob(SHARD.format("*"))]:
            if left not in expected:
                left.unlink()
        made = _make_shards(dataset, device, folder, sha, splits, workers, progress, ray_address)
        write_calibrations(folder, setup.all_reported())
        manifest = complete_dataset(
            folder, dataset.name, "simulated", recipe, _shard_paths(dataset, folder)
        )
    return Generation(folder, manifest, made)


def _reuse(folder: Path, recipe: dict[str, object]) -> Generation:
    """Return a complete dataset, after a check that it is this one and undamaged."""
    manifest = read_manifest(folder)
    if manifest.recipe_sha != recipe_sha(recipe):
        raise QmendError(
            f"{folder} holds a dataset of another config "
            f"({difference(manifest.recipe, recipe)}); give yours another dataset.name, or "
            "overwrite it with data.replace=true."
        )
    check_files(folder, manifest)
    return Generation(folder, manifest, 0)


def _clear_outdated(folder: Path, sha: str) -> None:
    """Remove an outdated manifest, and the damaged files of a current one."""
    path = folder / MANIFEST
    if not path.exists():
        return
    try:
        manifest = read_manifest(folder)
        if manifest.recipe_sha == sha:
            for entry in damaged_files(folder, manifest):
                path.unlink(missing_ok=True)
                (folder / entry.file).unlink(missing_ok=True)
            return
    except QmendError:
        pass  # unreadable: made again from the shards
    path.unlink()


def _shard_paths(dataset: DatasetConfig, folder: Path) -> list[Path]:
    count = -(-dataset.jobs // dataset.jobs_per_shard)
    return [folder / SHARD.format(f"{k:05d}") for k in range(count)]


def _make_shards(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    sha: str,
    splits: list[Split],
    workers: int,
    progress: Progress,
    ray_address: str | None,
) -> int:
    paths = _shard_paths(dataset, folder)
    todo: set[int] = set()  # jobs
    attempts: _Attempts = defaultdict(Counter)
    for k, path in enumerate(paths):
        if not is_intact(path, sha):
            todo.update(_jobs_of(dataset, k))
            continue
        for job, index, count in json.loads(shard_marks(path).get(_ATTEMPTS_KEY, b"[]")):
            attempts[job][index] = count
    done = dataset.circuits - len(todo) * dataset.job_size
    made = 0
    progress(done, dataset.circuits)
    # Duplicates are looked for also where all shards exist: a kill may have come before.
    todo = todo or _redraw_duplicates(dataset, paths, attempts)
    if not todo:
        return 0
    with start_runner(workers, ray_address) as run:
        while todo:
            tasks = [
                JobTask(dataset, device, job, splits[job], attempts[job]) for job in sorted(todo)
            ]
            parts: dict[int, pa.Table] = {}
            for job, table in run(tasks):
                parts[job] = table
                made += table.num_rows
                done = min(dataset.circuits, done + table.num_rows)
                progress(done, dataset.circuits)
                shard = job // dataset.jobs_per_shard
                jobs = _jobs_of(dataset, shard)
                if all(j in parts for j in todo.intersection(jobs)):
                    if not todo.issuperset(jobs):
                        parts = _stored_jobs(dataset, paths[shard], jobs) | parts
                    whole = pa.concat_tables([parts.pop(j) for j in jobs])
                    _write_shard(paths[shard], whole, sha, {j: attempts[j] for j in jobs})
            todo = _redraw_duplicates(dataset, paths, attempts)
    return made


def _jobs_of(dataset: DatasetConfig, shard: int) -> range:
    first = shard * dataset.jobs_per_shard
    return range(first, min(first + dataset.jobs_per_shard, dataset.jobs))


def _stored_jobs(dataset: DatasetConfig, path: Path, jobs: range) -> dict[int, pa.Table]:
    """Read the rows of each job of a shard, by its number."""
    rows, size = pq.read_table(path).cast(SCHEMA), dataset.job_size
    return {job: rows.slice(k * size, size) for k, job in enumerate(jobs)}


def _refuse_other_shards(folder: Path, sha: str) -> None:
    """Refuse to overwrite shards of another config, as they are somebody's work."""
    for path in sorted(folder.glob(SHARD.format("*"))):
        try:
            mark = shard_marks(path).get(RECIPE_KEY, sha.encode())
        except (OSError, pa.ArrowInvalid):
            continue
        if mark != sha.encode():
            raise QmendError(
                f"{path} belongs to an unfinished dataset of another config; give yours another "
                "dataset.name, or overwrite it with data.replace=true."
            )


def _write_shard(
    path: Path, table: pa.Table, sha: str, attempts: Mapping[int, Counter[int]]
) -> None:
    """Write a shard, marked with its recipe and with how often each circuit was redrawn."""
    redrawn = [[job, *item] for job in attempts for item in sorted(attempts[job].items())]
    marks = {RECIPE_KEY: sha.encode(), _ATTEMPTS_KEY: json.dumps(redrawn).encode()}
    write_shard(path, table, marks)


def _redraw_duplicates(dataset: DatasetConfig, paths: list[Path], attempts: _Attempts) -> set[int]:
    """Count one more attempt for each duplicate; return the jobs to be made again."""
    ids: list[str] = []
    for path in paths:
        table = pq.read_table(path, columns=["instructions", "n_qubits"])
        sizes = np.asarray(table["n_qubits"])
        names = np.empty(len(sizes), dtype=object)
        for n in np.unique(sizes):
            column = table["instructions"].filter(pa.array(sizes == n))
            names[sizes == n] = instruction_table(column, int(n)).circuit_ids()
        ids += names.tolist()
    seen: Counter[str] = Counter()
    jobs = set()
    for row, name in enumerate(ids):
        seen[name] += 1
        if seen[name] > 1:
            job, index = divmod(row, dataset.job_size)
            attempts[job][index] += 1
            jobs.add(job)
            if attempts[job][index] > MAX_REDRAWS:
                raise QmendError(
                    f"The family {dataset.family.name!r} has too few different circuits for "
                    f"dataset.circuits={dataset.circuits}; ask for fewer."
                )
    return jobs
