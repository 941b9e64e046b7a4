"""``qmend study twirling``, on a few circuits."""

from __future__ import annotations

import json
from pathlib import Path

from commandline import Command

from qmend.tracking.store import open_store

STUDY = (
    "study",
    "twirling",
    "dataset.circuits=60",
    "dataset.job_size=6",
    "dataset.shots=2000",
    "randomizations=[0,4]",
    "baselines=[none,path_inversion]",
    "data.workers=1",
)


def test_each_number_of_randomizations_is_a_column(here: Command, tmp_path: Path) -> None:
    out = here(*STUDY).succeeded().out
    figures = json.loads(out.splitlines()[-1])
    assert list(figures) == ["none", "path_inversion"]
    assert all(list(row) == ["0", "4"] for row in figures.values())
    assert figures["none"]["4"]["l1rc_median"] == [0, 0, 0]
    for number in ("0", "4"):
        assert figures["path_inversion"][number]["l1rc_median"][0] < -0.4
        assert 0.4 < figures["none"][number]["l1_median"] < 0.9
    folder = tmp_path / "reports" / "twirling"
    names = ["figures.json", "page.md", "randomizations.png", "randomizations.svg", "table.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    header, _, none, _ = (folder / "table.md").read_text().splitlines()
    assert header == "| mitigator | R = 0 | R = 4 |"
    assert none == "| none | 0.000 / 0.00 | 0.000 / 0.00 |"
    store = open_store(tmp_path / "mlruns")
    (parent,) = store.runs("tags.kind = 'study'")
    cells = store.runs(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert sorted(cell.data.tags["architecture"] for cell in cells) == sorted(2 * list(figures))
    assert {cell.data.params["dataset.twirling.randomizations"] for cell in cells} == {"0", "4"}


def test_a_number_named_twice_is_refused(here: Command, tmp_path: Path) -> None:
    here(*STUDY, "randomizations=[4,4]").refused("randomizations", "more than once")
    here(*STUDY, "randomizations=[4096]").refused("twirling.randomizations (4096)", "raise shots")
    assert list(tmp_path.iterdir()) == []
