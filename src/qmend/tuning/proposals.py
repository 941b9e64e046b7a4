"""What to try next: a pure function of the trials so far, so that nothing else is remembered."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna

from qmend.tuning.journal import Trial
from qmend.tuning.space import SearchSpace, Value

_STATES = {
    None: optuna.trial.TrialState.RUNNING,
    "finished": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


def propose(
    space: SearchSpace, base: Mapping[str, Value], trials: Sequence[Trial], seed: int
) -> dict[str, Value]:
    """The sampled values of the next trial, by the tree-structured Parzen estimator.

    The first ten trials are random. Parameters are sampled jointly, those of one condition as a
    group. (Bergstra et al., NeurIPS 2011; multivariate: Falkner et al., arXiv 1807.01774)

    Args:
        base: the config's own values of all keys.
        trials: all before, running ones too, with their reports so far.
        seed: of the search; each trial's random numbers are its own.
    """
    number = len(trials)
    draw = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=draw,
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(sampler=sampler, direction="minimize")
        study.add_trials([_frozen(space, trial) for trial in trials])
        return space.draw(study.ask(), base)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _frozen(space: SearchSpace, trial: Trial) -> optuna.trial.FrozenTrial:
    """A trial as Optuna knows it; the best value so far stands at each epoch."""
    values = {k: v for k, v in trial.values.items() if space.parameters[k].contains(v)}
    reports: dict[int, float] = {}
    lowest = math.inf
    for report in trial.reports:
        lowest = min(lowest, report.value)
        reports[report.epoch] = lowest
    return optuna.trial.create_trial(
        state=_STATES[trial.outcome],
        value=trial.best if trial.outcome == "finished" else None,
        params=values,
        distributions={key: space.parameters[key].distribution() for key in values},
        intermediate_values=reports,
    )
