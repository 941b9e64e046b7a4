"""``manifest.json``: the recipe and origin of a dataset, and the SHA-256 of its files."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from qmend.config.model import ConfigModel
from qmend.datasets.schema import SCHEMA_VERSION
from qmend.files import file_sha256, write_text
from qmend.types import QmendError

MANIFEST = "manifest.json"
CALIBRATIONS = "calibrations.parquet"
#: Packages that decide simulated data.
PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "numpy", "pyarrow")


class FileEntry(ConfigModel):
    """A file of the dataset, its rows and its hash."""

    file: str
    rows: int
    sha256: str

    @staticmethod
    def of_file(path: Path) -> FileEntry:
        """Describe a Parquet file that is written."""
        rows = pq.read_metadata(path).num_rows
        return FileEntry(file=path.name, rows=rows, sha256=file_sha256(path))


#: Ways out for a file that is damaged or missing.
_REPAIRS: dict[str, str] = {
    "simulated": "run `qmend data generate` with the dataset's config (its README.md has it) and "
    "data.replace=true: it makes just that file again.",
    "collected": "bring it back with `dvc checkout`, or run `qmend data collect` with the "
    "dataset's config: it fetches that job again.",
    "imported": "bring the file back (git restores tracked ones), or make the dataset again with "
    "`qmend data import`.",
}

Origin = Literal["simulated", "collected", "imported"]


class Manifest(ConfigModel):
    """The contents of ``manifest.json``; no wall clock: equal data have equal bytes.

    Attributes:
        origin: how the circuits were measured: simulated here, collected on hardware by
            ``qmend data collect``, or imported from other records.
    """

    schema_version: int
    name: str
    origin: Origin
    recipe: dict[str, Any]
    recipe_sha: str
    rows: int
    shards: list[FileEntry]
    calibrations: FileEntry
    packages: dict[str, str]

    @property
    def dataset_sha(self) -> str:
        """SHA-256 (first 16 hex digits) over the hashes of all files."""
        text = "".join(e.sha256 for e in [*self.shards, self.calibrations])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file: where there is one, the dataset is complete."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    write_text(folder / MANIFEST, text)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        QmendError: if there is none, or it is of another schema version.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise QmendError(
            f"{folder} holds no complete dataset (no {MANIFEST}); make it with "
            "`qmend data generate`, which also resumes a generation that was stopped, or of "
            "measurements with `qmend data import`."
        )
    try:
        data = json.loads(path.read_text())
        version = data["schema_version"]
        if version != SCHEMA_VERSION:
            raise QmendError(
                f"{path} has schema version {version}, this package reads {SCHEMA_VERSION}: "
                f"{_remake(data.get('recipe', {}))}"
            )
        return Manifest.model_validate(data)
    except (ValueError, KeyError, TypeError):
        raise QmendError(
            f"{path} is damaged; delete it and run `qmend data generate` again: intact shards "
            "are kept."
        ) from None


def _remake(recipe: dict[str, Any]) -> str:
    """Say how to make a dataset of another schema version anew."""
    imported = recipe.get("imported")
    if imported:
        return (
            f"make it anew with `qmend data import {imported['input']['file']} --replace` and the "
            "options that it was imported with."
        )
    if "collection" in recipe:
        return (
            "its counts can't be made again. Read it with the qmend that collected it, or collect "
            "the circuits anew under another dataset.name."
        )
    names = [recipe.get(group, {}).get("name", "...") for group in ("dataset", "device")]
    return (
        f"make it anew with `dvc repro`, or with `qmend data generate dataset={names[0]} "
        f"device={names[1]} data.replace=true` (its README.md has the whole config)."
    )


def damaged_files(folder: Path, manifest: Manifest) -> list[FileEntry]:
    """List the files that are missing or differ from their hash."""
    return [
        entry
        for entry in [*manifest.shards, manifest.calibrations]
        if not (folder / entry.file).exists() or file_sha256(folder / entry.file) != entry.sha256
    ]


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its hash.

    Raises:
        QmendError: naming the first file that is missing or differs, and the repair.
    """
    for entry in damaged_files(folder, manifest):
        path = folder / entry.file
        state = "does not match its hash" if path.exists() else "is missing"
        raise QmendError(f"{path} {state}; {_REPAIRS[manifest.origin]}")


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Read the versions of Python and of the packages that decide the data."""
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
