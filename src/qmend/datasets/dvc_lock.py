"""Compare a dataset that a stage of DVC has made with the one that ``dvc.lock`` records."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from qmend.datasets.schema import SCHEMA_VERSION

LOCK = "dvc.lock"


def lock_difference(folder: Path, command: Sequence[str]) -> str | None:
    """Say how a dataset differs from the recorded one, and why.

    DVC itself writes the new hash into ``dvc.lock`` without a word.

    Args:
        command: words behind ``qmend``.

    Returns:
        None outside a stage of DVC, without a record, and where the hashes are equal.
    """
    stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    record = _record(folder, stage) if stage else None
    if record is None:
        return None
    recorded = next(
        (out.get("md5") for out in record.get("outs", []) if _same(out["path"], folder)), None
    )
    made = directory_hash(folder)
    if recorded in (None, made):
        return None
    return (
        f"{folder} has the hash {made}, {LOCK} records {recorded}: {_reason(record, command)}. "
        f"Commit {LOCK} if that was meant; `git checkout {LOCK}` keeps the recorded hash."
    )


def directory_hash(folder: Path) -> str:
    """Compute DVC's hash of a directory: the MD5 of a list of its files' MD5s."""
    entries = [
        {"md5": _md5(path), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries).encode()).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    if path.is_dir():
        return directory_hash(path)
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""


def _same(path: str, folder: Path) -> bool:
    """Compare an output's path with a directory; stages run where their paths begin."""
    return Path(path).resolve() == folder.resolve()


def _record(folder: Path, stage: str) -> Mapping[str, Any] | None:
    """Read a stage's record from the nearest lock above its output that has one."""
    for parent in folder.resolve().parents:
        if (parent / LOCK).exists():
            stages = yaml.safe_load((parent / LOCK).read_text()).get("stages", {})
            if stage in stages:
                record: Mapping[str, Any] = stages[stage]
                return record
    return None


def _reason(record: Mapping[str, Any], command: Sequence[str]) -> str:
    versions = [
        values["SCHEMA_VERSION"]
        for values in record.get("params", {}).values()
        if "SCHEMA_VERSION" in values
    ]
    if any(version != SCHEMA_VERSION for version in versions):
        return f"the schema version was {versions[0]} there and is {SCHEMA_VERSION} now"
    changed = [
        dep["path"] for dep in record.get("deps", []) if _md5(Path(dep["path"])) != dep["md5"]
    ]
    lines = [record["cmd"]] if isinstance(record["cmd"], str) else record["cmd"]
    if list(command) not in [shlex.split(line)[1:] for line in lines]:
        changed.insert(0, "the command")
    if changed:
        return f"its recipe has changed ({', '.join(changed)})"
    return (
        "its recipe is the same, so another version of qmend or of a package, or another type of "
        "processor, has made other bytes of it"
    )
