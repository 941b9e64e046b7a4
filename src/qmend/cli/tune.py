"""``qmend tune``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table

from qmend.cli.terminal import console, generate_with_progress
from qmend.config.compose import compose_config
from qmend.config.paths import conf_dir
from qmend.datasets.table import load_dataset
from qmend.reporting.html import check_writable
from qmend.reporting.table import count_text, interval_text, seconds_text
from qmend.runs.scoring import Context
from qmend.runs.training import TrainingConfig
from qmend.tracking.run import flatten
from qmend.tracking.store import open_store
from qmend.tuning.journal import Trial
from qmend.tuning.result import Scored, SearchResult
from qmend.tuning.running import Plan, SearchDone, run_search
from qmend.tuning.search import Search, value_text
from qmend.tuning.space import SECTIONS, SearchSpace, with_values
from qmend.workflows.configs import TrainConfig, TuneCommandConfig

#: Trials that the table at the end lists.
_TOP = 10
#: Ended trials that are listed while others run.
_TOP_LIVE = 5


def tune(config: TuneCommandConfig, plain: dict[str, Any]) -> float:
    """Search for the best config of an architecture, or go on with a search."""
    output = _output(config)
    best_file = output / "experiment" / "best.yaml"
    check_writable(best_file)
    plan = _plan(config, plain)
    store = open_store(config.tracking.root)
    generate_with_progress(config)
    dataset = load_dataset(config.dataset_folder)
    context = Context(store, dataset)
    choices = dict(HydraConfig.get().runtime.choices)

    def write_best(search: Search, result: SearchResult) -> str:
        text = experiment_text(search, result, choices, plan.max_epochs)
        best_file.parent.mkdir(parents=True, exist_ok=True)
        best_file.write_text(text)
        return text

    with _progress(config) as board:
        done = run_search(context, plan, write_best, board.watch, board.say)
    console.print(result_table(done))
    _say_end(done, output, choices)
    return done.result.best.trial.best


def _output(config: TuneCommandConfig) -> Path:
    """Where the best config goes: beside other reports, unless the config says."""
    default = Path("reports/tune") / f"{config.model.name}_{config.dataset_folder.name}"
    return default if config.tune.output is None else config.tune.output


def _plan(config: TuneCommandConfig, plain: Mapping[str, Any]) -> Plan:
    """What `qmend train` would be given, and what the search decides of it."""
    own = {key: value for key, value in plain.items() if key not in ("tune", "hydra")}
    decided: dict[str, Any] = {
        "trainer.monitor": config.tune.metric,
        "trainer.threads": config.tune.resources.threads,
    }
    base = with_values(own, decided)
    training: TrainingConfig = TrainConfig.model_validate(base)
    space = SearchSpace.parse(config.tune.space, base)
    return Plan(
        config.tune, space, training, base, plain["tune"], config.seed, TrainConfig.model_validate
    )


class _Board:
    """Trials as they run: a table in a terminal, else a line for each that ended."""

    def __init__(self, config: TuneCommandConfig) -> None:
        self.wanted, self.epochs = config.tune.trials, config.trainer.max_epochs
        self.metric = config.tune.metric
        self.trials: dict[int, Trial] = {}
        self.told: set[int] = set()
        self.started = time.monotonic()
        self.live: Live | None = None

    def watch(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        if self.live is not None:
            self.live.update(self.table())
        elif trial.outcome is not None and trial.number not in self.told:
            self.told.add(trial.number)
            console.print(f"  {line(trial, self.epochs)}", markup=False)

    def say(self, sentence: str) -> None:
        console.print(f"  {sentence}", markup=False)

    def table(self) -> Group:
        """Running trials, then the best of those that ended."""
        table = _empty_table()
        running = [t for t in self.trials.values() if t.outcome is None]
        ended = [t for t in self.trials.values() if t.outcome is not None]
        for trial in sorted(running, key=lambda t: t.number):
            _add(table, trial, self.epochs)
        for trial in ranked(ended)[:_TOP_LIVE]:
            _add(table, trial, self.epochs)
        count = {o: sum(t.outcome == o for t in ended) for o in ("finished", "pruned", "failed")}
        words = ", ".join(f"{number} {outcome}" for outcome, number in count.items() if number)
        known = max(self.trials, default=-1) + 1
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return Group(
            table,
            f"  {known} of {self.wanted} trials started{f', {words}' if words else ''}; "
            f"{minutes}:{seconds:02} minutes",
        )


@contextmanager
def _progress(config: TuneCommandConfig) -> Iterator[_Board]:
    board = _Board(config)
    if not console.is_terminal:
        yield board
        return
    with Live(board.table(), console=console, refresh_per_second=4, transient=True) as live:
        board.live = live
        yield board


def _empty_table(title: str | None = None) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("epoch", "best", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("values", overflow="fold")
    return table


def _add(table: Table, trial: Trial, epochs: int) -> None:
    table.add_row(*cells(trial, epochs))


def cells(trial: Trial, epochs: int) -> list[str]:
    """Number, state, epochs, best value, seconds, sampled values."""
    seconds = trial.seconds or (trial.reports[-1].seconds if trial.reports else 0.0)
    return [
        str(trial.number),
        trial.outcome or "running",
        f"{trial.epochs}/{epochs}",
        f"{trial.best:+.4f}" if math.isfinite(trial.best) else "",
        seconds_text(seconds) if seconds else "",
        trial.error or values_text(trial),
    ]


def values_text(trial: Trial) -> str:
    """Sampled values with short keys."""
    if trial.source == "default":
        return "the default config"
    short = [f"{key.rpartition('.')[2]}={value_text(v)}" for key, v in trial.values.items()]
    return " ".join(short)


def line(trial: Trial, epochs: int) -> str:
    """An ended trial where there is no terminal."""
    number, state, epoch, best, seconds, values = cells(trial, epochs)
    return f"trial {number} {state} at epoch {epoch}, best {best or 'none'}, {seconds} s: {values}"


def ranked(trials: list[Trial]) -> list[Trial]:
    """Finished trials first, each kind by its best value."""
    return sorted(trials, key=lambda t: (t.outcome != "finished", t.best, t.number))


def result_table(done: SearchDone) -> Table:
    """The top trials, with the test score of the best and of the default config."""
    search, result = done.search, done.result
    epochs = int(search.config["trainer"]["max_epochs"])
    title = f"{search.options.metric}, lowest of all epochs"
    table = _empty_table(title)
    table.add_column("test median L1RC [95 %]", justify="right", no_wrap=True)
    scored = {s.trial.number: s for s in (result.best, result.default) if s is not None}
    top = ranked(search.journal.trials)[:_TOP]
    if result.default is not None and result.default.trial not in top:
        top.append(result.default.trial)
    for trial in top:
        score = scored.get(trial.number)
        table.add_row(*cells(trial, epochs), "" if score is None else interval_text(score.test))
    return table


def _say_end(done: SearchDone, output: Path, choices: Mapping[str, Any]) -> None:
    search, result = done.search, done.result
    trials = search.journal.trials
    counts = ", ".join(
        f"{sum(t.outcome == outcome for t in trials)} {outcome}"
        for outcome in ("finished", "pruned", "failed")
    )
    seconds = sum(t.seconds for t in trials)
    console.print(f"  {len(trials)} trials ({counts}), {seconds_text(seconds)} s of training")
    console.print(f"  Best: trial {result.best.trial.number}, {_test_text(result.best)}")
    if result.default is not None and result.default.trial is not result.best.trial:
        console.print(f"  Default config: {_test_text(result.default)}")
    console.print(
        f"  Registered as version {result.version} of models:/qmend; search run {done.run_id}"
    )
    console.print(
        f"  Train it: qmend train --config-dir {output} experiment=best "
        f"{' '.join(_where(choices))}",
        soft_wrap=True,
    )


def _test_text(scored: Scored) -> str:
    return (
        f"test median L1RC {interval_text(scored.test)}, improved {scored.improved_pct:.1f} %, "
        f"harmed {scored.harmed_pct:.1f} %; run {scored.run_id}"
    )


def _where(choices: Mapping[str, Any]) -> list[str]:
    """Overrides that choose the data."""
    return [f"{name}={choices[name]}" for name in ("dataset", "device")]


def experiment_text(
    search: Search, result: SearchResult, choices: Mapping[str, Any], epochs: int
) -> str:
    """The best trial's config as a diff that `qmend train experiment=...` takes."""
    best, trials = result.best, search.journal.trials
    resolved = search.resolved(best.trial)
    groups = {
        "model": str(choices["model"]),
        "loss": str(resolved["loss"]["name"]),
        "optimizer": str(choices["optimizer"]),
        "trainer": str(choices["trainer"]),
    }
    plain = compose_config("train", [f"{k}={v}" for k, v in groups.items()])
    known = OmegaConf.to_container(plain, resolve=True)
    assert isinstance(known, dict)
    flat = flatten({name: known[name] for name in SECTIONS})
    changed = {
        key: value
        for key, value in flatten({name: resolved[name] for name in SECTIONS}).items()
        if flat.get(key, ...) != value
    }
    nested = with_values({}, changed)
    total = math.fsum(t.seconds for t in trials)
    head = [
        "# @package _global_",
        f"# The best of {len(trials)} trials of {choices['model']} on dataset={choices['dataset']} "
        f"device={choices['device']} (qmend tune).",
        f"# Reaches: {search.options.metric} {best.trial.best:.4f}; test median L1RC "
        f"{interval_text(best.test)}, improved {best.improved_pct:.1f} %, "
        f"harmed {best.harmed_pct:.1f} %.",
    ]
    if result.default is not None and result.default.trial is not best.trial:
        head.append(
            f"# Without the search: {search.options.metric} {result.default.trial.best:.4f}; test "
            f"median L1RC {interval_text(result.default.test)}."
        )
    head.append(
        f"# Costs: {seconds_text(best.trial.seconds)} s and {count_text(best.trial.parameters)} "
        f"parameters for {epochs} epochs; the search {seconds_text(total)} s of training."
    )
    usual = _usual_choices()
    chosen = [
        {f"override /{group}": name} for group, name in groups.items() if usual.get(group) != name
    ]
    body = yaml.safe_dump({"defaults": chosen}, sort_keys=False) if chosen else ""
    if nested:
        body += "\n" + yaml.safe_dump(nested, sort_keys=False)
    return "\n".join(head) + "\n" + body


def _usual_choices() -> dict[str, Any]:
    """Group -> config that `qmend train` takes where nothing is said."""
    entries = yaml.safe_load((conf_dir() / "train.yaml").read_text())["defaults"]
    return {key: name for e in entries if isinstance(e, dict) for key, name in e.items()}
