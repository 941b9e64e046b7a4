"""Atomic writes, locks that end with their holder, logs whose last line may be torn."""

import errno
import shutil
import signal
import subprocess
import sys
import time

import pytest

from qmend.files import AppendLog, lock, write_atomically, write_text
from qmend.types import QmendError

HOLD = """
import sys, time
from pathlib import Path
from qmend.files import lock
with lock(Path(sys.argv[1]), directory=sys.argv[2] == "True") as own:
    print(own, flush=True)
    time.sleep(60)
"""


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "page.html"
    write_text(path, "old ä")

    def fail(part):
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(QmendError, match=r"Could not write .*page\.html \(No space left"):
        write_atomically(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == "old ä"


@pytest.mark.parametrize("directory", [True, False])
def test_a_lock_excludes_others_and_ends_with_sigkill(tmp_path, directory):
    path = tmp_path / "it"
    arguments = [sys.executable, "-c", HOLD, str(path), str(directory)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with lock(path, wait=False, directory=directory) as own:
            assert not own
        other.send_signal(signal.SIGKILL)
        start = time.monotonic()
        with lock(path, directory=directory) as own:
            assert own
            assert time.monotonic() - start < 30


def test_a_holder_may_remove_the_directory(tmp_path):
    path = tmp_path / "state"
    with lock(path, wait=False, directory=True) as first:
        shutil.rmtree(path)
        with lock(path, wait=False, directory=True) as second:
            assert first
            assert second


def test_a_torn_line_is_dropped_and_a_damaged_one_refused(tmp_path):
    log, events = AppendLog(tmp_path / "log.jsonl"), []
    log.replay(events.append)
    assert not events
    assert log.append({"event": 1, "keys": (1, 2)}) == {"event": 1, "keys": [1, 2]}
    with log.path.open("ab") as handle:
        handle.write(b'{"event"')
    log.replay(events.append)
    assert events == [{"event": 1, "keys": [1, 2]}]
    log.append({"event": 2})
    assert log.path.read_text().count("\n") == 2
    log.path.write_text('{"event"\n{}\n')
    with pytest.raises(ValueError, match=r"Line 1 of .*log\.jsonl is damaged"):
        log.replay(events.append)
