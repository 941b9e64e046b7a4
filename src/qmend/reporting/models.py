"""Registered models in a table, and a promotion in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from qmend.metrics import interval_text
from qmend.reporting.table import Column, Row, Table
from qmend.reporting.verdict import verdict
from qmend.tracking.finding import logged_figure
from qmend.tracking.registry import Version
from qmend.tracking.store import Store

if TYPE_CHECKING:  # loads torch
    from qmend.runs.promotion import Promotion


def promotion_sentences(promotion: Promotion) -> list[str]:
    """Say what a promotion did, and why."""
    previous, comparison, reason = promotion.previous, promotion.comparison, promotion.reason
    version = f"Version {promotion.version}"
    other = "none" if previous is None else f"version {previous.number}"
    lines = []
    if comparison is not None:
        lines.append(verdict(version, other, comparison))
    elif promotion.forced:
        lines.append(f"Not compared: {reason}")
    if promotion.champion:
        how = f" ({reason})" if comparison is None else ""
        how = " by --force" if promotion.forced else how
        lines.append(f"{version} is the champion{how}: models:/qmend@champion.")
    else:
        stays = "There is no champion" if previous is None else f"Champion stays {other}"
        why = f", as {reason} its circuits" if reason else ""
        lines.append(f"{version} is registered{why}. {stays}.")
    return lines


def versions_table(store: Store, registered: Sequence[Version]) -> Table:
    """Tabulate registered versions with their runs' figures, those with an alias marked."""
    columns = (
        Column("version", "ver-\nsion"),
        Column.text("aliases", "fold"),
        Column.text("run"),
        Column.text("architecture"),
        Column.text("dataset", "fold"),
        Column.number("median L1RC [95 %]"),
        Column("harmed %", "harmed\n%"),
        Column.text("when (UTC)"),
    )
    rows = []
    for version in registered:
        aliases = ", ".join(version.aliases)
        if aliases and version.tags.get("promotion.forced") == "true":
            aliases += " (forced)"
        head = [str(version.number), aliases, version.run_id[:8]]
        cells = [*head, *_figures(store, version), f"{version.created:%Y-%m-%d}"]
        rows.append(Row.of(cells, "best" if version.aliases else ""))
    return Table(columns, (tuple(rows),))


def _figures(store: Store, version: Version) -> list[str]:
    """Architecture, dataset, median L1RC, harmed; dashes if the run or its figures are gone."""
    try:
        run = store.client.get_run(version.run_id)
    except MlflowException:
        return ["-"] * 4
    change, harmed = logged_figure(run), logged_figure(run, "harmed_pct")
    tags = [run.data.tags.get(key, "-") for key in ("architecture", "dataset")]
    if change is None or harmed is None:
        return [*tags, "-", "-"]
    return [*tags, interval_text(change), f"{harmed.value:.2f}"]
