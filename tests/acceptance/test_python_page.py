"""The blocks of docs/python.md run, one after the other, and print what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_page_runs_and_prints_only_what_it_asks_for(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    script = "\nprint('--')\n".join(blocks)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:qmend", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    trained, evaluated, watched, asked, readout, zne = result.stdout.split("--\n")
    assert re.fullmatch(
        r"walsh_operator relative_l1 seed 0 [0-9a-f]{32}\nInterval\(.*\)\n", trained
    )
    assert "tiny_algiers 300" in evaluated
    assert re.search(r"^none 0\.0$", evaluated, re.MULTILINE)
    assert "data/tiny_algiers: reused; 300 rows" in watched
    for shown in (asked, readout, zne):
        assert re.match(r"\{'00000': 0\.\d+", shown)


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
