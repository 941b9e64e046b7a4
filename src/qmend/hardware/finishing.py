"""Make a dataset of the jobs that were fetched."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.card import Provenance
from qmend.datasets.completion import complete_dataset, write_calibrations
from qmend.datasets.config import CollectionConfig, DatasetConfig
from qmend.datasets.ledger import LEDGER
from qmend.datasets.manifest import Manifest
from qmend.datasets.schema import REFERENCE, SCHEMA
from qmend.datasets.shards import SHARD, shard_marks, write_shard
from qmend.datasets.splits import split_jobs
from qmend.devices.device import DeviceConfig
from qmend.hardware.opening import OpenCollection
from qmend.hardware.results import Results, shard_calibration
from qmend.types import QmendError


def finish_dataset(collection: OpenCollection, results: Results, fetched: list[int]) -> Manifest:
    """Split the fetched jobs, then write the calibrations, the card and the manifest.

    Args:
        fetched: numbers of the fetched jobs, in order.

    Raises:
        QmendError: if they are too few for three splits.
    """
    dataset, folder = collection.dataset, collection.folder
    if len(fetched) < 3:
        raise QmendError(
            f"{folder} has {len(fetched)} collected jobs, and the three splits need at "
            "least 3; collect more, without collect.finish=true."
        )
    missing = sorted(set(range(dataset.jobs)) - set(fetched))
    paths = [results.path(job) for job in fetched]
    if missing or dataset.split.by == "time":
        _split_again(dataset, paths)
    calibrations = {c.calibration_id: c for c in map(shard_calibration, paths)}
    recipe: dict[str, Any] = json.loads(json.dumps(collection.recipe))
    recipe["dataset"]["circuits"] = len(fetched) * dataset.job_size
    recipe["collection"]["left_out"] = missing
    for extra in folder.glob(SHARD.format("*")):
        if extra not in paths:
            extra.unlink()  # damaged: its job is left out
    collection.ledger.append("finished", jobs=len(fetched), left_out=missing)
    provenance = _provenance(collection.device, collection.config)
    write_calibrations(folder, list(calibrations.values()))
    return complete_dataset(folder, dataset.name, "collected", recipe, paths, provenance)


def _provenance(device: DeviceConfig, config: CollectionConfig) -> Provenance:
    local = config.execution == "local"
    where = "in the runtime's local mode, with the noise of the snapshot" if local else "on"
    return Provenance(
        origin=f"Collected by `qmend data collect` {where} {device.backend}. The "
        "circuits follow from the seed, the counts can't be made again. "
        f"`{LEDGER}` holds the history of every job."
    )


def _split_again(dataset: DatasetConfig, paths: list[Path]) -> None:
    """Split the fetched jobs by the times at which they ran."""
    tables = [pq.read_table(path) for path in paths]
    times: list[datetime] = [t["executed_at"][0].as_py() for t in tables]
    splits = split_jobs(times, dataset.split, dataset.seed)
    for path, table, split in zip(paths, tables, splits, strict=True):
        if table["split"][0].as_py() != split:
            before = table["split"].to_pylist()
            column = pa.array([REFERENCE if name == REFERENCE else split for name in before])
            index = SCHEMA.get_field_index("split")
            marks = shard_marks(path)
            write_shard(path, table.set_column(index, SCHEMA.field("split"), column), marks)
