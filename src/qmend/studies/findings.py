"""Figures of tracked studies, and findings: questions that they answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from qmend.config.model import ConfigModel
from qmend.files import write_text
from qmend.types import QmendError

if TYPE_CHECKING:  # MLflow
    from mlflow.entities import Run as MlflowRun

    from qmend.tracking.store import Store


class FigurePlace(ConfigModel):
    """Where a figure of ours is.

    Attributes:
        figures: directory of the study's tables that holds the file.
        figure: column, row and name of the figure.
    """

    study: str
    figures: str
    figure: tuple[str, str, str]


class Finding(ConfigModel):
    """A question, and its answer in figures.

    Attributes:
        answer: ``{name}`` stands for the value of a figure, ``{name_range}`` for its interval.
        figures: name -> where it is.
        plot: study, and path of an SVG among its tables.
    """

    question: str
    answer: str
    figures: dict[str, FigurePlace]
    plot: tuple[str, str]

    @model_validator(mode="after")
    def _figures_are_named(self) -> Self:
        for _, name, _, _ in Formatter().parse(self.answer):
            if name is not None and name.removesuffix("_range") not in self.figures:
                raise QmendError(f"answer: {{{name}}} is none of figures of {self.question!r}.")
        return self

    def text(self, tracked: TrackedStudies) -> str | None:
        """Fill the answer with figures; None where one is missing."""
        values: dict[str, str] = {}
        for name, place in self.figures.items():
            found = tracked.figure(place)
            if found is None:
                return None
            value, lo, hi = (figure_text(number, place.figure[2]) for number in found)
            values |= {name: value, f"{name}_range": f"[{lo}, {hi}]"}
        return self.answer.format(**values)


class TrackedStudies:
    """The newest finished studies of a scale in a store.

    Attributes:
        runs: name -> run of the study; None: none has finished.
    """

    def __init__(self, store: Store, scale: str, names: Collection[str]) -> None:
        self._store = store
        query = f"tags.kind = 'study' and tags.scale = '{scale}' and attributes.status = 'FINISHED'"
        found = {str(run.info.run_name): run for run in reversed(store.runs(query))}
        self.runs: dict[str, MlflowRun | None] = {
            name: found.get(f"study {name}") for name in sorted(names)
        }
        self.figures_of = cache(self._load)

    def file(self, study: str, path: str) -> str | None:
        """Read a file among the tables of a study; None if it is not there."""
        run = self.runs.get(study)
        file = None if run is None else self._store.artifact(run, f"tables/{path}")
        return None if file is None or not file.exists() else file.read_text()

    def _load(self, study: str, folder: str) -> dict[str, Any]:
        text = self.file(study, f"{folder}/figures.json")
        loaded: dict[str, Any] = {} if text is None else json.loads(text)
        return loaded

    def figure(self, place: FigurePlace) -> list[float] | None:
        """Find a figure, [value, lo, hi]; None if it is not there."""
        column, row, name = place.figure
        rows = self.figures_of(place.study, place.figures).get(column, {})
        found: list[float] | None = rows.get(row, {}).get(name)
        return found


def figure_text(number: float, name: str) -> str:
    """Write a figure: shares in per cent with one digit, others with three."""
    return f"{number:.1f}" if name.endswith("_pct") else f"{number:.3f}"


def write_findings(findings: Sequence[Finding], tracked: TrackedStudies, folder: Path) -> str:
    """Write the plots of the findings that have all their figures; return Markdown with both."""
    answers: list[str] = []
    plots: list[str] = []
    for finding in findings:
        text = finding.text(tracked)
        study, path = finding.plot
        plot = tracked.file(study, path)
        if text is None or plot is None:
            continue
        place = Path("findings") / f"{len(plots) + 1}.svg"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / place, plot)
        answers.append(f"{len(answers) + 1}. **{finding.question}** {text}")
        plots.append(f"**{finding.question}**\n\n![{finding.question}]({place.as_posix()})")
    return "\n\n".join(["\n".join(answers), *plots]) if plots else ""
