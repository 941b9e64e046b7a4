"""Shards of a dataset: each there whole or not at all, marked with what it belongs to."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.manifest import write_atomically
from qmend.types import QmendError

SHARD = "circuits-{}.parquet"
RECIPE_KEY = b"qmend.recipe_sha"


@contextmanager
def exclusive(folder: Path, wait: bool = False) -> Iterator[None]:
    """One writer a folder; the lock goes with the process, however it ends.

    Args:
        wait: for another writer to finish, in place of refusing.

    Raises:
        QmendError: if the folder can't be written, or another process writes it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder.parent / f".{folder.name}.lock").open("w")
    except OSError as error:
        raise QmendError(
            f"Can't write to {folder.parent} ({error.strerror}); choose another data.root."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            raise QmendError(
                f"Another process is writing {folder}; wait for it to finish."
            ) from None
        yield


def is_intact(path: Path, sha: str) -> bool:
    """Whether a shard left by an earlier call was written whole for this very recipe."""
    try:
        if shard_marks(path).get(RECIPE_KEY) != sha.encode():
            return False
        pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def shard_marks(path: Path) -> dict[bytes, bytes]:
    """What a shard belongs to."""
    return dict(pq.read_schema(path).metadata or {})


def write_shard(path: Path, table: pa.Table, marks: dict[bytes, bytes]) -> None:
    """Write a shard whole or not at all, with marks that say what it belongs to."""
    table = table.replace_schema_metadata(marks)

    def write(part: Path) -> None:
        pq.write_table(
            table, part, compression="zstd", compression_level=3, write_page_checksum=True
        )

    write_atomically(path, write)
