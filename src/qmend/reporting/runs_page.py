"""Write a report of tracked runs as a self-contained HTML page, with its plots as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from qmend.evaluation.comparison import HARM_MARGIN
from qmend.plots.style import COLOURS, STYLE
from qmend.reporting import figures, run_figures
from qmend.reporting.html import inline, write_page
from qmend.reporting.leaderboard import (
    board_title,
    leaderboard_table,
    pairs_table,
    summary_verdicts,
)
from qmend.reporting.numbers import value_text
from qmend.reporting.run_tables import Line, list_table
from qmend.reporting.runs_report import (
    RunsReport,
    SearchPart,
    StudyPart,
    training_curves,
    varied_params,
)
from qmend.reporting.study_page import page_html
from qmend.reporting.table import Column, Row, Table
from qmend.runs.leaderboard import Leaderboard
from qmend.tracking.finding import name_of
from qmend.tuning.record import SearchRecord
from qmend.tuning.space import Parameter
from qmend.types import QmendError

#: Trainings beyond this many share grey.
_COLOURED = 7
_DPI = 150


@dataclass
class _Plots:
    """Figures of the page by the name of their file."""

    drawn: dict[str, Figure] = field(default_factory=dict)

    def inline(self, name: str, figure: Figure | None) -> str | None:
        if figure is None:
            return None
        self.drawn[name] = figure
        return inline(figure, name)


def figures_folder(page: Path) -> Path:
    """Name the directory of a page's plots: ``report.html`` -> ``report_figures``."""
    return page.with_name(f"{page.stem}_figures")


def write_runs_page(path: Path, report: RunsReport) -> list[Path]:
    """Write the page and its plots; return the plots' files.

    Raises:
        QmendError: if the directory can't be written.
    """
    plots = _Plots()
    searches = [_search(part, k, plots) for k, part in enumerate(report.searches, 1)]
    boards = [_board(board, k, plots) for k, board in enumerate(report.boards, 1)]
    saved = _save(figures_folder(path), plots.drawn)
    write_page(
        path,
        "runs_page",
        title=report.title,
        facts=_facts(report),
        notes=report.notes,
        studies=[_study(part, k) for k, part in enumerate(report.studies, 1)],
        searches=searches,
        boards=boards,
        runs=list_table([Line(run) for run in report.selection.all], now=0),
    )
    return saved


def _save(folder: Path, drawn: dict[str, Figure]) -> list[Path]:
    """Save plots as PNG and SVG, in place of those of an earlier page; other files stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for name, figure in drawn.items():
            for kind in ("png", "svg"):
                target = folder / f"{name}.{kind}"
                with mpl.rc_context(STYLE):
                    figure.savefig(
                        target, dpi=_DPI, metadata={"Date": None} if kind == "svg" else {}
                    )
                saved.append(target)
    except OSError as error:
        raise QmendError(
            f"Can't write to {folder} ({error.strerror or error}); choose another output=..."
        ) from None
    return saved


def _facts(report: RunsReport) -> list[tuple[str, str]]:
    selection = report.selection
    parents = [f"{name_of(run)} ({run.info.run_id[:12]})" for run in selection.parents]
    facts = [("runs", f"{len(selection.all)}")]
    if parents:
        shown = "; ".join(parents[:4]) + (f"; and {len(parents) - 4} more" if parents[4:] else "")
        facts.append(("parents among them", shown))
    return facts


def _board(board: Leaderboard, number: int, plots: _Plots) -> dict[str, Any]:
    params, keys, values = varied_params(board)
    coordinates = None
    if params:
        axes = run_figures.run_coordinates(params, keys)
        coordinates = run_figures.parallel_coordinates(axes, "median L1RC", values)
    curves = training_curves(board)
    names = list(dict.fromkeys(each.name for each in curves))[:_COLOURED]
    trained_here = any(c.kind not in ("baseline", "evaluation") for c in board.configurations)
    return {
        "title": board_title(board),
        "rows": len(board.configurations),
        "table": leaderboard_table(board, paired=True),
        "reference": board.reference is not None,
        "best": board.best.name if board.best else None,
        "verdicts": summary_verdicts(board),
        "harm_margin": f"{HARM_MARGIN:g}",
        "pairs": pairs_table(board),
        "cost": plots.inline(
            f"cost_{number}",
            run_figures.cost_against_quality(board.ranked) if trained_here else None,
        ),
        "curves": plots.inline(
            f"curves_{number}",
            figures.training_curves(curves, figures.colours(names)) if curves else None,
        ),
        "coordinates": plots.inline(f"coordinates_{number}", coordinates),
    }


def _study(part: StudyPart, number: int) -> dict[str, str]:
    html = page_html(part.page, part.figures.get, f"study_{number}")
    return {"name": name_of(part.run), "html": html}


def _search(part: SearchPart, number: int, plots: _Plots) -> dict[str, Any]:
    search = part.search
    shares = part.importances
    trials = search.valued
    figure = run_figures.importance_bars(shares) if shares else None
    coordinates = None
    if len(trials) > 1:
        coordinates = run_figures.parallel_coordinates(
            run_figures.search_coordinates(search, trials),
            search.objective,
            [trial.best for trial in trials],
            faint=[trial.outcome == "pruned" for trial in trials],
        )
    curves = None
    if any(len(each.history.get("train/loss", ())) > 1 for each in part.curves):
        best = {c.name: COLOURS[1] for c in part.curves if c.name.startswith("best")}
        curves = figures.training_curves(part.curves, best)
    drawn_in_some = [f"{s.key} in {s.trials}" for s in shares if s.trials < len(trials)]
    counted = f"{len(trials)} trials count"
    if drawn_in_some:
        counted += f"; drawn in some only, and judged among those: {', '.join(drawn_in_some)}"
    return {
        "name": name_of(search.run),
        "caption": part.caption,
        "sentence": part.sentence,
        "best": _best(search),
        "importance": plots.inline(f"importance_{number}", figure),
        "counted": counted + ".",
        "coordinates": plots.inline(f"trials_{number}", coordinates),
        "curves": plots.inline(f"trial_curves_{number}", curves),
    }


def _best(search: SearchRecord) -> Table | None:
    """Tabulate the parameters of the best trial and what they were drawn from."""
    if search.best is None:
        return None
    params = search.best.values
    rows = tuple(
        Row.of([key, value_text(params.get(key)), _space_text(parameter)])
        for key, parameter in search.space.parameters.items()
    )
    columns = (Column.text("parameter"), Column.number("best value"), Column.text("drawn from"))
    return Table(columns, (rows,))


def _space_text(parameter: Parameter) -> str:
    if parameter.type == "categorical":
        return ", ".join(map(value_text, parameter.choices or ()))
    scale = ", log" if parameter.log else ""
    return f"{parameter.low:g} to {parameter.high:g}{scale}"
