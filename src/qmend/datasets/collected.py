"""Reuse of collected datasets, which can't be made again."""

from __future__ import annotations

from pathlib import Path

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
    opening = Ledger(folder).opening or {}
    ours = collected_recipe(dataset, device)
    if opening.get("asked") != ours:
        raise QmendError(
            f"{folder} holds collected data of another config "
            f"({difference(opening.get('asked', {}), ours)}), which are never overwritten; give "
            "yours another dataset.name or data.root."
        )
    if not (folder / MANIFEST).exists():
        raise QmendError(
            f"{folder} holds an unfinished collection; finish it with `qmend data collect`."
        )
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    progress(manifest.rows, manifest.rows)
    return manifest
