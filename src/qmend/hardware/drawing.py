"""The circuits of jobs, all of them different."""

from __future__ import annotations

from qmend.datasets.config import DatasetConfig
from qmend.datasets.ledger import Ledger
from qmend.generation.job import DrawnJob, GenerationSetup, draw_job
from qmend.types import QmendError


class DistinctJobs:
    """Draws jobs, and writes their plan to the ledger the first time."""

    def __init__(self, dataset: DatasetConfig, setup: GenerationSetup, ledger: Ledger) -> None:
        self._dataset = dataset
        self._setup = setup
        self._ledger = ledger
        self._drawn: dict[int, DrawnJob] = {}
        self._seen = {i for r in ledger.jobs.values() for i in r.circuit_ids or ()}

    def draw(self, job: int) -> DrawnJob:
        """The job's circuits, none of them in another job or twice in this one."""
        if job in self._drawn:
            return self._drawn[job]
        record = self._ledger.job(job)
        attempts = dict(record.attempts)
        while True:
            drawn = draw_job(self._setup, job, attempts)
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

    def forget(self, job: int) -> None:
        """Free the memory of a job that is done with."""
        self._drawn.pop(job, None)
