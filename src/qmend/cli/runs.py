"""``qmend runs list|show|compare|prune|reproduce``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from mlflow.entities import Run as MlflowRun

from qmend.cli.terminal import TerminalObserver, console
from qmend.reporting import run_tables
from qmend.reporting.numbers import size_text
from qmend.reporting.table import Table, facts_table
from qmend.runs.reading import history, read_scored
from qmend.tracking.finding import all_runs, find_run, kind_of, name_of, status_of
from qmend.tracking.store import Store, open_store
from qmend.types import QmendError, nearest

_MOST_COMPARED = 8


def _now() -> int:
    return int(time.time() * 1000)


def list_runs(options: Namespace) -> None:
    """List the runs of the store, parents with their children below."""
    store = open_store(options.root)
    runs = all_runs(store)
    if not runs:
        console.print("No runs yet; `qmend train` makes one.")
        return
    for name in ("kind", "dataset", "architecture", "status"):
        wanted = getattr(options, name)
        if wanted is not None:
            runs = _filtered(runs, name, str(wanted))
    lines = run_tables.indented(runs)
    shown = lines[: options.limit]
    console.print(run_tables.list_table(shown, _now(), console.width).terminal())
    if len(lines) > len(shown):
        console.print(
            f"{len(shown)} of {len(lines)} runs; --limit {len(lines)} shows all.", style="dim"
        )


def _filtered(runs: Sequence[MlflowRun], name: str, wanted: str) -> list[MlflowRun]:
    values = [_value(run, name) for run in runs]
    if wanted not in values:
        choices = sorted({value for value in values if value})
        raise QmendError(f"--{name} {wanted}: no such run. {nearest(wanted, choices)}")
    return [run for run, value in zip(runs, values, strict=True) if value == wanted]


def _value(run: MlflowRun, name: str) -> str:
    if name == "status":
        return status_of(run)
    return kind_of(run) if name == "kind" else str(run.data.tags.get(name, ""))


def _chosen(store: Store, names: Sequence[str]) -> list[MlflowRun]:
    """Find the runs that the words name."""
    runs = all_runs(store)
    chosen = [find_run(runs, text) for text in names]
    twice = [run.info.run_id for run in chosen if chosen.count(run) > 1]
    if twice:
        raise QmendError(f"run {twice[0][:12]} is named more than once; name each run once.")
    return chosen


def show_run(options: Namespace) -> None:
    """Show everything about one run."""
    store = open_store(options.root)
    (run,) = _chosen(store, [options.run])
    now = _now()
    logged = store.client.get_run(run.info.run_id)
    curves = history(store, logged, sorted(logged.data.metrics))
    parts: list[tuple[str, Sequence[run_tables.Pair]]] = [
        (name_of(run), run_tables.fact_pairs(run, now)),
        ("Learning curves", run_tables.curve_pairs(curves)),
        ("Metrics", run_tables.metric_pairs(run)),
        ("Config", [(key, run.data.params[key]) for key in sorted(run.data.params)]),
        ("Tags", run_tables.tag_pairs(run)),
        ("Artifacts", run_tables.artifact_pairs(store, run)),
    ]
    for title, pairs in parts:
        if pairs:
            _print(facts_table(title, pairs))
    lines = run_tables.indented(all_runs(store), below=run.info.run_id)
    if lines:
        _print(run_tables.list_table(lines[:20], now, console.width))
        if len(lines) > 20:
            console.print(f"20 of {len(lines)} runs below it.", style="dim")


def _print(table: Table) -> None:
    console.print(table.terminal())
    console.print()


def compare_runs(options: Namespace) -> None:
    """Compare runs side by side and in pairs."""
    if len(options.others) >= _MOST_COMPARED:
        raise QmendError(f"qmend runs compare takes 2 to {_MOST_COMPARED} runs.")
    store = open_store(options.root)
    runs = _chosen(store, [options.run, *options.others])
    for table in run_tables.side_by_side(runs):
        _print(table)
    read = (read_scored(store, run) for run in runs)
    scored = [run for run in read if run is not None]
    paired = run_tables.paired_table(scored) if len(scored) > 1 else None
    if paired is not None:
        _print(paired)
    comparable = [run for run in scored if run.circuits_key == scored[0].circuits_key]
    if len(comparable) < len(runs):
        missing = len(runs) - max(len(comparable), 1)
        console.print(
            f"{missing} of them {'was' if missing == 1 else 'were'} not scored on the circuits of "
            "the first: no paired difference."
        )


def prune_runs(options: Namespace) -> None:
    """Remove old failed and killed runs, and the remains of deleted ones."""
    # Reading the state of a training takes torch, which takes seconds.
    from qmend.runs.pruning import plan_pruning, prune

    store = open_store(options.root)
    plan = plan_pruning(store, options.days, _now())
    sizes = {leftover: leftover.size for leftover in plan.leftovers}
    for leftover in plan.leftovers:
        size = size_text(sizes[leftover])
        run_id = f", {leftover.run_id[:8]}" if leftover.run_id else ""
        console.print(f"  {leftover.what}: {leftover.name}{run_id}, {size}")
    for reason, count in sorted(plan.kept.items()):
        console.print(f"  kept: {count} failed or killed, {reason}", style="dim")
    total = f"{sum(sizes.values()) / 1e6:.1f} MB"
    if not plan.leftovers:
        console.print("Nothing to remove.")
    elif options.yes:
        gone = list(prune(store, plan.leftovers))
        freed = sum(sizes[leftover] for leftover in gone) / 1e6
        console.print(f"Removed {len(gone)}, {freed:.1f} MB.")
    else:
        console.print(
            f"{len(plan.leftovers)} to remove, {total}; nothing is removed without --yes."
        )


def reproduce_run(options: Namespace) -> None:
    """Repeat a run and compare its metrics.

    Raises:
        QmendError: if it can't be run again, or does not agree.
    """
    store = open_store(options.root)
    (run,) = _chosen(store, [options.run])
    # Lightning takes seconds to import.
    from qmend.runs.reproduction import reproduce

    console.print(f"  Again: {name_of(run)}, run {run.info.run_id}")
    reproduction = reproduce(store, run, [options.data], TerminalObserver().training)
    for line in reproduction.differences:
        console.print(f"  Note: {line}")
    if not reproduction.equal:
        pair = [reproduction.original, reproduction.again]
        table = run_tables.side_by_side(pair)[1]
        console.print(table.terminal())
    console.print(f"  Run {reproduction.again.info.run_id}")
    if not reproduction.agrees:
        raise QmendError(f"run {run.info.run_id[:12]} is not reproduced. {reproduction.verdict}")
    console.print(f"  {reproduction.verdict}")
