"""An interrupt at any moment of a write: it comes, after the write, and locks nobody out."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from qmend.cli import main
from qmend.cli.commands import COMMANDS
from qmend.processes import process_identity
from qmend.tracking.interrupts import held_back
from qmend.tracking.owner import PROCESS_TAG
from qmend.tracking.run import start_run
from qmend.tracking.store import open_store


def interrupt_at(call: int, sent: list[int]) -> None:
    """Interrupt this process when Python makes its so many-th call from now on; noted in sent."""
    left = call

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            sent.append(call)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(count)


def calls_of(work) -> int:
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


def is_locked(store) -> bool:
    connection = sqlite3.connect(store.root / "mlflow.db", timeout=0, isolation_level=None)
    with closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.rollback()
    return False


def test_a_write_is_whole_and_the_database_free_wherever_the_interrupt_comes(tmp_path):
    store = open_store(tmp_path)
    sent, came = [], []
    with start_run(store, "r", {"kind": "train"}, {}) as run:
        run.metrics({"a": 0.0}, 0)
        calls = calls_of(lambda: run.metrics({"a": 0.0}, 0))
        moments = range(1, calls, max(1, calls // 150))
        for step, moment in enumerate(moments, 1):
            try:
                interrupt_at(moment, sent)
                try:
                    run.metrics({"a": float(step)}, step)
                finally:
                    sys.setprofile(None)
            except KeyboardInterrupt:
                # Asked while the exception is handled: that is when a run is to be ended.
                locked = is_locked(store)
                assert not locked
                came.append(moment)
        written = {m.step for m in store.client.get_metric_history(run.run_id, "a")}
    # Not every call of MLflow takes as many calls of Python.
    assert len(sent) > 100
    assert came == sent
    # Only before the call of MLflow may one stop a write.
    assert len(written) > 0.95 * len(moments)


def test_both_signals_wait_and_go_by_the_handlers_before():
    came = []
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda number, _: came.append(number))
        handlers = [signal.getsignal(n) for n in before]
        for number in before:
            with held_back(), held_back():
                signal.raise_signal(number)
                assert number not in came
            assert came[-1] == number
        assert [signal.getsignal(n) for n in before] == handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_one_that_is_ignored_hides_no_other():
    """As in a worker, whose terminal sends ctrl-C to all while its driver sends SIGTERM."""
    came = []
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
        with held_back():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_block_itself_may_fail_and_nothing_is_left_changed():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), held_back():
        _ = 1 / 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_write_too(store):
    with start_run(store, "r", {"kind": "threads"}, {}) as run:
        thread = threading.Thread(target=run.metrics, args=({"a": 1.0},))
        thread.start()
        thread.join()
    assert store.client.get_run(run.run_id).data.metrics == {"a": 1.0}


def test_a_signal_that_ends_a_process_ends_it_after_the_write():
    """SIGTERM as a library's user has it: no handler of ours."""
    program = (
        "import signal\n"
        "from qmend.tracking.interrupts import held_back\n"
        "with held_back():\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    print('written', flush=True)\n"
        "print('too far')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "written\n")


def interrupted_command(options) -> None:
    """A command that is interrupted when its run is made but not yet known to it."""
    store = open_store(options.root)
    store.client.create_run(store.experiment_id, tags={PROCESS_TAG: process_identity()})
    raise KeyboardInterrupt


def test_an_interrupted_command_ends_a_run_that_it_does_not_know_yet(tmp_path, monkeypatch, capsys):
    function = f"{__name__}:{interrupted_command.__name__}"
    (listing,) = (command for command in COMMANDS if command.words == "models list")
    command = replace(listing, words="stop", function=function)
    monkeypatch.setattr(main, "COMMANDS", (command,))
    assert main.run(["stop", "--root", str(tmp_path)]) == 130
    (run,) = open_store(tmp_path).runs()
    assert (run.info.status, run.data.tags["error"]) == ("KILLED", "interrupted")
    assert "interrupted" in capsys.readouterr().err
