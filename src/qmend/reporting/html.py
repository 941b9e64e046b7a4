"""The report: one self-contained HTML page without scripts."""

from __future__ import annotations

import datetime
import re
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from qmend.datasets.table import Dataset
from qmend.files import write_text
from qmend.reporting import figures
from qmend.reporting.table import caption, columns, interval_text, verdicts
from qmend.runs.leaderboard import Leaderboard
from qmend.runs.scoring import Entry
from qmend.types import QmendError
from qmend.version import __version__


@dataclass(frozen=True)
class ReportFacts:
    """What the page says beside the figures: (label, value) pairs."""

    title: str
    facts: list[tuple[str, str]]


def dataset_facts(dataset: Dataset) -> list[tuple[str, str]]:
    """Where the data come from."""
    circuits = dataset.rows.circuits
    chains = {f"{c.device}, physical qubits {list(layout)}": None for c, layout in circuits.chains}
    times = sorted(c.time for c in circuits.calibrations)
    calibration = f"{times[0]:%Y-%m-%d %H:%M} UTC ({circuits.calibrations[0].calibration_id})"
    if len(times) > 1:
        calibration = f"{len(times)} snapshots, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
    return [
        ("device", "; ".join(chains)),
        ("calibration", calibration),
        (
            "circuits",
            f"{len(dataset.rows):,} of the {dataset.family} family, {circuits.shots[0]:,} shots, "
            f"{dataset.source}",
        ),
        ("dataset", f"{dataset.manifest.name}, hash {dataset.manifest.dataset_sha}"),
    ]


def check_writable(path: Path) -> None:
    """Fail before the work, not after it.

    Args:
        key: of the config, that says where it goes.

    Raises:
        QmendError: if the report's folder can't be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise QmendError(
            f"Can't write to {path.parent} ({error.strerror}); choose another output=..."
        ) from None


def style() -> str:
    """The style sheet of all pages: light or dark as the reader's system is, and printable."""
    return files("qmend.reporting").joinpath("page.css").read_text()


def made_by() -> str:
    """For the foot of a page."""
    return f"qmend {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def inline(figure: Figure, name: str) -> str:
    """A figure as SVG in the page's colours; ``name`` must be no other figure's."""
    text = re.sub(r"<metadata>.*?</metadata>", "", figures.svg(figure), flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # of no use inside HTML
    return figures.themed(figures.namespaced(text, name))


def write_report(path: Path, board: Leaderboard, facts: ReportFacts) -> None:
    """Write the page; replaced as a whole, never half written."""
    example = board.best_model or board.models[0]
    winner = board.winner
    shown_columns = columns(board)
    # The two that change nothing or everything would only stretch the axis.
    shown = [e.name for e in board.entries if e.name not in ("none", "uniform")]
    colour_of = figures.colours(shown)
    plots = {
        "curves": figures.training_curves(board.models, colour_of),
        "gates": figures.by_two_qubit_gates(board, colour_of),
        "examples": figures.example_circuits(board, example),
    }
    template = files("qmend.reporting").joinpath("report.html.j2").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        title=facts.title,
        facts=facts.facts,
        headings=[column.heading for column in shown_columns],
        groups=[
            [(_row_class(e, winner), e.name, [c.text(e) for c in shown_columns]) for e in group]
            for group in (board.baselines, board.models)
        ],
        example=example.name,
        reference=interval_text(board.reference) if board.reference else None,
        caption=caption(board),
        verdicts=verdicts(board),
        plots={k: inline(f, k) for k, f in plots.items()},
        made=made_by(),
        style=style(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def _row_class(entry: Entry, winner: Entry | None) -> str:
    return "best" if entry is winner else "simulates" if entry.simulates else ""
