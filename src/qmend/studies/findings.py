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

    from qmend.studies.grid import ScaleConfig
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
            interval = tracked.figure(place)
            if interval is None:
                return None
            value, lo, hi = (figure_text(number, place.figure[2]) for number in interval)
            values |= {name: value, f"{name}_range": f"[{lo}, {hi}]"}
        return self.answer.format(**values)


class TrackedStudies:
    """The newest finished studies of a scale in a store.

    Those with the settings of the study's config go before others.

    Attributes:
        runs: name -> run of the study; None: none has finished.
        changed: names of those that have other settings.
    """

    def __init__(self, store: Store, scale: ScaleConfig, names: Collection[str]) -> None:
        self._store = store
        query = f"tags.kind = 'study' and tags.scale = '{scale.name}'"
        finished = store.runs(f"{query} and attributes.status = 'FINISHED'")
        finished.sort(key=lambda run: -run.info.end_time)
        self.runs: dict[str, MlflowRun | None] = {}
        self.changed: list[str] = []
        for name in sorted(names):
            named = [run for run in finished if run.info.run_name == f"study {name}"]
            sha = _default_sha(name, scale)
            own = [run for run in named if run.data.tags.get("config_sha") == sha]
            self.runs[name] = next(iter([*own, *named]), None)
            if named and not own:
                self.changed.append(name)
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
        interval: list[float] | None = rows.get(row, {}).get(name)
        return interval


def _default_sha(name: str, scale: ScaleConfig) -> str | None:
    """Hash the config of a study as it stands; None where the scale has not all its models."""
    from qmend.studies import compose_study
    from qmend.tracking.run import config_sha

    try:
        config = compose_study(name, [], {"scale": scale.model_dump(mode="json")})
    except QmendError:
        return None
    return config_sha(config.plain())


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
