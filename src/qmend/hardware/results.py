"""Results of jobs: one shard each, with the calibration that the job ran under."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from qmend.datasets.shards import RECIPE_KEY, SHARD, is_intact, shard_marks, write_shard
from qmend.datasets.splits import split_jobs
from qmend.devices.calibration import Calibration
from qmend.generation.job import DrawnJob, job_rows
from qmend.hardware.opening import OpenCollection
from qmend.types import IntArray, Split

_JOB_KEY = b"qmend.job"
_ID_KEY = b"qmend.job_id"
_CALIBRATION_KEY = b"qmend.calibration"


class Results:
    """The shards of a collection."""

    def __init__(self, collection: OpenCollection) -> None:
        self._collection = collection
        dataset = collection.dataset
        self._splits: list[Split] = ["train"] * dataset.jobs  # by time: set when it is finished
        if dataset.split.by == "job":
            self._splits = split_jobs(collection.setup.times(), dataset.split, dataset.seed)

    def path(self, job: int) -> Path:
        return self._collection.folder / SHARD.format(f"{job:05d}")

    def job_id(self, job: int) -> str | None:
        """Read the provider's id of a job; None without an intact shard."""
        path = self.path(job)
        if not is_intact(path, self._collection.sha):
            return None
        marks = shard_marks(path)
        if marks.get(_JOB_KEY) != str(job).encode():
            return None
        return marks[_ID_KEY].decode()

    def write(
        self,
        job: int,
        drawn: DrawnJob,
        counts: IntArray,
        job_id: str,
        executed_at: datetime,
        device_calibration: Calibration,
    ) -> None:
        """Write a job's shard, whole or not at all.

        Args:
            counts: of each circuit, in the source's bit order.
            device_calibration: of the whole device, when the job ran.
        """
        calibration = device_calibration.restrict(self._collection.device.layout)
        table = job_rows(
            self._collection.setup,
            drawn,
            counts,
            None,
            source="hardware" if self._collection.config.execution == "runtime" else "simulated",
            job=job,
            job_id=job_id,
            calibration=calibration,
            executed_at=executed_at,
            split=self._splits[job],
        )
        marks = {
            RECIPE_KEY: self._collection.sha.encode(),
            _JOB_KEY: str(job).encode(),
            _ID_KEY: job_id.encode(),
            _CALIBRATION_KEY: json.dumps(calibration.model_dump(mode="json")).encode(),
        }
        write_shard(self.path(job), table, marks)


def shard_calibration(path: Path) -> Calibration:
    """Read the calibration that a shard's job ran under."""
    return Calibration.parse(json.loads(shard_marks(path)[_CALIBRATION_KEY]), path.name)
