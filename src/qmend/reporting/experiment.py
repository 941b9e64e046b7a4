"""Write the best trial's config as an experiment file of `qmend train`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf

from qmend.config.compose import compose_choices
from qmend.config.nested import flatten
from qmend.reporting.numbers import count_text, interval_text, seconds_text
from qmend.tuning.result import SearchResult
from qmend.tuning.search import Search
from qmend.tuning.space import SECTIONS, with_values


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


def _head(search: Search, result: SearchResult, choices: Mapping[str, Any]) -> str:
    best, trials, metric = result.best, search.trials, search.plan.options.metric
    lines = [
        "# @package _global_",
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
