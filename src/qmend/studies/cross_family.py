"""Networks trained on one family of circuits and tested on others; an expert for each family.

An oracle that knows each circuit's family routes it to an expert. The experts stand beside one
network on the mixture of all families, with as many weights and training circuits as all experts
together. Only if the oracle's choice pays is a gate that learns it worth trying.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from qmend.config.compose import preset_values
from qmend.files import check_writable
from qmend.studies.base import (
    Study,
    StudyResult,
    open_study,
    plain_figures,
    write_table,
)
from qmend.studies.family_experts import (
    MIXED,
    compare_experts,
    expert_name,
    experts_table,
    one_name,
    pair_records,
    verdicts,
)
from qmend.studies.grid import (
    GridConfig,
    Network,
    compose_network,
    compose_test,
    score_networks,
    train_networks,
)
from qmend.studies.grid_tables import (
    KEPT,
    Figures,
    figures_of,
    grid_table,
    log_medians,
)
from qmend.types import QmendError, nearest
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow, matplotlib
    from pathlib import Path

    from qmend.models.config import ModelConfig
    from qmend.runs.configurations import Configuration

#: Values of a calibration in the operator's encoding, see :mod:`qmend.encodings.paths`.
_CONTEXT = 3
_MOST_CHANNELS = 4096


class Config(GridConfig):
    """``conf/study/cross_family.yaml``.

    Attributes:
        source: the data, without a family, under one name.
        families: trained on and tested on, of those in ``dataset/family=mixed``.
        mixture: further overrides of the data of mixtures.
        train_circuits: of each network of the heat map, and of all experts together.
        baselines: names; each is fitted to the training split of each tested family.
        expert_model: name of the scale's model that experts and the one network are, a
            ``walsh_operator``.
        one, expert: further overrides of ``qmend train`` for the one network and each expert.
    """

    source: dict[str, tuple[str, ...]] = Field(min_length=1, max_length=1)
    families: tuple[str, ...] = Field(min_length=2)
    mixture: tuple[str, ...]
    train_circuits: int = Field(ge=1)
    baselines: tuple[str, ...]
    expert_model: str
    one: tuple[str, ...]
    expert: tuple[str, ...]

    @model_validator(mode="after")
    def _expert_model_exists(self) -> Self:
        self.check_models("expert_model", [self.expert_model])
        return self


def run(config: Config, observer: Observer) -> StudyResult:
    """Train on each family and on mixtures, test on each family, and compare experts in pairs.

    Raises:
        QmendError: naming the network whose config is wrong, before any work.
    """
    whole = with_sources(config)
    grid, rivals = _grid(whole), compose_rivals(whole)
    networks = {**grid, **rivals}
    tests = _tests(whole, f"baselines=[{','.join(config.baselines)}]")
    validations = _tests(whole, "scored_split=val", "baselines=[]")
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")
    notes: dict[str, None] = {}
    with open_study(config, "study cross_family", {"scale": config.scale.name}, observer) as study:
        rows = train_networks(study, networks, config)
        routes = _route(study, validations, rows, notes)
        scored_by = {
            f: [*grid, one_name(), one_name(f), expert_name(f), expert_name(routes.get(f, ""))]
            for f in config.families
        }
        scored = score_networks(study, tests, rows, notes, scored_by)
        figures: Figures = {
            family: {name: row for name, row in each.items() if name not in rivals}
            for family, each in figures_of(scored).items()
        }
        pairs = compare_experts(scored, routes)
        table = grid_table(figures, "study cross_family", "model, trained on", "Test circuits.")
        experts = experts_table(pairs, _weights_sentence(rows, config.families))
        write_table(table, plain_figures(figures, KEPT), study.files)
        log_medians(study, figures)
        write_table(experts, pair_records(pairs), study.files / "experts")
        if figures:
            save_heat_map(figures, config, study.files / "heat_map")
    sentences = (
        *notes,
        *(transfer_sentence(figures, config, model) for model in config.models if figures),
        *verdicts(pairs),
        f"Tables and figure: {config.output}",
    )
    return StudyResult(study.run.run_id, (table, experts), sentences, study.failure)


def with_sources(config: Config) -> Config:
    """Add the data of each family, of their mixture, and of mixtures without one of them.

    Raises:
        QmendError: if there is no such family to mix.
    """
    mixed = preset_values("generate dataset/family=mixed", "dataset.family.families")
    for family in config.families:
        if family not in mixed:
            raise QmendError(f"families: unknown family {family!r}. {nearest(family, mixed)}")
    ((base, own),) = config.source.items()
    sources = {f"{base}_{f}": (*own, f"dataset/family={f}") for f in config.families}
    for left_out in (None, *config.families):
        kept = [family for family in config.families if family != left_out]
        removed = [f"~dataset.family.families.{name}" for name in mixed if name not in kept]
        name = MIXED if left_out is None else f"without_{left_out}"
        sources[f"{base}_{name}"] = (*own, "dataset/family=mixed", *config.mixture, *removed)
    return config.model_copy(update={"source": {**config.source, **sources}})


def _source(config: Config, name: str) -> str:
    return f"{next(iter(config.source))}_{name}"


def _tests(config: Config, *overrides: str) -> dict[str, EvaluateConfig]:
    """Compose an evaluation on each family."""
    return {f: compose_test(config, f, _source(config, f), overrides) for f in config.families}


def _grid(config: Config) -> dict[str, Network]:
    """Compose each model on each family and on their mixture."""
    return {
        row_name(model, family): compose_network(
            config,
            row_name(model, family),
            _source(config, family),
            [f"train_circuits={config.train_circuits}", *config.scale.models[model]],
        )
        for model in config.models
        for family in (*config.families, MIXED)
    }


def compose_rivals(config: Config) -> dict[str, Network]:
    """Compose an expert of each family, and one network on all families and on all but each.

    Every network has as many training circuits and weights for each of its families.
    """
    share = config.train_circuits // len(config.families)
    networks = {}

    def compose(name: str, source: str, families: int, overrides: Sequence[str]) -> Network:
        texts = [f"train_circuits={families * share}", *config.scale.models[config.expert_model]]
        return compose_network(config, name, _source(config, source), [*texts, *overrides])

    for family in config.families:
        name = expert_name(family)
        networks[name] = compose(name, family, 1, config.expert)
    weights = count_weights(networks[name].training.model)
    for left_out in (None, *config.families):
        name, source = one_name(left_out), f"without_{left_out}" if left_out else MIXED
        families = len(config.families) - (left_out is not None)
        training = compose(name, source, families, config.one).training
        model = with_weights(training.model, families * weights)
        networks[name] = Network(training.model_copy(update={"model": model}))
    return networks


def row_name(model: str, family: str) -> str:
    """Name a model that was trained on a family, or on the mixture."""
    return f"{model}, {family}"


def count_weights(model: ModelConfig) -> int:
    """Count the weights of a Walsh-Hadamard neural operator without making it.

    Raises:
        QmendError: if the model is another one.
    """
    import torch

    from qmend.models.base import Dimensions, build_model, count_parameters
    from qmend.noise.paths import FEATURES

    if model.name != "walsh_operator":
        raise QmendError(f"expert_model: a {model.name} has no channels; choose a walsh_operator.")
    with torch.device("meta"):
        return count_parameters(build_model(model, Dimensions(5, len(FEATURES), _CONTEXT)))


def with_weights(model: ModelConfig, weights: int) -> ModelConfig:
    """Choose the channels with which an operator has nearest to a number of weights."""

    def widened(channels: int) -> ModelConfig:
        return model.model_copy(update={"channels": channels})

    above = bisect_left(
        range(_MOST_CHANNELS), weights, lo=1, key=lambda c: count_weights(widened(c))
    )
    candidates = [widened(max(above - 1, 1)), widened(above)]
    return min(candidates, key=lambda each: abs(count_weights(each) - weights))


def _route(
    study: Study,
    validations: Mapping[str, EvaluateConfig],
    rows: Mapping[str, Configuration],
    notes: dict[str, None],
) -> dict[str, str]:
    """Choose the nearest family's expert for each family that is left out.

    Nearest is the family whose expert has the lowest median L1RC on the validation split of the
    family that is left out, whose circuits no network has seen.
    """
    experts = {f: rows[expert_name(f)] for f in validations if expert_name(f) in rows}
    others = {f: [other for other in experts if other != f] for f in validations}
    scored = score_networks(study, validations, experts, notes, others)
    return {family: min(each, key=lambda f: each[f].median) for family, each in scored.items()}


def _weights_sentence(rows: Mapping[str, Configuration], families: Sequence[str]) -> str:
    """Tell the weights of both sides as they were trained."""
    experts = [rows[expert_name(f)].parameters for f in families if expert_name(f) in rows]
    if one_name() not in rows or not experts:
        return ""
    one = rows[one_name()].parameters
    return f"One network has {one:,} weights, {len(experts)} experts have {sum(experts):,}."


def transfer_sentence(figures: Figures, config: Config, model: str) -> str:
    """Compare training on the tested family, on another one and on the mixture."""

    families = config.families
    places = {
        "the tested family": [(f, row_name(model, f)) for f in families],
        "another": [(b, row_name(model, a)) for a in families for b in families if a != b],
        "the mixture": [(f, row_name(model, MIXED)) for f in families],
    }
    means = {p: np.mean([_median(figures, *each) for each in cells]) for p, cells in places.items()}
    texts = [f"{mean:.3f} trained on {place}" for place, mean in means.items()]
    for baseline in config.baselines:
        mean = np.mean([_median(figures, f, baseline) for f in families])
        texts.append(f"{mean:.3f} of {baseline} fitted to the tested family")
    return f"{model}: mean over tested families of the median L1RC: {', '.join(texts)}."


def save_heat_map(figures: Figures, config: Config, stem: Path) -> None:
    """Draw the median L1RC of each model by trained and tested family, PNG and SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from qmend.plots.heat_map import draw_heat_map
    from qmend.plots.style import STYLE
    from qmend.reporting.figures import save

    trained, models = [*config.families, MIXED], config.models
    labels = [*trained, *(f"{name}, fitted" for name in config.baselines)]
    with mpl.rc_context(STYLE):
        size = (1.6 + 3.6 * len(models), 1.4 + 0.42 * len(labels))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axis, model in zip(axes, models, strict=True):
            names = [*(row_name(model, family) for family in trained), *config.baselines]
            values = np.array([[_median(figures, f, name) for f in figures] for name in names])
            cells = draw_heat_map(axis, values, labels, list(figures))
            axis.set(title=model, xlabel="tested on")
        axes[0].set_ylabel("trained on")
        figure.colorbar(cells, ax=axes, label="median L1RC", shrink=0.8)
        save(figure, stem)


def _median(figures: Figures, tested: str, name: str) -> float:
    """Look up the median L1RC of a row; NaN where a cell failed."""
    row = figures.get(tested, {}).get(name)
    return np.nan if row is None else row["l1rc_median"].value
