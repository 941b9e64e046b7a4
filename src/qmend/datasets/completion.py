"""The last step of making a dataset: the files that its shards need to be one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from qmend.datasets.card import GENERATED, Provenance, write_card
from qmend.datasets.config import recipe_sha
from qmend.datasets.manifest import (
    CALIBRATIONS,
    FileEntry,
    Manifest,
    Origin,
    package_versions,
    write_manifest,
)
from qmend.datasets.schema import SCHEMA_VERSION, calibrations_table
from qmend.devices.calibration import Calibration
from qmend.files import file_sha256, write_atomically


def write_dataset(
    folder: Path,
    name: str,
    recipe: dict[str, Any],
    shards: Sequence[Path],
    calibrations: Sequence[Calibration],
    provenance: Provenance = GENERATED,
    origin: Origin = "simulated",
) -> Manifest:
    """Write what belongs to shards that are there: the calibrations, the card, and last the
    manifest."""
    write_atomically(
        folder / CALIBRATIONS,
        lambda part: pq.write_table(calibrations_table(calibrations), part),
    )
    entries = [
        FileEntry(file=p.name, rows=pq.read_metadata(p).num_rows, sha256=file_sha256(p))
        for p in shards
    ]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        origin=origin,
        recipe=recipe,
        recipe_sha=recipe_sha(recipe),
        rows=sum(e.rows for e in entries),
        shards=entries,
        calibrations=FileEntry(
            file=CALIBRATIONS,
            rows=len(calibrations),
            sha256=file_sha256(folder / CALIBRATIONS),
        ),
        packages=package_versions(),
    )
    write_card(folder, manifest, provenance)
    write_manifest(folder, manifest)
    return manifest
