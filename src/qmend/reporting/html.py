"""Write HTML pages: self-contained, without scripts."""

from __future__ import annotations

import datetime
import re
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.files import write_text
from qmend.reporting import figures
from qmend.reporting.leaderboard import leaderboard_table, verdicts
from qmend.runs.leaderboard import Leaderboard
from qmend.types import QmendError
from qmend.version import __version__


@dataclass(frozen=True)
class ReportFacts:
    """Title of a page and its (label, value) pairs."""

    title: str
    facts: list[tuple[str, str]]


def dataset_facts(dataset: Dataset) -> list[tuple[str, str]]:
    """Describe the origin of the data."""
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
    """Check before the work that a report can be written.

    Args:
        key: of the config that holds the path.

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
    """Read the style sheet of all pages: light or dark by the reader's system, and printable."""
    return files("qmend.reporting").joinpath("page.css").read_text()


def made_by() -> str:
    """Name version and time for the foot of a page."""
    return f"qmend {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def inline(figure: Figure, name: str) -> str:
    """Convert a figure to SVG in the page's colours; ``name`` must be unique on the page."""
    text = re.sub(r"<metadata>.*?</metadata>", "", figures.svg(figure), flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # of no use inside HTML
    return figures.themed(figures.namespaced(text, name))


def write_report(
    path: Path, board: Leaderboard, data: LabelledCircuits, facts: ReportFacts
) -> None:
    """Write the page of a leaderboard that was just scored; replaced whole, never half written.

    Args:
        data: the circuits that were scored.
    """
    runs = {run.name: run for run in board.runs}
    example = board.best or board.configurations[-1]
    # The two that change nothing or everything would only stretch the axis.
    colour_of = figures.colours([name for name in runs if name not in ("none", "uniform")])
    models = [run for run in board.runs if run.kind != "baseline"]
    plots = {
        "curves": figures.training_curves(models, colour_of),
        "gates": figures.by_two_qubit_gates(data, board.runs, colour_of),
        "examples": figures.example_circuits(data, runs[example.name]),
    }
    template = files("qmend.reporting").joinpath("report.html.j2").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        title=facts.title,
        facts=facts.facts,
        table=leaderboard_table(board, ranked=False),
        example=example.name,
        verdicts=verdicts(board),
        plots={k: inline(f, k) for k, f in plots.items()},
        made=made_by(),
        style=style(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
