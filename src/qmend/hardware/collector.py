"""Collect a dataset: recover, submit, await and fetch its jobs."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from qmend.datasets.collected import reuse_collected
from qmend.datasets.config import CollectionConfig, DatasetConfig
from qmend.datasets.ledger import JobRecord
from qmend.datasets.manifest import MANIFEST, Manifest, read_manifest
from qmend.datasets.shards import exclusive
from qmend.devices.device import DeviceConfig
from qmend.hardware.drawing import DistinctJobs
from qmend.hardware.finishing import finish_dataset
from qmend.hardware.isa import isa_circuits, outcome_counts
from qmend.hardware.jobs import ServiceJob, SessionEndedError, TransientError
from qmend.hardware.opening import OpenCollection, check_config, open_collection
from qmend.hardware.results import Results
from qmend.hardware.service import OpenService, PatientService, open_service
from qmend.types import Progress, QmendError


@dataclass(frozen=True)
class Collection:
    """Result of :func:`collect`.

    Attributes:
        submitted, fetched: jobs, in this call.
        left_out: jobs that the dataset lacks.
    """

    folder: Path
    manifest: Manifest
    submitted: int
    fetched: int
    left_out: int


def collect(
    dataset: DatasetConfig,
    device: DeviceConfig,
    folder: Path,
    config: CollectionConfig,
    progress: Progress = lambda done, total: None,
    replace: bool = False,
    service: OpenService = open_service,
) -> Collection:
    """Collect a dataset, resume one, or return one that is complete.

    Args:
        folder: the dataset's directory, made if it is missing.
        replace: whether a dataset that was finished in part may be opened again; splits change.

    Raises:
        QmendError: if the folder holds other data, the service refuses, or jobs failed for good;
            what was collected is kept.
    """
    check_config(dataset, device, config)
    with exclusive(folder):
        collection = open_collection(dataset, device, folder, config)
        if (folder / MANIFEST).exists():
            manifest = read_manifest(folder)
            left_out = len(manifest.recipe["collection"]["left_out"])
            if not left_out or config.finish:
                manifest = reuse_collected(dataset, device, folder, progress)
                return Collection(folder, manifest, 0, 0, left_out)
            if not replace:
                raise QmendError(
                    f"{folder} was finished without {left_out} of its {dataset.jobs} jobs; collect "
                    "the rest with data.replace=true, which splits all jobs anew."
                )
            (folder / MANIFEST).unlink()
        return _Collector(collection, progress, service).run()


class _Collector:
    """One call of :func:`collect`."""

    def __init__(
        self, collection: OpenCollection, progress: Progress, service: OpenService
    ) -> None:
        self._collection = collection
        self._dataset, self._config = collection.dataset, collection.config
        self._ledger = collection.ledger
        self._progress = progress
        self._jobs = DistinctJobs(collection)
        self._results = Results(collection)
        self._service = PatientService(
            collection.device, collection.config, service, collection.ledger.path
        )
        self._handles: dict[str, ServiceJob] = {}
        self._cancelled: set[int] = set()  # in this call: not submitted again by it
        self._fetched: set[int] = set()
        self._compilations = max(1, self._dataset.twirling.randomizations)  # of each circuit
        self._shots = self._dataset.fixed_shots() // self._compilations
        self._counts = {"submitted": 0, "fetched": 0}
        self._refusal: QmendError | None = None

    def run(self) -> Collection:
        for left in self._collection.folder.glob(".*.part"):
            left.unlink()
        for job in range(self._dataset.jobs):
            self._recover(job)
        self._report()
        try:
            self._work()
        finally:
            self._service.close()
        missing = [job for job in range(self._dataset.jobs) if job not in self._fetched]
        if missing and not self._config.finish:
            raise QmendError(self._failure(missing))
        manifest = finish_dataset(self._collection, self._results, sorted(self._fetched))
        folder = self._collection.folder
        return Collection(folder, manifest, **self._counts, left_out=len(missing))

    def _recover(self, job: int) -> None:
        """Take over a shard whose line in the ledger a kill prevented."""
        name = self._results.job_id(job)
        if name is None:
            return
        if self._record(job).state != "fetched":
            self._ledger.append("fetched", job, id=name, file=self._results.path(job).name)
        self._fetched.add(job)

    def _work(self) -> None:
        while True:
            pending = [j for j in range(self._dataset.jobs) if self._is_pending(j)]
            changed = [self._update(job) for job in pending]
            pending = [j for j in pending if self._is_pending(j)]
            if any(changed):
                self._refusal = None
            wanted = [] if self._config.finish else self._jobs_to_submit()
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
                if not self._jobs_to_submit():
                    return
            elif not any(changed):
                time.sleep(self._config.poll_seconds)

    def _record(self, job: int) -> JobRecord:
        return self._ledger.job(job)

    def _is_pending(self, job: int) -> bool:
        """Say whether the service has, or will have, a result that is not stored."""
        states = ("submitted", "done", "fetched")  # fetched: the file was lost or damaged
        return job not in self._fetched and self._record(job).state in states

    def _jobs_to_submit(self) -> list[int]:
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
        drawn = self._jobs.draw(job)
        layout, target = self._collection.device.layout, self._service.opened.backend.target
        table, measured = drawn.compilations(self._dataset.twirling.randomizations)
        circuits = isa_circuits(table, measured, layout, target)
        tries = sessions = 0
        while not self._adopt(job):
            try:
                handle = self._service.opened.submit(circuits, self._shots, self._tag(job))
            except SessionEndedError as error:
                sessions += 1
                if sessions > 2:
                    raise self._service.unreachable(error) from None
            except TransientError as error:
                # It may have been accepted all the same: the loop looks for it first.
                tries += 1
                if tries > self._config.max_retries:
                    raise self._service.unreachable(error) from None
                time.sleep(self._config.poll_seconds)
            except QmendError as error:
                self._refusal = error  # such as too many pending jobs: wait for those first
                return
            else:
                self._note(job, handle)
                return

    def _adopt(self, job: int) -> bool:
        """Take over a job that was submitted without a line in the ledger."""
        if not self._service.opened.outlives:
            return False
        recorded = set(self._record(job).ids)
        listed = self._service.ask(lambda: self._service.opened.jobs(self._tag(job)))
        rank = {"done": 0, "pending": 1, "cancelled": 2, "failed": 2}
        new = [(rank[self._service.ask(j.state)], j) for j in listed if j.job_id not in recorded]
        if new:
            self._note(job, min(new, key=lambda pair: pair[0])[1])
        return bool(new)

    def _note(self, job: int, handle: ServiceJob) -> None:
        self._ledger.append("submitted", job, id=handle.job_id, tag=self._tag(job))
        self._handles[handle.job_id] = handle
        self._counts["submitted"] += 1

    def _tag(self, job: int) -> str:
        ids = self._record(job).circuit_ids
        assert ids is not None
        circuits = hashlib.sha256("".join(ids).encode()).hexdigest()[:8]
        return f"qmend-{self._collection.sha}-{job:05d}-{circuits}"

    # Results

    def _update(self, job: int) -> bool:
        """Ask for a pending job, fetch it if it is done; say whether anything changed."""
        name = self._record(job).ids[-1]
        if name not in self._handles:
            restored = self._service.ask(lambda: self._service.opened.job(name))
            if restored is None:
                self._note_lost(job, name)
                return True
            self._handles[name] = restored
        handle = self._handles[name]
        state = self._service.ask(handle.state)
        if state == "pending":
            return False
        if state == "done":
            if self._record(job).state != "done":
                self._ledger.append("done", job, id=name)
            self._fetch(job, handle)
        elif state == "failed":
            reason = self._service.ask(handle.reason)
            self._ledger.append("failed", job, id=name, reason=reason, retry=True)
        else:
            reason = self._service.ask(handle.reason)
            self._ledger.append("cancelled", job, id=name, reason=reason)
            if not self._service.ask(lambda: self._service.opened.session_ended(name)):
                self._cancelled.add(job)
        return True

    def _note_lost(self, job: int, name: str) -> None:
        if self._service.opened.outlives:
            reason = "the service does not know the job any more"
            self._ledger.append("failed", job, id=name, reason=reason, retry=True)
        else:
            self._ledger.append("lost", job, id=name, reason="it ran in a process that is gone")

    def _fetch(self, job: int, handle: ServiceJob) -> None:
        drawn = self._jobs.draw(job)
        try:
            result = self._service.ask(handle.result)
            counts = outcome_counts(
                result, len(drawn.seeds), self._compilations, drawn.measured.shape[1], self._shots
            )
        except QmendError as error:
            reason = str(error)
            self._ledger.append("failed", job, id=handle.job_id, reason=reason, retry=False)
            return
        executed_at = self._service.ask(handle.executed_at)
        calibration = self._service.ask(handle.calibration)
        self._results.write(job, drawn, counts, handle.job_id, executed_at, calibration)
        file = self._results.path(job).name
        self._ledger.append("fetched", job, id=handle.job_id, file=file)
        self._fetched.add(job)
        self._jobs.forget(job)
        self._handles.pop(handle.job_id, None)
        self._counts["fetched"] += 1
        self._report()

    def _failure(self, missing: list[int]) -> str:
        first = missing[0]
        record = self._record(first)
        state = {
            "failed": f"failed ({record.reason})",
            "cancelled": f"was cancelled ({record.reason})",
        }.get(record.state, f"is {record.state}")
        name = f" {record.ids[-1]}" if record.ids else ""
        remedy = (
            "run the same command again to submit it anew"
            if record.state == "cancelled"
            else "raise collect.max_retries to submit it again"
            if record.retry
            else "it is not paid for a second time"
        )
        return (
            f"{len(missing)} of {self._dataset.jobs} jobs could not be collected, the others are "
            f"in {self._collection.folder}: job {first}{name} {state}; {remedy}, or make a dataset "
            "of the others with collect.finish=true."
        )

    def _report(self) -> None:
        self._progress(len(self._fetched) * self._dataset.job_size, self._dataset.circuits)
