"""`qmend tune`: interrupted or killed at any moment, the same command ends with the same search.

QMEND_KILL_MOMENTS sets how often the search is killed with SIGKILL (1).
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import psutil
import pytest
from commandline import Command, Outcome, Tracked, end_tree, outcome, start, tracked, wait_until

from qmend.tracking.store import open_store
from qmend.training.state import read_state

MOMENTS = int(os.environ.get("QMEND_KILL_MOMENTS", "1"))
TRIALS = 5
SEARCH = (
    "tune",
    "dataset=tiny",
    "trainer=tiny",
    "trainer.max_epochs=12",
    "trainer.save_every_seconds=1000",  # only at an interrupt
    "model=blind_mlp",
    "model.width=8",
    "tune.space.model.width.low=4",
    "tune.space.model.width.high=16",
    f"tune.trials={TRIALS}",
    "tune.parallel=1",
    "tune.seed=3",  # under which a trial is pruned
    "tune.asha.grace_period=3",
    "tune.asha.reduction_factor=2",
)


def events(folder: Path) -> int:
    """Number of epochs and ends of trials in the folder's store, read beside its writers."""
    count = (
        "SELECT (SELECT count(*) FROM metrics WHERE key = 'val/l1rc_median') "
        "+ (SELECT count(*) FROM tags WHERE key = 'outcome')"
    )
    try:
        database = f"file:{folder / 'mlruns' / 'mlflow.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
            return int(connection.execute(count).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not there yet


def histories(found: Tracked) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Trial -> metric -> (step, value) as they were logged."""
    out: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for run in found.kind("trial"):
        names = ("train/loss", "val/loss", "val/l1rc_median", "tune/best")
        out[run.data.tags["trial"]] = {
            name: sorted(
                (m.step, m.value) for m in found.client.get_metric_history(run.info.run_id, name)
            )
            for name in names
        }
    return out


def alive(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder: the command, and all that Ray started for it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            here = Path(process.cwd()).is_relative_to(folder)
            if here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """The search that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(made, folder / "data" / made.name)
    process = start(*SEARCH, folder=folder)
    try:
        return tracked(folder, outcome(process).succeeded())
    finally:
        end_tree(process)


def same_search(found: Tracked, expected: Tracked) -> None:
    """Nothing lost, nothing repeated, nothing different, nothing left."""
    assert histories(found) == histories(expected)
    (parent,) = found.kind("tune")
    runs = found.kind("trial")
    assert len(runs) == TRIALS
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    for run in [parent, *runs]:
        kept = [*expected.kind("tune"), *expected.kind("trial")]
        (other,) = [r for r in kept if r.info.run_name == run.info.run_name]
        assert run.info.status == other.info.status
        for name in ("outcome", "best", "trial", "trial_source"):
            assert run.data.tags.get(name) == other.data.tags.get(name)
        assert run.data.params == other.data.params
        assert "error" not in run.data.tags
        timed = ("cost/seconds", "train/seconds")
        values = [{k: v for k, v in r.data.metrics.items() if k not in timed} for r in (run, other)]
        assert values[0] == values[1]


def test_a_search_ends_with_a_table_and_a_config_that_trains(whole: Tracked, here: Command) -> None:
    found = whole
    out = found.result.out
    lines = [line for line in out.splitlines() if line.startswith("  trial ")]
    assert [line.split()[2] for line in lines].count("starts:") == TRIALS == len(lines) // 2
    assert lines[0].endswith("default config (0 of 5 ended, 1 running)")
    assert lines[-1].endswith(" (5 of 5 ended)")
    assert "test median L1RC" in out
    assert "Ray" not in out
    outcomes = [run.data.tags["outcome"] for run in found.kind("trial")]
    assert set(outcomes) == {"finished", "pruned"}
    assert len(list(found.folder.rglob("*session_*"))) == 0
    assert {p.name for p in found.folder.iterdir()} == {"data", "mlruns", "reports"}

    again = here(*SEARCH, folder=found.folder).succeeded()
    assert "nothing to train" in again.out
    best = Path("reports/tune/blind_mlp_tiny_algiers/experiment/best.yaml")
    before = (found.folder / best).read_text()
    changed = (*SEARCH, "trainer.max_epochs=13", f"tune.output={best.parents[1]}")
    (parent,) = found.kind("tune")
    here(*changed, folder=found.folder).refused(str(best), parent.info.run_id[:12], "tune.output")
    assert (found.folder / best).read_text() == before
    assert len(tracked(found.folder, again).runs) == len(found.runs)
    for run in found.kind("trial"):
        assert run.info.run_name.startswith(f"blind_mlp trial {run.data.tags['trial']} ")

    (command,) = [line for line in out.splitlines() if "qmend train --config-dir" in line]
    words = shlex.split(command.partition("qmend ")[2])
    result = here(*words, folder=found.folder).succeeded()
    after = tracked(found.folder, result)
    (run,) = after.kind("train")
    (best,) = [r for r in found.kind("trial") if r.data.tags.get("best") == "true"]
    history = found.client.get_metric_history(run.info.run_id, "val/l1rc_median")
    assert min(m.value for m in history) == best.data.metrics["tune/best"]
    for name in ("test/l1rc_median", "test/improved_pct"):
        assert run.data.metrics[name] == best.data.metrics[name]
    assert run.data.params["model.width"] == best.data.params["model.width"]


def test_stopped_at_any_moment_it_ends_as_if_nothing_had_been(
    whole: Tracked, data: Path, tmp_path: Path
) -> None:
    """First by Ctrl-C, then by SIGKILL of the command alone or of everything it started."""
    process = start(*SEARCH, folder=tmp_path)
    try:
        wait_until(lambda: events(tmp_path) >= 6, "some epochs", process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        stopped = outcome(process)
    finally:
        end_tree(process)
    assert stopped.code == 130, stopped
    assert stopped.err.splitlines()[-1].startswith("qmend: interrupted")
    assert len(stopped.err.splitlines()) == 1, stopped.err
    runs = tracked(tmp_path, stopped).runs
    assert {run.info.status for run in runs} == {"KILLED"}
    wait_until(lambda: not alive(tmp_path), "the workers' end")
    assert "Interrupted: the running trials save their states." in stopped.out
    (unfinished,) = [
        r for r in runs if "outcome" not in r.data.tags and r.data.tags["kind"] == "trial"
    ]
    (folder,) = (tmp_path / "mlruns").glob(f"searches/*/{unfinished.info.run_id}")
    state = read_state(folder).state
    assert state is not None
    assert state["epochs"] >= histories(tracked(tmp_path, stopped))["0"]["train/loss"][-1][0] / 20

    generator = random.Random(MOMENTS)
    for number in range(MOMENTS):
        left = events(whole.folder) - events(tmp_path)
        more = 1 + generator.randrange(max(1, left // (MOMENTS - number)))
        kill(tmp_path, more, 0.3 * generator.random(), everything=bool(number % 2))
        # As the next command does, whichever it is.
        open_store(tmp_path / "mlruns")
        runs = tracked(tmp_path, stopped).runs
        assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
        if "FINISHED" in {run.info.status for run in runs if run.data.tags["kind"] == "tune"}:
            break  # it was quicker
    result = run_again(tmp_path)
    same_search(tracked(tmp_path, result), whole)
    assert not [p for p in (tmp_path / "mlruns").glob("searches/*/*") if p.is_dir()]


def kill(folder: Path, more: int, seconds: float, everything: bool) -> None:
    """Start the search and kill it shortly after so many more events."""
    wanted = events(folder) + more
    process = start(*SEARCH, folder=folder)
    try:
        wait_until(lambda: events(folder) >= wanted or process.poll() is not None, "new events")
        time.sleep(seconds)
        if everything:
            end_tree(process)
        process.kill()
        process.communicate()
        # Workers end by themselves when the command is gone.
        wait_until(lambda: not alive(folder), "the workers' end")
    finally:
        end_tree(process)


def run_again(folder: Path) -> Outcome:
    process = start(*SEARCH, folder=folder)
    try:
        return outcome(process).succeeded()
    finally:
        end_tree(process)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("tune=nothing",), ["tune=nothing", "there is no such config"]),
        (("tune=mlp",), ["tune.space.model.head: unknown key"]),
        (("+tune.space.model.widht.type=int",), ["tune.space.model.widht"]),
        (("tune.trails=3",), ["tune.trails", "Did you mean 'tune.trials'?"]),
        (("tune.metric=test/l1rc_median",), ["tune.metric", "val/l1rc_median"]),
        (("tune.metric=val/loss",), ["tune.metric=val/loss", "~tune.space.loss"]),
        (("tune.trials=0",), ["tune.trials"]),
        (("tune.resources.cpu=0",), ["tune.resources.cpu"]),
    ],
)
def test_a_wrong_search_is_one_sentence_before_any_work(
    here: Command, tmp_path: Path, arguments: tuple[str, ...], parts: list[str]
) -> None:
    here("tune", "model=blind_mlp", *arguments).refused(*parts)
    assert list(tmp_path.iterdir()) == []
