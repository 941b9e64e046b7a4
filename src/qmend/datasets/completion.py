"""Complete a dataset: the files beside its shards, the manifest last."""

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
from qmend.files import write_atomically


def write_calibrations(folder: Path, calibrations: Sequence[Calibration]) -> None:
    """Write the calibrations beside a dataset's shards."""
    table = calibrations_table(calibrations)
    write_atomically(folder / CALIBRATIONS, lambda part: pq.write_table(table, part))


def complete_dataset(
    folder: Path,
    name: str,
    origin: Origin,
    recipe: dict[str, Any],
    shards: Sequence[Path],
    provenance: Provenance | None = GENERATED,
    packages: dict[str, str] | None = None,
) -> Manifest:
    """Write the card and the manifest of shards and calibrations that are written.

    Args:
        provenance: for the card; None: no card.
        packages: versions that decided the data; None: :func:`package_versions`.
    """
    entries = [FileEntry.of_file(path) for path in shards]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        origin=origin,
        recipe=recipe,
        recipe_sha=recipe_sha(recipe),
        rows=sum(entry.rows for entry in entries),
        shards=entries,
        calibrations=FileEntry.of_file(folder / CALIBRATIONS),
        packages=packages or package_versions(),
    )
    if provenance is not None:
        write_card(folder, manifest, provenance)
    write_manifest(folder, manifest)
    return manifest
