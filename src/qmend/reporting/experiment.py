"""Write the best trial's config as an experiment file of `qmend train`, and its command."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from qmend.config.compose import compose_choices
from qmend.config.nested import flatten
from qmend.config.paths import conf_dir, config_groups
from qmend.config.quoting import written
from qmend.metrics import interval_text
from qmend.reporting.numbers import count_text, seconds_text
from qmend.tuning.result import SearchResult
from qmend.tuning.search import Search
from qmend.tuning.space import SECTIONS, with_values

#: Begins the line of an experiment file that names the run of its search.
SEARCH_LINE = "# Search: run "


def experiment_text(search: Search, result: SearchResult, choices: Mapping[str, Any]) -> str:
    """Write the best trial's config as YAML, its figures and costs in the head.

    Args:
        choices: Hydra group -> config that the search was started with.
    """
    config = search.resolved(result.best.trial)
    groups = {
        "model": str(choices["model"]),
        "loss": str(config["loss"]["name"]),
        "optimizer": str(choices["optimizer"]),
        "trainer": str(choices["trainer"]),
    }
    options = config_groups(conf_dir())
    # Another directory's config is told by its values.
    groups = {group: name for group, name in groups.items() if name in options[group]}
    composed, _ = compose_choices("train", [f"{group}={name}" for group, name in groups.items()])
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    before = flatten({name: plain[name] for name in SECTIONS})
    after = flatten({name: config[name] for name in SECTIONS})
    changed = {key: value for key, value in after.items() if before.get(key, ...) != value}
    _, default_choices = compose_choices("train", [])
    defaults = [
        {f"override /{group}": name}
        for group, name in groups.items()
        if default_choices[group] != name
    ]
    text = _head(search, result, choices)
    if defaults:
        text += yaml.safe_dump({"defaults": defaults}, sort_keys=False)
    if changed:
        text += "\n" + yaml.safe_dump(with_values({}, changed), sort_keys=False)
    return text


def training_command(
    search: Search, result: SearchResult, choices: Mapping[str, str], folder: Path
) -> str:
    """Write the command that repeats the best trial's training, as a shell takes it.

    Args:
        choices: Hydra group -> config that the search was started with.
        folder: the config directory in which the experiment file lies, as ``experiment/best.yaml``.
    """
    options = config_groups(conf_dir())

    def choose(groups: Iterable[str]) -> list[str]:
        return [f"{g}={choices[g]}" for g in groups if choices.get(g) in options.get(g, [])]

    overrides = choose(("dataset", "device"))
    _, defaults = compose_choices("train", overrides)
    parts = [group for group in sorted(defaults) if group.startswith("dataset/")]
    overrides += choose(g for g in parts if choices.get(g) != defaults[g])
    composed, _ = compose_choices("train", overrides)
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    config = search.resolved(result.best.trial)
    sections = [name for name in config if name not in SECTIONS]  # the others are in the file
    before = flatten({name: plain[name] for name in sections})
    after = flatten({name: config[name] for name in sections})
    overrides += [
        f"{'' if key in before else '++'}{key}={written(value)}"
        for key, value in after.items()
        if before.get(key, ...) != value
    ]
    overrides += [
        f"~{key}" for key, value in before.items() if value is not None and key not in after
    ]
    words = ["qmend", "train", "--config-dir", str(folder), "experiment=best", *overrides]
    return shlex.join(words)


def _head(search: Search, result: SearchResult, choices: Mapping[str, Any]) -> str:
    best, trials, metric = result.best, search.trials, search.plan.options.metric
    lines = [
        "# @package _global_",
        f"{SEARCH_LINE}{search.parent}",
        f"# The best of {len(trials)} trials of {choices['model']} on dataset={choices['dataset']} "
        f"device={choices['device']} (qmend tune).",
        f"# Reaches: {metric} {best.trial.best:.4f}; test median L1RC {interval_text(best.test)}, "
        f"improved {best.improved_pct:.1f} %, harmed {best.harmed_pct:.1f} %.",
    ]
    for default in result.scored[1:]:
        lines.append(
            f"# Without the search: {metric} {default.trial.best:.4f}; test median L1RC "
            f"{interval_text(default.test)}."
        )
    total = math.fsum(trial.seconds for trial in trials)
    lines.append(
        f"# Costs: {seconds_text(best.trial.seconds)} s and {count_text(best.trial.parameters)} "
        f"parameters for {search.plan.max_epochs} epochs; the search {seconds_text(total)} s of "
        "training."
    )
    return "\n".join(lines) + "\n"
