"""Hardware datasets: draw, compile, submit, wait, fetch, write.

The unit of everything is a job, and ``ledger.jsonl`` in the dataset's folder holds the history of
each (see :mod:`qmend.datasets.ledger`). A collection may be killed at any moment and started again:

- A job's id is in the ledger before its result is waited for. Before each submission the service
  is asked for the job's tag, which names the recipe, the job and its very circuits, so that a job
  whose line a kill prevented is found and not paid for twice; this trusts the service to list a job
  as soon as it has accepted it. The local mode has no service that could be asked: there, a killed
  process loses its unfetched jobs, which cost nothing.
- A job's rows, with the calibration that they ran under, are one Parquet file that is there whole
  or not at all; the manifest comes last.
- Circuits that occurred before are drawn again before they are submitted.

Collected data can't be made again: keep them with ``dvc add data/collected/<name>``, commit the
``.dvc`` file that it writes, and ``dvc push``. Nothing in DVC will then run or change them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.circuits.instructions import TWO_QUBIT, InstructionTable
from qmend.datasets.card import Provenance
from qmend.datasets.config import CollectionConfig, DatasetConfig, collected_recipe, recipe_sha
from qmend.datasets.generation import (
    RECIPE_KEY,
    SHARD,
    Progress,
    difference,
    exclusive,
    is_intact,
    package_versions,
    reuse_collected,
    shard_marks,
    write_dataset,
    write_shard,
)
from qmend.datasets.job import DrawnJob, Machinery, draw_job, job_rows, machinery
from qmend.datasets.ledger import LEDGER, JobRecord, Ledger
from qmend.datasets.manifest import MANIFEST, Manifest, read_manifest
from qmend.datasets.schema import SCHEMA
from qmend.datasets.splits import split_jobs
from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, resolve
from qmend.execution.runtime import (
    JobService,
    LocalService,
    RuntimeService,
    ServiceJob,
    SessionEndedError,
    TransientError,
    isa_circuits,
    outcome_counts,
    quantum_seconds,
    rep_delay,
)
from qmend.types import QmendError, Split

#: Circuits that one job may have.
MAX_JOB_SIZE = 300
#: Of an estimate: what a job takes on the processor besides its shots, in seconds.
JOB_OVERHEAD = 2.0
#: Jobs that an estimate draws; more of them would say the same.
_SAMPLED_JOBS = 3
_JOB_KEY = b"qmend.job"
_ID_KEY = b"qmend.job_id"
_CALIBRATION_KEY = b"qmend.calibration"
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a collection would do.

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


@dataclass(frozen=True)
class Collection:
    """What a call of :func:`collect` did.

    Attributes:
        submitted, fetched: jobs, in this call.
        left_out: jobs that the dataset lacks.
    """

    folder: Path
    manifest: Manifest
    submitted: int
    fetched: int
    left_out: int


#: Opens the service that a device and a config name.
OpenService = Callable[[DeviceConfig, CollectionConfig], JobService]


def open_service(device: DeviceConfig, config: CollectionConfig) -> JobService:
    """IBM Quantum or the local mode.

    Raises:
        QmendError: without an account or such a backend.
    """
    assert device.backend is not None
    if config.execution == "local":
        return LocalService(device.backend, device.layout, config.mode)
    return RuntimeService(device.backend, config.mode)


def collect(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    config: CollectionConfig,
    progress: Progress = lambda done, total: None,
    replace: bool = False,
    service: OpenService = open_service,
) -> Collection:
    """Collect a dataset, or go on where a call was stopped, or return one that is complete.

    Args:
        folder: where it lies or will lie.
        replace: whether a dataset that was finished in part may be opened again; splits change.

    Raises:
        QmendError: if the folder holds other data, the service refuses, or jobs failed for good;
            what was collected is kept.
    """
    _check(dataset, device, config)
    asked = collected_recipe(dataset, device)
    with exclusive(folder):
        ledger = Ledger(folder)
        pinned = _opened(ledger, asked, dataset, device, folder, config)
        if (folder / MANIFEST).exists():
            manifest = read_manifest(folder)
            left_out = len(manifest.recipe["collection"]["left_out"])
            if not left_out or config.finish:
                manifest = reuse_collected(dataset, device, folder, progress).manifest
                return Collection(folder, manifest, 0, 0, left_out)
            if not replace:
                raise QmendError(
                    f"{folder} was finished without {left_out} of its {dataset.jobs} jobs; collect "
                    "the rest with data.replace=true, which splits all jobs anew."
                )
            (folder / MANIFEST).unlink()
        return _Collector(dataset, pinned, folder, config, ledger, progress, service).run()


def plan(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    config: CollectionConfig,
    service: OpenService = open_service,
) -> Plan:
    """What :func:`collect` would do; submits and writes nothing.

    The time is the sum of :func:`quantum_seconds` over the first jobs, carried over to all, and
    :data:`JOB_OVERHEAD` a job. It is an estimate of ours, not the service's.

    Raises:
        QmendError: as :func:`collect`.
    """
    _check(dataset, device, config)
    ledger = Ledger(folder)
    if ledger.opening is not None:
        _check_same(ledger, collected_recipe(dataset, device), folder)
        device = DeviceConfig.model_validate(ledger.opening["recipe"]["device"])
    pinned = resolve(device)
    shared = machinery(dataset, pinned)
    backend = service(pinned, config).backend
    drawn = [draw_job(shared, job, {}) for job in range(min(_SAMPLED_JOBS, dataset.jobs))]
    delay = rep_delay(backend)
    seconds = sum(
        quantum_seconds(
            d.table, d.measured, shared.device.calibration, pinned.layout, dataset.shots, delay
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


def _check(dataset: DatasetConfig, device: DeviceConfig, config: CollectionConfig) -> None:
    needed = {"runtime": "runtime", "local": "fake"}[config.execution]
    if device.provider != needed:
        raise QmendError(
            f"collect.execution={config.execution} needs a device with provider={needed}, and "
            f"{device.name} has provider={device.provider}; choose another device, or "
            f"collect.execution={'local' if config.execution == 'runtime' else 'runtime'}."
        )
    length = len(device.layout) or device.n_qubits
    if dataset.family.n_qubits != length:
        raise QmendError(
            f"dataset.family.n_qubits is {dataset.family.n_qubits}, but device.layout has {length} "
            "qubits; make the two equal."
        )
    if dataset.job_size > MAX_JOB_SIZE:
        raise QmendError(
            f"dataset.job_size={dataset.job_size} is more than the {MAX_JOB_SIZE} circuits of a "
            "job; choose a smaller one."
        )


def _check_same(ledger: Ledger, asked: dict[str, Any], folder: Path) -> None:
    assert ledger.opening is not None
    if ledger.opening["asked"] != asked:
        raise QmendError(
            f"{folder} holds collected data of another config "
            f"({difference(ledger.opening['asked'], asked)}); give yours another dataset.name."
        )


def _opened(
    ledger: Ledger,
    asked: dict[str, Any],
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    config: CollectionConfig,
) -> DeviceConfig:
    """The device as the first call resolved it: a later one may find another calibration."""
    if ledger.opening is None:
        left = [p for p in folder.iterdir() if p.name != LEDGER]
        if left:
            raise QmendError(
                f"{folder} holds other data ({left[0].name}); give yours another dataset.name or "
                "data.root."
            )
        pinned = resolve(device)
        machinery(dataset, pinned)  # what can't be made is refused before it is opened
        recipe = collected_recipe(dataset, pinned)
        recipe["collection"] = {"execution": config.execution, "backend": device.backend}
        ledger.append("opened", asked=asked, recipe=recipe, packages=package_versions())
    _check_same(ledger, asked, folder)
    assert ledger.opening is not None
    before = ledger.opening["recipe"]["collection"]["execution"]
    if before != config.execution:
        raise QmendError(
            f"{folder} was begun with collect.execution={before}; go on with that, or give the "
            "dataset another name."
        )
    return DeviceConfig.model_validate(ledger.opening["recipe"]["device"])


class _Collector:
    """One call of :func:`collect`."""

    def __init__(
        self,
        dataset: DatasetConfig,
        device: DeviceConfig,
        folder: Path,
        config: CollectionConfig,
        ledger: Ledger,
        progress: Progress,
        service: OpenService,
    ) -> None:
        assert ledger.opening is not None
        self._dataset = dataset
        self._device = device
        self._folder = folder
        self._config = config
        self._ledger = ledger
        self._recipe: dict[str, Any] = ledger.opening["recipe"]
        self._sha = recipe_sha(self._recipe)
        self._progress = progress
        self._open = service
        self._opened: JobService | None = None
        self._shared: Machinery = machinery(dataset, device)
        self._handles: dict[str, ServiceJob] = {}
        self._drawn: dict[int, DrawnJob] = {}
        self._seen = {i for r in ledger.jobs.values() for i in r.circuit_ids or ()}
        self._cancelled: set[int] = set()  # in this call: not submitted again by it
        self._fetched: set[int] = set()
        self._counts = {"submitted": 0, "fetched": 0}
        self._refusal: QmendError | None = None
        self._splits: list[Split] = ["train"] * dataset.jobs  # by time: known at the end
        if dataset.split.by == "job":
            self._splits = split_jobs(self._shared.times(), dataset.split, dataset.seed)

    def run(self) -> Collection:
        for left in self._folder.glob(".*.part"):
            left.unlink()
        for job in range(self._dataset.jobs):
            self._recover(job)
        self._report()
        try:
            self._work()
        finally:
            if self._opened is not None:
                with suppress(TransientError, QmendError):
                    self._opened.close()
        missing = [job for job in range(self._dataset.jobs) if job not in self._fetched]
        if missing and not self._config.finish:
            raise QmendError(self._failure(missing))
        return self._finish(missing)

    def _recover(self, job: int) -> None:
        """Believe the files before the ledger: a kill may have come between the two."""
        record, path = self._ledger.job(job), self._path(job)
        if not is_intact(path, self._sha):
            return
        marks = shard_marks(path)
        if marks.get(_JOB_KEY) != str(job).encode():
            return
        if record.state != "fetched":
            self._ledger.append("fetched", job, id=marks[_ID_KEY].decode(), file=path.name)
        self._fetched.add(job)

    def _work(self) -> None:
        while True:
            pending = [j for j in range(self._dataset.jobs) if self._is_pending(j)]
            changed = [self._look(job) for job in pending]
            pending = [j for j in pending if self._is_pending(j)]
            if any(changed):
                self._refusal = None
            wanted = [] if self._config.finish else self._wanted()
            for job in wanted[: max(0, self._config.max_pending - len(pending))]:
                if self._refusal is not None:
                    break
                self._submit(job)
                changed.append(True)
            if self._config.finish:
                return
            if not any(self._is_pending(j) for j in range(self._dataset.jobs)):
                if self._refusal is not None:
                    raise self._refusal
                if not self._wanted():
                    return
            elif not any(changed):
                time.sleep(self._config.poll_seconds)

    def _record(self, job: int) -> JobRecord:
        return self._ledger.job(job)

    def _is_pending(self, job: int) -> bool:
        """Whether the service has a result, or will have one, that is not in a file."""
        states = ("submitted", "done", "fetched")  # fetched: the file was lost or damaged
        return job not in self._fetched and self._record(job).state in states

    def _wanted(self) -> list[int]:
        """The jobs to be submitted, in order."""
        return [
            job
            for job in range(self._dataset.jobs)
            if job not in self._fetched
            and not self._is_pending(job)
            and job not in self._cancelled
            and not self._given_up(job)
        ]

    def _given_up(self, job: int) -> bool:
        record = self._record(job)
        tries = record.failures <= self._config.max_retries
        return record.state == "failed" and not (record.retry and tries)

    # Submission

    def _submit(self, job: int) -> None:
        drawn = self._draw(job)
        circuits = isa_circuits(
            drawn.table, drawn.measured, self._device.layout, self._service.backend.target
        )
        tries = sessions = 0
        while not self._adopt(job):
            try:
                found = self._service.submit(circuits, self._dataset.shots, self._tag(job))
            except SessionEndedError as error:
                sessions += 1
                if sessions > 2:
                    raise self._unreachable(error) from None
            except TransientError as error:
                # It may have been accepted all the same: the loop looks for it first.
                tries += 1
                if tries > self._config.max_retries:
                    raise self._unreachable(error) from None
                time.sleep(self._config.poll_seconds)
            except QmendError as error:
                self._refusal = error  # such as too many pending jobs: wait for those first
                return
            else:
                self._note(job, found)
                return

    def _adopt(self, job: int) -> bool:
        """Take over a job that was submitted without a line in the ledger."""
        if not self._service.outlives:
            return False
        known = set(self._record(job).ids)
        found = self._patiently(lambda: self._service.jobs(self._tag(job)))
        rank = {"done": 0, "pending": 1, "cancelled": 2, "failed": 2}
        new = [(rank[self._patiently(j.state)], j) for j in found if j.job_id not in known]
        if new:
            self._note(job, min(new, key=lambda pair: pair[0])[1])
        return bool(new)

    def _note(self, job: int, found: ServiceJob) -> None:
        self._ledger.append("submitted", job, id=found.job_id, tag=self._tag(job))
        self._handles[found.job_id] = found
        self._counts["submitted"] += 1

    def _tag(self, job: int) -> str:
        ids = self._record(job).circuit_ids
        assert ids is not None
        circuits = hashlib.sha256("".join(ids).encode()).hexdigest()[:8]
        return f"qmend-{self._sha}-{job:05d}-{circuits}"

    def _draw(self, job: int) -> DrawnJob:
        """The job's circuits, none of them in another job or twice in this one."""
        if job in self._drawn:
            return self._drawn[job]
        record = self._record(job)
        attempts = dict(record.attempts)
        while True:
            drawn = draw_job(self._shared, job, attempts)
            ids = drawn.table.circuit_ids(drawn.measured)
            if record.circuit_ids is not None:
                break
            again = [k for k, name in enumerate(ids) if name in self._seen or name in ids[:k]]
            if not again:
                pairs = [[k, count] for k, count in sorted(attempts.items())]
                self._ledger.append("planned", job, circuit_ids=ids, attempts=pairs)
                self._seen.update(ids)
                break
            for k in again:
                attempts[k] = attempts.get(k, 0) + 1
            if max(attempts.values()) > 100:
                raise QmendError(
                    f"The family {self._dataset.family.name!r} has too few different circuits for "
                    f"dataset.circuits={self._dataset.circuits}; ask for fewer."
                )
        if ids != record.circuit_ids:
            assert self._ledger.opening is not None
            raise QmendError(
                f"Job {job} is not compiled to the circuits that were submitted; go on with the "
                f"package versions of the first call ({self._ledger.opening['packages']})."
            )
        self._drawn[job] = drawn
        return drawn

    # Results

    def _look(self, job: int) -> bool:
        """Ask for a pending job, and fetch it if it is done; whether anything changed."""
        name = self._record(job).ids[-1]
        if name not in self._handles:
            found = self._patiently(lambda: self._service.job(name))
            if found is None:
                self._forgotten(job, name)
                return True
            self._handles[name] = found
        handle = self._handles[name]
        state = self._patiently(handle.state)
        if state == "pending":
            return False
        if state == "done":
            if self._record(job).state != "done":
                self._ledger.append("done", job, id=name)
            self._fetch(job, handle)
        elif state == "failed":
            reason = self._patiently(handle.reason)
            self._ledger.append("failed", job, id=name, reason=reason, retry=True)
        else:
            reason = self._patiently(handle.reason)
            self._ledger.append("cancelled", job, id=name, reason=reason)
            if not self._patiently(lambda: self._service.session_ended(name)):
                self._cancelled.add(job)
        return True

    def _forgotten(self, job: int, name: str) -> None:
        if self._service.outlives:
            reason = "the service does not know the job any more"
            self._ledger.append("failed", job, id=name, reason=reason, retry=True)
        else:
            self._ledger.append("lost", job, id=name, reason="it ran in a process that is gone")

    def _fetch(self, job: int, handle: ServiceJob) -> None:
        drawn = self._draw(job)
        try:
            result = self._patiently(handle.result)
            counts = outcome_counts(
                result, len(drawn.seeds), drawn.measured.shape[1], self._dataset.shots
            )
        except QmendError as error:
            reason = str(error)
            self._ledger.append("failed", job, id=handle.job_id, reason=reason, retry=False)
            return
        executed_at = self._patiently(handle.executed_at)
        whole = self._patiently(handle.calibration)
        calibration = whole.restrict(self._device.layout)
        table = job_rows(
            self._shared,
            drawn,
            counts,
            None,
            source="hardware" if self._config.execution == "runtime" else "simulated",
            job_id=handle.job_id,
            calibration=calibration,
            executed_at=executed_at,
            split=self._splits[job],
        )
        marks = {
            RECIPE_KEY: self._sha.encode(),
            _JOB_KEY: str(job).encode(),
            _ID_KEY: handle.job_id.encode(),
            _CALIBRATION_KEY: json.dumps(calibration.model_dump(mode="json")).encode(),
        }
        write_shard(self._path(job), table, marks)
        self._ledger.append("fetched", job, id=handle.job_id, file=self._path(job).name)
        self._fetched.add(job)
        self._drawn.pop(job, None)
        self._handles.pop(handle.job_id, None)
        self._counts["fetched"] += 1
        self._report()

    # The dataset

    def _finish(self, missing: list[int]) -> Collection:
        there = sorted(self._fetched)
        if len(there) < 3:
            raise QmendError(
                f"{self._folder} has {len(there)} collected jobs, and the three splits need at "
                "least 3; collect more, without collect.finish=true."
            )
        paths = [self._path(job) for job in there]
        if missing or self._dataset.split.by == "time":
            self._split_again(paths)
        calibrations: dict[str, Calibration] = {}
        for path in paths:
            found = Calibration.parse(json.loads(shard_marks(path)[_CALIBRATION_KEY]), path.name)
            calibrations[found.calibration_id] = found
        recipe = json.loads(json.dumps(self._recipe))
        recipe["dataset"]["circuits"] = len(there) * self._dataset.job_size
        recipe["collection"]["left_out"] = missing
        for extra in self._folder.glob(SHARD.format("*")):
            if extra not in paths:
                extra.unlink()  # damaged, and its job is not there any more
        self._ledger.append("finished", jobs=len(there), left_out=missing)
        name = self._dataset.name
        manifest = write_dataset(
            self._folder, name, recipe, paths, list(calibrations.values()), self._provenance()
        )
        return Collection(self._folder, manifest, **self._counts, left_out=len(missing))

    def _provenance(self) -> Provenance:
        local = self._config.execution == "local"
        where = "in the runtime's local mode, with the noise of the snapshot" if local else "on"
        return Provenance(
            origin=f"Collected by `qmend data collect` {where} {self._device.backend}. The "
            "circuits follow from the seed, the counts can't be made again. "
            f"`{LEDGER}` holds the history of every job."
        )

    def _split_again(self, paths: list[Path]) -> None:
        """Splits of the jobs that are there, by the times at which they ran."""
        tables = [pq.read_table(path) for path in paths]
        times: list[datetime] = [t["executed_at"][0].as_py() for t in tables]
        splits = split_jobs(times, self._dataset.split, self._dataset.seed)
        for path, table, split in zip(paths, tables, splits, strict=True):
            if table["split"][0].as_py() != split:
                column = pa.array([split] * len(table))
                index = SCHEMA.get_field_index("split")
                marks = shard_marks(path)
                write_shard(path, table.set_column(index, SCHEMA.field("split"), column), marks)

    def _failure(self, missing: list[int]) -> str:
        first = missing[0]
        record = self._record(first)
        what = {
            "failed": f"failed ({record.reason})",
            "cancelled": f"was cancelled ({record.reason})",
        }.get(record.state, f"is {record.state}")
        name = f" {record.ids[-1]}" if record.ids else ""
        way = (
            "run the same command again to submit it anew"
            if record.state == "cancelled"
            else "raise collect.max_retries to submit it again"
            if record.retry
            else "it is not paid for a second time"
        )
        return (
            f"{len(missing)} of {self._dataset.jobs} jobs could not be collected, the others are "
            f"in {self._folder}: job {first}{name} {what}; {way}, or make a dataset of the others "
            "with collect.finish=true."
        )

    # Smaller things

    @property
    def _service(self) -> JobService:
        if self._opened is None:
            self._opened = self._open(self._device, self._config)
        return self._opened

    def _path(self, job: int) -> Path:
        return self._folder / SHARD.format(f"{job:05d}")

    def _report(self) -> None:
        self._progress(len(self._fetched) * self._dataset.job_size, self._dataset.circuits)

    def _patiently(self, call: Callable[[], T]) -> T:
        """An answer of the service, asked for again where that may help."""
        for attempt in range(self._config.max_retries + 1):
            try:
                return call()
            except TransientError as error:
                if attempt == self._config.max_retries:
                    raise self._unreachable(error) from None
            time.sleep(self._config.poll_seconds)
        raise AssertionError

    def _unreachable(self, error: Exception) -> QmendError:
        return QmendError(
            f"IBM Quantum does not answer ({error}); run the same command again later: the ledger "
            f"{self._folder / LEDGER} knows all jobs, and nothing is paid for twice."
        )
