"""Shards of a dataset: written atomically, and marked with their recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qmend.files import lock, write_atomically
from qmend.types import QmendError

SHARD = "circuits-{}.parquet"
RECIPE_KEY = b"qmend.recipe_sha"


@contextmanager
def exclusive(folder: Path, wait: bool = False) -> Iterator[None]:
    """Lock a dataset's directory, made if it is missing, for one writer at a time.

    Args:
        wait: for another writer to finish, in place of refusing.

    Raises:
        QmendError: if the folder can't be written, or another process writes it.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            own = stack.enter_context(lock(folder.parent / f".{folder.name}.lock", wait))
        except OSError as error:
            raise QmendError(
                f"Can't write to {folder.parent} ({error.strerror}); choose another data.root."
            ) from None
        if not own:
            raise QmendError(f"Another process is writing {folder}; wait for it to finish.")
        yield


def is_intact(path: Path, sha: str) -> bool:
    """Say whether a shard was written whole for this recipe."""
    try:
        if shard_marks(path).get(RECIPE_KEY) != sha.encode():
            return False
        pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def shard_marks(path: Path) -> dict[bytes, bytes]:
    """Read the marks of a shard."""
    return dict(pq.read_schema(path).metadata or {})


def write_shard(path: Path, table: pa.Table, marks: dict[bytes, bytes]) -> None:
    """Write a shard atomically, with marks of its recipe."""
    table = table.replace_schema_metadata(marks)

    def write(part: Path) -> None:
        pq.write_table(
            table, part, compression="zstd", compression_level=3, write_page_checksum=True
        )

    write_atomically(path, write)
