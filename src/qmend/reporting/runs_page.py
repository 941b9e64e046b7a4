"""The report of tracked runs as one self-contained HTML page, its plots as files beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from qmend.files import write_text
from qmend.plots.style import COLOURS, STYLE
from qmend.reporting import figures, run_figures
from qmend.reporting.html import inline, made_by, style
from qmend.reporting.runs_report import (
    RUN_HEADINGS,
    Board,
    RunsReport,
    SearchPart,
    run_cells,
)
from qmend.reporting.table import interval_text
from qmend.tracking.finding import name_of
from qmend.tuning.record import SearchRecord
from qmend.tuning.space import Parameter
from qmend.types import QmendError

#: As many trainings as get a colour of their own.
_COLOURED = 7
_DPI = 150


@dataclass
class _Plots:
    """Figures by the name of their file, each put into the page once."""

    drawn: dict[str, Figure] = field(default_factory=dict)

    def inline(self, name: str, figure: Figure | None) -> str | None:
        if figure is None:
            return None
        self.drawn[name] = figure
        return inline(figure, name)


def figures_folder(page: Path) -> Path:
    """Where the plots of a page lie as files: ``report.html`` -> ``report_figures``."""
    return page.with_name(f"{page.stem}_figures")


def write_runs_page(path: Path, report: RunsReport) -> list[Path]:
    """Write the page, and each plot as PNG and SVG; the plots' files.

    Raises:
        QmendError: if the folder can't be written.
    """
    plots = _Plots()
    template = files("qmend.reporting").joinpath("runs_page.html.j2").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    selection = report.selection
    page = environment.from_string(template).render(
        title=report.title,
        style=style(),
        facts=_facts(report),
        notes=report.notes,
        searches=[_search(part, k, plots) for k, part in enumerate(report.searches, 1)],
        boards=[_board(board, k, plots) for k, board in enumerate(report.boards, 1)],
        run_headings=RUN_HEADINGS,
        runs=[run_cells(run) for run in selection.all],
        made=made_by(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = _save(figures_folder(path), plots.drawn)
    write_text(path, page)
    return saved


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _save(folder: Path, drawn: dict[str, Figure]) -> list[Path]:
    """Plots of a page that was there before are replaced; other files stay."""
    try:
        folder.mkdir(exist_ok=True)
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
    facts = [("runs", f"{len(selection.runs)}")]
    if parents:
        shown = "; ".join(parents[:4]) + (f"; and {len(parents) - 4} more" if parents[4:] else "")
        facts.append(("below", shown))
    return facts


def _board(board: Board, number: int, plots: _Plots) -> dict[str, Any]:
    headings, lines = board.matrix
    winner = board.winner
    params, keys, values = board.varied
    coordinates = None
    if params:
        drawn = run_figures.run_coordinates(params, keys)
        coordinates = run_figures.parallel_coordinates(drawn, "median L1RC", values)
    curves = board.curves
    names = list(dict.fromkeys(each.name for each in curves))[:_COLOURED]
    return {
        "title": board.title,
        "headings": board.headings,
        "reference": interval_text(board.reference) if board.reference else None,
        "judged": board.group.judged.name if board.group.judged else None,
        "rows": [
            (
                "best" if row is winner else "simulates" if row.simulates else "",
                k,
                row.name,
                board.cells(row),
            )
            for k, row in enumerate(board.rows, 1)
        ],
        "caption": board.caption,
        "verdicts": board.verdicts,
        "matrix_headings": headings,
        "matrix_lines": lines,
        "cost": plots.inline(
            f"cost_{number}",
            run_figures.cost_against_quality(board.rows) if board.trained else None,
        ),
        "curves": plots.inline(
            f"curves_{number}",
            figures.training_curves(curves, figures.colours(names)) if curves else None,
        ),
        "coordinates": plots.inline(f"coordinates_{number}", coordinates),
    }


def _search(part: SearchPart, number: int, plots: _Plots) -> dict[str, Any]:
    search = part.search
    found = part.importances
    trials = search.valued
    figure = run_figures.importance_bars(found) if found else None
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
    partial_ = [f"{each.key} in {each.trials}" for each in found if each.trials < len(trials)]
    counted = f"{len(trials)} trials count"
    if partial_:
        counted += f"; drawn in some only, and judged among those: {', '.join(partial_)}"
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


def _best(search: SearchRecord) -> list[tuple[str, str, str]]:
    """Key, value in the best trial, and what it was drawn from."""
    if search.best is None:
        return []
    params = search.best.values
    return [
        (key, _value_text(params[key]) if key in params else "none", _space_text(parameter))
        for key, parameter in search.space.parameters.items()
    ]


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _space_text(parameter: Parameter) -> str:
    if parameter.type == "categorical":
        return ", ".join(map(_value_text, parameter.choices or ()))
    scale = ", log" if parameter.log else ""
    return f"{parameter.low:g} to {parameter.high:g}{scale}"
