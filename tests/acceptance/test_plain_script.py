"""A script of one's own: no guard for worker processes, and nothing printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_plain_script_needs_no_guard_for_worker_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import qmend\n"
        "print('once')\n"
        "overrides = ['dataset=tiny', 'dataset.circuits=60', 'model=blind_mlp', 'trainer=tiny']\n"
        "overrides += ['online=randomized', 'online.circuits=20', 'trainer.batch_size=20']\n"
        "print(qmend.train(qmend.compose('train', overrides)).name)\n"
    )
    command = [sys.executable, str(script)]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.stdout == "once\nblind_mlp l1 seed 0\n", result.stderr[-3000:]
