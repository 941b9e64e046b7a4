"""``qmend models``: which networks are kept, and which is the champion."""

from __future__ import annotations

from argparse import Namespace

from mlflow.exceptions import MlflowException
from rich import box
from rich.table import Table

from qmend.cli.terminal import console
from qmend.metrics import Interval
from qmend.reporting.table import interval_text
from qmend.runs.promotion import Promotion, promote
from qmend.tracking.finding import all_runs, find_run
from qmend.tracking.registry import Version, registered_run, versions
from qmend.tracking.store import Store, open_store

#: Figures and tags of a registered run, by the run contract.
_CHANGE = "test/l1rc_median"


def promote_model(options: Namespace) -> None:
    """Register a run's network, champion if it beats the present one."""
    store = open_store(options.root)
    run_id = options.run
    if run_id.startswith("models:/"):
        run_id = registered_run(store, run_id)
    else:
        run_id = find_run(all_runs(store), run_id).info.run_id
    for line in _sentences(promote(store, run_id, options.force)):
        console.print(f"  {line}", markup=False)


def list_models(options: Namespace) -> None:
    """Print the registered versions."""
    store = open_store(options.root)
    found = versions(store)
    if not found:
        console.print("  No model is registered; `qmend models promote RUN` registers one.")
        return
    console.print(_table(store, found))


def _sentences(done: Promotion) -> list[str]:
    """What a promotion did, and why."""
    other = "no mitigation" if done.previous is None else f"version {done.previous.number}"
    lines = []
    if done.verdict is not None:
        compared = done.verdict.comparison
        word = "beats" if done.verdict.wins else "does not beat"
        harms = compared.difference.hi < 0 and not done.verdict.wins
        because = ": it harms more circuits" if harms else ""
        lines.append(
            f"Version {done.version} {word} {other}: median L1RC "
            f"{interval_text(compared.difference)} in pairs, harmed {compared.harm:+.2f} %"
            f"{because}."
        )
    elif done.forced:
        lines.append(f"Not compared: {done.reason}")
    if done.champion:
        how = f" ({done.reason})" if done.verdict is None and not done.forced else ""
        how = " by --force" if done.forced else how
        lines.append(f"Version {done.version} is the champion{how}: models:/qmend@champion.")
    else:
        stays = "There is no champion" if done.previous is None else f"Champion stays {other}"
        why = f", as {done.reason} its circuits" if done.reason else ""
        lines.append(f"Version {done.version} is registered{why}. {stays}.")
    return lines


def _table(store: Store, found: list[Version]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        padding=(0, 1, 0, 0),
    )
    table.add_column("ver-\nsion", justify="right")
    table.add_column("aliases", overflow="fold", max_width=12)
    table.add_column("run", no_wrap=True)
    table.add_column("architecture", no_wrap=True)
    table.add_column("dataset", overflow="fold")
    for heading in ("median L1RC [95 %]", "harmed\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("when (UTC)", no_wrap=True)
    for version in found:
        aliases = ", ".join(version.aliases)
        if aliases and version.tags.get("promotion.forced") == "true":
            aliases += " (forced)"
        table.add_row(
            str(version.number),
            aliases,
            version.run_id[:8],
            *_figures(store, version),
            f"{version.created:%Y-%m-%d}",
            style="bold green" if version.aliases else "",
        )
    return table


def _figures(store: Store, version: Version) -> list[str]:
    """Architecture, dataset, median L1RC, harmed; a dash each if the run is gone."""
    try:
        data = store.client.get_run(version.run_id).data
        change = Interval(*(data.metrics[f"{_CHANGE}{end}"] for end in ("", "_lo", "_hi")))
        harmed = f"{data.metrics['test/harmed_pct']:.1f}"
        return [data.tags["architecture"], data.tags["dataset"], interval_text(change), harmed]
    except (MlflowException, KeyError):
        return ["-"] * 4
