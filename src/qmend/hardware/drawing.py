"""Draw the circuits of a collection, all of them different."""

from __future__ import annotations

from qmend.generation.job import DrawnJob, draw_job, draw_job_without
from qmend.hardware.opening import OpenCollection
from qmend.hardware.references import with_references
from qmend.types import QmendError


class DistinctJobs:
    """Draws jobs, and writes their plan to the ledger the first time."""

    def __init__(self, collection: OpenCollection) -> None:
        self._dataset, self._setup = collection.dataset, collection.setup
        self._ledger = collection.ledger
        self._references = collection.config.references
        self._drawn: dict[int, DrawnJob] = {}
        self._seen = {i for r in self._ledger.jobs.values() for i in r.instruction_ids}

    def draw(self, job: int) -> DrawnJob:
        """Draw the job's circuits, none of them in another job or twice in this one.

        Raises:
            QmendError: if the family has too few circuits, or a job that was planned before is
                compiled to other circuits now.
        """
        if job not in self._drawn:
            planned = self._ledger.job(job).circuit_ids is not None
            self._drawn[job] = self._draw_again(job) if planned else self._draw_first(job)
        return self._drawn[job]

    def _draw_first(self, job: int) -> DrawnJob:
        """Draw a job that differs from all others, and write it to the ledger."""
        drawn, attempts = draw_job_without(
            self._setup,
            job,
            lambda ids: [k for k, i in enumerate(ids) if i in self._seen or i in ids[:k]],
            f"The family {self._dataset.family.name!r} has too few different circuits for "
            f"dataset.circuits={self._dataset.circuits}; ask for fewer.",
        )
        gates = drawn.table.circuit_ids()
        drawn = with_references(drawn, self._dataset, job, self._references)
        self._ledger.append(
            "planned",
            job,
            circuit_ids=drawn.circuit_ids,
            instruction_ids=gates,
            attempts=[[k, count] for k, count in sorted(attempts.items())],
        )
        self._seen.update(gates)
        return drawn

    def _draw_again(self, job: int) -> DrawnJob:
        """Draw a job as the ledger has it."""
        record = self._ledger.job(job)
        drawn = draw_job(self._setup, job, record.attempts)
        drawn = with_references(drawn, self._dataset, job, self._references)
        if drawn.circuit_ids != record.circuit_ids:
            assert self._ledger.opening is not None
            raise QmendError(
                f"Job {job} is not compiled to the circuits that were submitted; go on with the "
                f"package versions of the first call ({self._ledger.opening['packages']})."
            )
        return drawn

    def forget(self, job: int) -> None:
        """Free the memory of a job that is fetched."""
        self._drawn.pop(job, None)
