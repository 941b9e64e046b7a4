"""Files that a kill at any moment leaves whole: atomic writes, locks, append-only logs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qmend.types import QmendError


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path`` and move into place: a kill leaves the old file or the new one.

    Args:
        write: writes the contents to the path that it is given.

    Raises:
        QmendError: if the disk is full or not writable.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise QmendError(
            f"Could not write {path} ({error.strerror or error}); free some space or choose "
            "another directory, then run the same command again."
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as :func:`write_atomically` does."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def check_writable(path: Path) -> None:
    """Make a file's directory, and check before the work that it can be written to.

    Raises:
        QmendError: if it can't.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise QmendError(
            f"Can't write to {path.parent} ({error.strerror}); choose another output=..."
        ) from None


@contextmanager
def lock(path: Path, wait: bool = True, directory: bool = False) -> Iterator[bool]:
    """Hold the lock of a file or directory, made if it is missing.

    The lock is the kernel's (``flock``): it ends with the process, even by SIGKILL. Its holder may
    remove the path. Yields False, without the lock, where another process holds it.

    Args:
        wait: for another process to release it, in place of yielding False.
        directory: whether the path is a directory.

    Raises:
        OSError: if the path can't be opened.
    """
    handle = _acquire(path, wait, directory)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _acquire(path: Path, wait: bool, directory: bool) -> int | None:
    while True:
        if directory:
            path.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDONLY if directory else os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            if not directory:
                raise
            continue  # removed after it was made
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass  # its holder has removed it: make a new one
        os.close(handle)


class AppendLog:
    """JSON lines in a file that is only ever appended to, by one process at a time.

    A line is on the disk (fsync) when :meth:`append` returns. A kill can tear only the last line;
    a torn line is dropped, as if its event had not happened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def replay(self, take: Callable[[Any], None]) -> None:
        """Call ``take`` with each event in turn.

        Raises:
            ValueError: naming the line, if one is damaged, or ``take`` finds a value or key wrong.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, start=1):
            try:
                take(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError):
                raise ValueError(f"Line {number} of {self.path} is damaged") from None

    def append(self, event: Mapping[str, Any]) -> Any:
        """Write one event and wait for the disk; return it as :meth:`replay` gives it."""
        line = json.dumps(event, sort_keys=True).encode() + b"\n"
        new = not self.path.exists()
        if not new:
            self._drop_torn_line()
        with self.path.open("ab") as handle:
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        if new:
            _sync_directory(self.path.parent)
        return json.loads(line)

    def _drop_torn_line(self) -> None:
        with self.path.open("r+b") as handle:
            text = handle.read()
            whole = text.rfind(b"\n") + 1
            if whole != len(text):
                handle.truncate(whole)


def _sync_directory(directory: Path) -> None:
    """Put a new file's name on the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
