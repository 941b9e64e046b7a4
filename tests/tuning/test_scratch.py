"""Ray's own files: in one folder, gone with the search, or with the next one if it was killed."""

import subprocess
import sys
import tempfile

from qmend.tuning.ray_trials import scratch_folder

KILLED = """
import os, signal
from qmend.tuning.ray_trials import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_search_left_is_removed_by_the_next_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED], stdout=subprocess.PIPE)
    (left,) = tmp_path.iterdir()
    assert str(left) == done.stdout.decode().strip()
    (tmp_path / "qmend-ray-unowned").mkdir()
    (tmp_path / "other").mkdir()
    with scratch_folder() as running:
        assert not left.exists()
        with scratch_folder() as beside:
            assert running.exists()
            assert beside != running
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "qmend-ray-unowned"]
