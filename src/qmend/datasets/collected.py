"""Reuse of collected datasets, which can't be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qmend.datasets.config import DatasetConfig, collected_recipe, difference
from qmend.datasets.ledger import Ledger
from qmend.datasets.manifest import MANIFEST, Manifest, check_files, read_manifest
from qmend.devices.device import DeviceConfig
from qmend.types import Progress, QmendError


def reuse_collected(
    dataset: DatasetConfig, device: DeviceConfig, folder: Path, progress: Progress
) -> Manifest:
    """Return a complete collected dataset, which is never overwritten.

    Raises:
        QmendError: if they are of another config, unfinished or damaged.
    """
    check_same(Ledger(folder), collected_recipe(dataset, device), folder)
    if not (folder / MANIFEST).exists():
        raise QmendError(
            f"{folder} holds an unfinished collection; finish it with `qmend data collect`."
        )
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    progress(manifest.rows, manifest.rows)
    return manifest


def check_same(ledger: Ledger, recipe: dict[str, Any], folder: Path) -> None:
    """Refuse a folder whose collection was begun with another config.

    Raises:
        QmendError: naming the first difference.
    """
    begun = (ledger.opening or {}).get("asked", {})
    if begun != recipe:
        raise QmendError(
            f"{folder} holds collected data of another config ({difference(begun, recipe)}), which "
            "are never overwritten; give yours another dataset.name or data.root."
        )
