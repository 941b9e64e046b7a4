"""``qmend report``."""

from __future__ import annotations

from qmend.cli.terminal import console
from qmend.files import check_writable
from qmend.reporting.leaderboard import leaderboard_table, summary_verdicts
from qmend.reporting.runs_page import figures_folder, write_runs_page
from qmend.reporting.runs_report import read_report
from qmend.tracking.finding import all_runs, select
from qmend.tracking.store import open_store
from qmend.workflows.configs import ReportConfig


def report_runs(config: ReportConfig) -> None:
    """Write the report of a set of runs."""
    check_writable(config.output)
    store = open_store(config.tracking.root)
    report = read_report(store, select(store, config.runs), all_runs(store))
    plots = write_runs_page(config.output, report)
    for board in report.boards[:1]:
        console.print(leaderboard_table(board).terminal())
        for line in summary_verdicts(board):
            console.print(f"  {line}")
    for part in report.searches:
        console.print(f"  {part.caption}")
        for each in part.importances[:5]:
            console.print(f"    {each.key}: {100 * each.share:.0f} % of the variance")
    for line in report.notes:
        console.print(f"  {line}")
    if len(report.boards) > 1:
        console.print(f"  {len(report.boards) - 1} more tables are on the page.")
    if plots:
        console.print(f"Plots:  {len(plots)} files in {figures_folder(config.output)}")
    console.print(f"Report: {config.output.resolve()}")
