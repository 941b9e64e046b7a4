"""All models: trained in simulation, on surrogate hardware, and on one after the other.

Surrogate hardware is a noise that no model saw in simulation. It stands in for a real device where
none can be reached, and is not one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from qmend.files import check_writable
from qmend.studies.base import StudyResult, open_study
from qmend.studies.grid import (
    GridConfig,
    Network,
    compose_fine_tuned,
    compose_network,
    compose_test,
    score_networks,
    train_networks,
)
from qmend.studies.grid_tables import (
    Figures,
    figures_of,
    grid_table,
    write_grid,
)
from qmend.types import QmendError
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.runs.configurations import Configuration

#: Columns: what a model was trained on, and what it is scored on: ``simulated`` or ``surrogate``.
COLUMNS = {
    "simulated": ("simulated", "simulated"),
    "simulated, on surrogate": ("simulated", "surrogate"),
    "surrogate only": ("surrogate only", "surrogate"),
    "fine-tuned": ("fine-tuned", "surrogate"),
}


class Config(GridConfig):
    """``conf/study/architectures.yaml``.

    Attributes:
        families: each has data ``simulated_FAMILY`` and ``surrogate_FAMILY``, and a table.
        repeated: family -> models that are trained with all seeds; the others with the first.
        baselines: names; each is fitted to the data that are scored.
    """

    families: tuple[str, ...] = Field(min_length=1)
    repeated: dict[str, tuple[str, ...]]
    baselines: tuple[str, ...]

    @model_validator(mode="after")
    def _families_have_data(self) -> Self:
        for family in self.families:
            for kind in ("simulated", "surrogate"):
                if f"{kind}_{family}" not in self.source:
                    raise QmendError(
                        f"families: {family} needs the data source.{kind}_{family}; add them, such "
                        f"as '+source.{kind}_{family}=[\"dataset/family={family}\"]'."
                    )
        return self


def run(config: Config, observer: Observer) -> StudyResult:
    """Train each model three ways on each family, and score it.

    Raises:
        QmendError: naming the network whose config is wrong, before any work.
    """
    networks: dict[str, Network] = {}
    for family in config.families:
        networks |= _networks(config, family)
    names = f"baselines=[{','.join(config.baselines)}]"
    tests = {
        source: compose_test(config, source, source, [names])
        for family in config.families
        for source in (f"simulated_{family}", f"surrogate_{family}")
    }
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")
    notes: dict[str, None] = {}
    tables = []
    with open_study(config, "study architectures", {"scale": config.scale.name}, observer) as study:
        rows = train_networks(study, networks, config)
        scored_by = {source: _scored_by(source, networks) for source in tests}
        scored = score_networks(study, tests, rows, notes, scored_by)
        for family in config.families:
            figures = _columns(config, family, scored)
            caption = (
                "Trained on simulated circuits (Aer's noise), on surrogate hardware, or on both in "
                "turn; the last three columns are scored on surrogate hardware."
            )
            title = f"study architectures, {family}"
            tables.append(grid_table(figures, title, "model", caption))
            write_grid(study, tables[-1], figures, family)
    sentences = (*notes, f"Tables and figures: {config.output}")
    return StudyResult(study.run.run_id, tuple(tables), sentences, study.failure)


def _networks(config: Config, family: str) -> dict[str, Network]:
    """Compose the trainings of all models on a family."""
    networks = {}
    for model in config.models:
        seeds = config.seeds if model in config.repeated.get(family, ()) else config.seeds[:1]
        for way, kind in (("simulated", "simulated"), ("surrogate only", "surrogate")):
            name = f"{family} {model}, {way}"
            networks[name] = compose_network(
                config, name, f"{kind}_{family}", config.scale.models[model], seeds
            )
        parent = f"{family} {model}, simulated"
        name = f"{family} {model}, fine-tuned"
        networks[name] = compose_fine_tuned(
            config, name, f"surrogate_{family}", parent, networks[parent]
        )
    return networks


def _scored_by(source: str, networks: Mapping[str, Network]) -> list[str]:
    """List the networks of a family that its data score."""
    kind, _, family = source.partition("_")
    ways = {trained for trained, scored in COLUMNS.values() if scored == kind}
    return [
        name
        for name in networks
        if name.startswith(f"{family} ") and name.rpartition(", ")[2] in ways
    ]


def _columns(
    config: Config, family: str, scored: Mapping[str, Mapping[str, Configuration]]
) -> Figures:
    """Arrange the scored networks of a family by what they were trained and are scored on."""
    columns: dict[str, dict[str, Configuration]] = {}
    for column, (way, kind) in COLUMNS.items():
        rows = scored.get(f"{kind}_{family}", {})
        names = {model: f"{family} {model}, {way}" for model in config.models}
        columns[column] = {model: rows[name] for model, name in names.items() if name in rows}
        if way != "fine-tuned" and column != "simulated, on surrogate":  # fitted to what is scored
            columns[column] |= {name: rows[name] for name in config.baselines if name in rows}
    return figures_of(columns)
