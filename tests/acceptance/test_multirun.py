"""`qmend train -m`: several cells at once, killed and gone on with, each result once."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from commandline import Command, Tracked, end_tree, outcome, start, tracked, wait_until
from mlflow.entities import Run

QUICK = (
    "dataset=tiny",
    "trainer=tiny",
    "trainer.max_epochs=60",
    "trainer.save_every_seconds=0",
    "model=blind_mlp",
    "model.width=8",
    "data.workers=1",
)
SEEDS = "seed=0,1,2,-1"
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
#: Of both commands: the second finds what the first has left there.
SWEEP_DIR = "sweep"


def one_done_others_at_work(database: Path) -> bool:
    """Whether a cell has finished and each one at work has logged three epochs."""
    query = """\
        select status, (select count(*) from metrics m
                        where m.run_uuid = r.run_uuid and key = 'train/loss')
        from runs r join tags t on t.run_uuid = r.run_uuid
        where t.key = 'kind' and t.value = 'train'"""
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        with contextlib.closing(connection):
            found = connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return False
    at_work = [epochs for status, epochs in found if status == "RUNNING"]
    return len(at_work) < len(found) and bool(at_work) and 3 <= min(at_work) <= max(at_work) < 50


@dataclass(frozen=True)
class Interrupted:
    """A multirun whose driver alone was killed, and the same command with resume=true."""

    killed: Tracked
    left: list[psutil.Process]
    resumed: Tracked


def leave_interrupted(folder: Path) -> None:
    """Leave what an interrupted multirun left in ``hydra.sweep.dir``."""
    folder.mkdir()
    end = {"event": "end", "status": "finished", "run_id": "0" * 32, "error": "", "result": ""}
    (folder / "0.jsonl").write_text(json.dumps(end) + "\n")
    (folder / "stop").touch()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """Begun in a folder without data: the cells make the dataset, too, at once."""
    folder = tmp_path_factory.mktemp("swept")
    leave_interrupted(folder / SWEEP_DIR)
    command = ("train", "-m", *JOBLIB, f"hydra.sweep.dir={SWEEP_DIR}", *QUICK, SEEDS)
    process = start(*command, folder=folder)
    try:
        database = folder / "mlruns" / "mlflow.db"
        wait_until(lambda: one_done_others_at_work(database), "a finished cell", process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, left = psutil.wait_procs(family, timeout=60)
        for member in left:
            member.kill()
        killed = tracked(folder, outcome(process))
    finally:
        end_tree(process)
    process = start(*command, "resume=true", folder=folder)
    try:
        return Interrupted(killed, left, tracked(folder, outcome(process)))
    finally:
        end_tree(process)


def ids(runs: list[Run]) -> set[str]:
    return {run.info.run_id for run in runs}


def said(found: Tracked) -> str:
    """What a command printed, lines that were folded put together."""
    return " ".join(found.result.out.split())


def test_workers_end_with_their_driver(swept: Interrupted) -> None:
    assert swept.killed.result.code == -signal.SIGKILL
    assert swept.left == []


def test_cells_that_need_the_same_dataset_make_it_once(swept: Interrupted) -> None:
    out = said(swept.killed)
    assert out.count("made 300 circuits") == 1
    assert out.count("starts: seed=") >= 2  # the cell that made it, and another
    assert "Another process" not in out


def test_a_log_shows_each_start_and_end_with_counts(swept: Interrupted) -> None:
    lines = swept.resumed.result.out.splitlines()
    assert lines[0] == "4 cells, 2 at once: seed=0,1,2,-1"
    for number, seed in enumerate((0, 1, 2, -1), 1):
        (started,) = [line for line in lines if f"cell {number}/4 starts: seed={seed} (" in line]
        (ended,) = [
            line
            for line in lines
            if re.match(rf"  cell {number}/4 (finished|reused|failed): seed={seed};", line)
        ]
        assert lines.index(started) < lines.index(ended)
        assert re.search(r"\(\d of 4 ended(, \d \w+)*, \d running\)$", started)
        assert re.search(r" s; \d of 4 ended(, \d \w+)*\)$", ended)
    assert any("4 of 4 ended, 1 failed" in line for line in lines)


def test_reports_of_cells_are_removed_when_all_have_ended(swept: Interrupted) -> None:
    """Those of the killed command are left."""
    assert len(list((swept.resumed.folder / SWEEP_DIR).glob("cells-*"))) == 1


def test_a_killed_multirun_goes_on_under_its_own_parent(swept: Interrupted) -> None:
    (before,), (after,) = swept.killed.kind("multirun"), swept.resumed.kind("multirun")
    assert before.info.status == "RUNNING"  # as it was killed; the next command saw to it
    assert before.info.run_id == after.info.run_id
    assert after.data.tags["qmend.resumed"] == "1"
    assert after.info.run_name == "multirun seed=0,1,2,-1"


def test_no_cell_is_lost_or_repeated(swept: Interrupted) -> None:
    (parent,), cells = swept.resumed.kind("multirun"), swept.resumed.kind("train")
    assert [run.info.run_name for run in sorted(cells, key=lambda r: r.info.run_name)] == [
        "seed=0",
        "seed=1",
        "seed=2",
    ]
    assert {run.info.status for run in cells} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {parent.info.run_id}
    before = {run.info.run_id: run.info for run in swept.killed.kind("train")}
    for run in cells:
        was = before.get(run.info.run_id)
        resumed = run.data.tags.get("qmend.resumed")
        if was is None:
            assert resumed is None  # had not begun
        elif was.status == "FINISHED":
            assert resumed is None
            assert run.info.end_time == was.end_time
        else:
            assert resumed == "1"
        history = swept.resumed.client.get_metric_history(run.info.run_id, "train/loss")
        assert len({metric.step for metric in history}) == len(history) == 60
    assert set(before) <= ids(cells)


def test_a_failed_cell_is_told_in_the_table_and_by_the_exit_status(swept: Interrupted) -> None:
    sentence = swept.resumed.result.refused("1 of 4 cells failed", "seed=-1", code=3)
    assert "resume=true" in sentence
    (parent,) = swept.resumed.kind("multirun")
    assert parent.info.status == "FAILED"
    assert "1 of 4 cells failed" in parent.data.tags["error"]
    table = swept.resumed.result.out.partition(f"Cells of multirun {parent.info.run_id}")[2]
    for run in swept.resumed.kind("train"):
        (line,) = [line for line in table.splitlines() if run.info.run_id[:8] in line]
        first = run.data.metrics["test/l1rc_median"]
        assert f"{first:.3f} [" in line
        finished_before = run.info.run_id in ids(
            [r for r in swept.killed.kind("train") if r.info.status == "FINISHED"]
        )
        assert ("reused" if finished_before else "finished") in line
    assert [line for line in table.splitlines() if "failed" in line and " -1 " in line]
    assert "4: seed: input should be greater than or equal to 0 (it is -1)." in table


def test_the_parent_names_all_its_cells(swept: Interrupted) -> None:
    (parent,) = swept.resumed.kind("multirun")
    assert parent.data.metrics["jobs"] == 4
    assert parent.data.metrics["jobs_failed"] == 1
    cells = json.loads(swept.resumed.artifacts(parent, "cells.json").read_text())
    assert [cell["overrides"] for cell in cells] == [[f"seed={s}"] for s in (0, 1, 2, -1)]
    assert {cell["run_id"] for cell in cells[:3]} == ids(swept.resumed.kind("train"))
    assert cells[3]["run_id"] is None


def test_another_multirun_takes_finished_cells_over_whatever_ran_them(
    swept: Interrupted, here: Command
) -> None:
    folder = swept.resumed.folder
    (earlier,) = swept.resumed.kind("multirun")
    result = here("train", "-m", *QUICK, "resume=true", "seed=1,2", folder=folder).succeeded()
    found = tracked(folder, result)
    assert ids(found.kind("train")) == ids(swept.resumed.kind("train"))
    (parent,) = [r for r in found.kind("multirun") if r.info.run_id != earlier.info.run_id]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["jobs_reused"] == 2
    for run in found.kind("train"):
        assert run.data.tags["mlflow.parentRunId"] == earlier.info.run_id
        taken = run.info.run_name != "seed=0"
        assert run.data.tags.get("reused_by") == (parent.info.run_id if taken else None)
    assert "2 reused" in result.out

    shown = here("runs", "list", folder=folder).succeeded().out.partition("multirun seed=1,2")[2]
    assert [line.split()[:3] for line in shown.splitlines()[1:3]] == [
        [f"seed={seed}", "train", "reused"] for seed in (1, 2)
    ]
    chosen = f"runs=parent={parent.info.run_id}"
    here("report", chosen, "output=page.html", folder=folder).succeeded()
    taken = {run.info.run_name: run for run in found.kind("train")}
    medians = [taken[f"seed={seed}"].data.metrics["test/l1rc_median"] for seed in (1, 2)]
    page = (folder / "page.html").read_text()
    assert " ".join(f"{median:.3f}" for median in medians) in page

    alone = here("train", *QUICK, "resume=true", "seed=1", folder=folder).succeeded()
    assert "has finished it" in alone.out
    assert ids(tracked(folder, alone).kind("train")) == ids(found.kind("train"))


@pytest.mark.parametrize("number", ["0", "many"])
def test_a_number_of_processes_that_is_none_is_refused(here: Command, number: str) -> None:
    arguments = ("train", "-m", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={number}")
    here(*arguments, "seed=0,1").refused("n_jobs", number)


def test_a_multirun_is_refused_where_the_store_can_not_be(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file")
    result = here("train", "-m", "seed=0,1")
    result.refused("tracking", "mlruns")
