"""Transfer from simulated circuits over a surrogate of one device to that of another.

Surrogate hardware is a noise with errors that no calibration shows. It stands in for real devices,
which can't be reached, and is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from qmend.files import check_writable
from qmend.studies.base import Study, StudyResult, open_study, plain_figures, write_table
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
from qmend.types import QmendError, nearest
from qmend.workflows.configs import EvaluateConfig
from qmend.workflows.directories import check_directories
from qmend.workflows.observer import Observer

if TYPE_CHECKING:  # torch, MLflow
    from qmend.metrics import Interval
    from qmend.reporting.table import Table
    from qmend.runs.configurations import Configuration
    from qmend.runs.reading import ScoredRun

#: Ways of training; the direct ones are trained on another device only.
DIRECT = SIMULATED, SURROGATE, BOTH = "simulated, direct", "surrogate, direct", "both, direct"
FINE_TUNED, SEQUENTIAL, TARGET = "fine-tuned", "sequential", "target only"
#: The way of a network that the study does not train.
ZERO_SHOT = "zero-shot"
#: A second fine-tuning has the learning rate of the first.
_SAME_RATE = "fine_tune.lr_factor=1"
#: Mitigator, way, median L1RC, mean change of total variation in per cent: arXiv 2601.14226, and a
#: third party's scores of its networks; Pauli circuits on the real ibm_hanoi.
PUBLISHED = (
    ("Perceiver, published", SEQUENTIAL, "about -0.27", ""),
    ("Perceiver, published", FINE_TUNED, "", "-27.8"),
    ("circuit-blind MLP, published", TARGET, "", "-26.4"),
)


class Config(GridConfig):
    """``conf/study/transfer.yaml``.

    Attributes:
        chain: names of the data: simulated, surrogate of the same device, surrogate of the target.
        circuits: training circuits of the target -> epochs, as a multiple of those with all.
        baselines: names; each is fitted to the target's training split.
        checkpoint: a network that is scored on the target as it is.
    """

    chain: tuple[str, str, str]
    circuits: dict[int, float]
    baselines: tuple[str, ...]
    checkpoint: str

    @model_validator(mode="after")
    def _chain_has_data(self) -> Self:
        for name in self.chain:
            if name not in self.source:
                raise QmendError(f"chain: {name!r} is none of source. {nearest(name, self.source)}")
        return self


def run(config: Config, observer: Observer) -> StudyResult:
    """Train each model in each way, and score it on the target.

    Raises:
        QmendError: naming the network whose config is wrong, before any work.
    """
    target = config.chain[2]
    names = ",".join(config.baselines)
    tests = {"target": compose_test(config, "target", target, [f"baselines=[none,{names}]"])}
    data = tests["target"].simulated
    start = compose_test(config, config.chain[0], config.chain[0], [])
    if start.device == tests["target"].device:
        raise QmendError(
            f"device={start.device.name}: transfer needs another device than that of "
            f"source.{target}; choose one of the two anew."
        )
    counts = sorted(n for n in config.circuits if n < data.split.train * data.circuits)
    for count in counts:
        texts = [f"train_circuits={count}", f"baselines=[{names}]"]
        tests[str(count)] = compose_test(config, f"circuits {count}", target, texts)
    networks: dict[str, Network] = {}
    for model in config.models:
        networks |= _networks(config, model, counts)
    check_directories([network.training.plain() for network in networks.values()])
    check_writable(config.output / "table.md")
    notes: dict[str, None] = {}
    with open_study(config, "study transfer", {"scale": config.scale.name}, observer) as study:
        rows = train_networks(study, networks, config)
        direct = [name for name in rows if name.endswith(DIRECT)]
        scored_by = {name: direct if name == "target" else [] for name in tests}
        scored = score_networks(study, tests, rows, notes, scored_by)
        own = {name: row for name, row in rows.items() if name not in direct}  # their data's test
        ways = _by_way(config, {**own, **scored.get("target", {})})
        ways[ZERO_SHOT] = _zero_shot(study, config, tests["target"])
        figures = _with_tv_change(ways)
        curve = _needing_none(config, figures)
        curve |= figures_of(_by_count(config, counts, rows, scored, tests["target"]))
        tables = _tables(figures, curve, tests["target"].device.name)
        write_grid(study, tables[0], figures, "target")
        folder = study.files / "circuits"
        write_table(tables[1], plain_figures(curve, ("l1rc_median", "harmed_pct")), folder)
        save_curve(curve, folder / "figure")
    sentences = (*notes, f"Tables and figures: {config.output}")
    return StudyResult(study.run.run_id, tables, sentences, study.failure)


def _networks(config: Config, model: str, counts: Iterable[int]) -> dict[str, Network]:
    """Compose the trainings of a model, on all circuits and on few of the target."""
    own = config.scale.models[model]
    simulated, surrogate, target = config.chain
    networks = {}
    for way, source in ((SIMULATED, simulated), (SURROGATE, surrogate), (TARGET, target)):
        name = f"{model}, {way}"
        networks[name] = compose_network(config, name, source, own)
    recipe = networks[f"{model}, {SIMULATED}"]
    steps: tuple[tuple[str, str, str, list[str]], ...] = (
        (BOTH, surrogate, SIMULATED, []),
        (FINE_TUNED, target, SIMULATED, []),
        (SEQUENTIAL, target, BOTH, [_SAME_RATE]),
    )
    for way, source, start, texts in steps:
        name, parent = f"{model}, {way}", f"{model}, {start}"
        networks[name] = compose_fine_tuned(config, name, source, parent, recipe, texts)
    for count in counts:
        few = [f"train_circuits={count}", f"val_circuits={-(-count // 4)}"]
        epochs = config.circuits[count]
        name = f"{model}, {TARGET}{_of(count)}"
        scratch = compose_network(config, name, target, [*own, *few])
        networks[name] = _with_epochs(scratch, epochs)
        name, parent = f"{model}, {SEQUENTIAL}{_of(count)}", f"{model}, {BOTH}"
        shorter, few = _with_epochs(recipe, epochs), [*few, _SAME_RATE]
        networks[name] = compose_fine_tuned(config, name, target, parent, shorter, few)
    return networks


def _of(count: int) -> str:
    """Return the last words of the name of a network that is trained on few circuits."""
    return f", {count} circuits"


def _with_epochs(network: Network, times: float) -> Network:
    """Return a network that is trained for a multiple of its epochs."""
    trainer = network.training.trainer
    epochs = max(1, round(times * trainer.max_epochs))
    changes = {"trainer": trainer.model_copy(update={"max_epochs": epochs})}
    return replace(network, training=network.training.model_copy(update=changes))


def _zero_shot(study: Study, config: Config, test: EvaluateConfig) -> dict[str, Configuration]:
    """Score the network that is taken as it is, with and without its guard; empty if it failed."""
    changes = {"checkpoint": (config.checkpoint,), "baselines": ()}
    evaluation = study.evaluate(ZERO_SHOT, test.model_copy(update=changes))
    rows = () if evaluation is None else evaluation.leaderboard.configurations
    return {
        config.checkpoint + (", guarded" if "applied_pct" in row.figures else ""): row
        for row in rows
    }


def _by_way(
    config: Config, rows: Mapping[str, Configuration]
) -> dict[str, dict[str, Configuration]]:
    """Arrange rows that the target scores: way -> model.

    Baselines stand where networks see the target only, as they are fitted to it.
    """
    ways = {
        way: {m: rows[f"{m}, {way}"] for m in config.models if f"{m}, {way}" in rows}
        for way in (*DIRECT, FINE_TUNED, SEQUENTIAL, TARGET)
    }
    ways[TARGET] |= {name: rows[name] for name in ("none", *config.baselines) if name in rows}
    return ways


def _needing_none(config: Config, figures: Figures) -> Figures:
    """Return what is trained on none of the target's circuits, as the first of their numbers."""
    both = {f"{m}, {SEQUENTIAL}": figures[BOTH][m] for m in config.models if m in figures[BOTH]}
    return {"0": both | figures[ZERO_SHOT]}


def _by_count(
    config: Config,
    counts: Iterable[int],
    rows: Mapping[str, Configuration],
    scored: Mapping[str, Mapping[str, Configuration]],
    test: EvaluateConfig,
) -> dict[str, dict[str, Configuration]]:
    """Arrange what was trained on the target, or fitted to it, by its number of circuits."""
    from qmend.datasets.table import load_dataset

    places = {str(count): (str(count), _of(count)) for count in counts}
    if "target" in scored:
        every = len(load_dataset(test.dataset_folder).part("train"))
        places[str(every)] = ("target", "")
    columns = {}
    for place, (name, ending) in places.items():
        names = (f"{model}, {way}" for model in config.models for way in (SEQUENTIAL, TARGET))
        columns[place] = {n: rows[n + ending] for n in names if n + ending in rows}
        fitted = scored.get(name, {})
        columns[place] |= {b: fitted[b] for b in config.baselines if b in fitted}
    return columns


def _with_tv_change(ways: Mapping[str, Mapping[str, Configuration]]) -> Figures:
    """Take all figures, with the relative change of the mean total variation, in per cent."""
    from qmend.metrics import Bootstrap, Interval

    figures = figures_of(ways)
    none = ways[TARGET].get("none")
    if none is None:
        return figures
    scores = none.runs[0].scores
    bootstrap = Bootstrap.over(scores.job_id)

    def change(run: ScoredRun) -> Interval:
        tv = run.scores.in_order_of(scores).tv
        return bootstrap.interval(lambda k: 100 * float(tv[k].mean() / scores.tv[k].mean() - 1))

    for way, rows in ways.items():
        for name, row in rows.items():
            figures[way][name]["tv_change_pct"] = Interval.mean([change(run) for run in row.runs])
    del figures[TARGET]["none"]
    return figures


def _tables(figures: Figures, curve: Figures, device: str) -> tuple[Table, Table]:
    """Tabulate the ways of training, and the numbers of circuits."""
    where = f"surrogate hardware of {device}, not a real device"
    few = grid_table(
        curve,
        "study transfer, circuits of the target",
        "mitigator, training",
        f"Trained on, or fitted to, so many circuits of {where}; a quarter as many more choose the "
        "epoch of a network.",
    )
    return transfer_table(figures, where), few


def transfer_table(figures: Figures, where: str) -> Table:
    """Tabulate each mitigator by its ways of training, published ones last.

    Args:
        where: words for the data that are scored.
    """
    from qmend.metrics import interval_text
    from qmend.reporting.table import Column, Row, Table

    medians = [row["l1rc_median"].value for rows in figures.values() for row in rows.values()]
    sections = []
    for name in dict.fromkeys(name for rows in figures.values() for name in rows):
        lines = []
        for way, rows in figures.items():
            if name not in rows:
                continue
            row = rows[name]
            change, applied = row.get("tv_change_pct"), row.get("applied_pct")
            texts = [
                name,
                way,
                interval_text(row["l1rc_median"], 3),
                "" if change is None else f"{change.value:.1f}",
                f"{row['improved_pct'].value:.1f}",
                f"{row['harmed_pct'].value:.1f}",
                "" if applied is None else f"{applied.value:.1f}",
            ]
            best = row["l1rc_median"].value == min(medians)
            lines.append(Row.of(texts, "best" if best else ""))
        sections.append(tuple(lines))
    sections.append(tuple(Row.of([*texts, "", "", ""], "reference") for texts in PUBLISHED))
    columns = (
        Column.text("mitigator"),
        Column.text("training"),
        Column.number("median L1RC [95 %]"),
        Column("change of mean TV, %", "TV %"),
        Column("improved %", "impr. %"),
        Column("harmed %", "harm. %"),
        Column("applied %", "appl. %"),
    )
    caption = (
        f"Scored on the test split of {where}. Published numbers (arXiv 2601.14226, and a third "
        "party's scores of its networks) are of the real ibm_hanoi: other circuits, other noise."
    )
    return Table(columns, tuple(sections), "study transfer", caption)


def save_curve(curve: Figures, stem: Path) -> None:
    """Draw the median L1RC of each row by the number of circuits, PNG and SVG."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    from qmend.plots.style import COLOURS, STYLE
    from qmend.reporting.figures import save

    names = list(dict.fromkeys(name for rows in curve.values() for name in rows))
    colours: dict[str, str] = {}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axis = figure.subplots()
        for name in names:
            model, _, way = name.partition(", ")
            colour = colours.setdefault(model, COLOURS[len(colours) % len(COLOURS)])
            points = {
                int(n): rows[name]["l1rc_median"] for n, rows in curve.items() if name in rows
            }
            axis.errorbar(
                list(points),
                [point.value for point in points.values()],
                yerr=np.array([point.arms for point in points.values()]).T,
                fmt="s--" if way == TARGET else "o-",
                ms=4,
                color=colour,
                label=name,
            )
        axis.axhline(0, color="0.6", lw=0.8)
        axis.set_xscale("symlog", linthresh=10, linscale=0.7)
        axis.set_xticks([int(n) for n in curve], [f"{int(n):,}" for n in curve], minor=False)
        axis.minorticks_off()
        axis.set_xlim(left=-2)
        axis.set_xlabel("training circuits of the target")
        axis.set_ylabel("median L1RC")
        figure.legend(loc="outside right upper", fontsize=8)
        save(figure, stem)
