"""Proposals by Optuna: a pure function of the trials so far.

Ray's ``OptunaSearch`` with a stored study (``points_to_evaluate``, ``storage``) was tried first. It
can't resume a killed search (Ray 2.60, Optuna 5.0):

- Started again, it queues its first points again and repeats the draws of its seed.
- Trials that were under way stay RUNNING in the study, and nothing resumes them.
- A trial that ASHA stopped is stored as complete; one that ends with NaN stays RUNNING.
- Optuna's file journal is unreadable after a write over a torn line, and waits 30 s for the lock of
  a killed process.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import optuna

from qmend.tuning.record import Trial
from qmend.tuning.space import Parameter, SearchSpace, Value

_STATES = {
    None: optuna.trial.TrialState.RUNNING,
    "finished": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


def propose(
    space: SearchSpace, base: Mapping[str, Value], trials: Sequence[Trial], seed: int
) -> dict[str, Value]:
    """Sample the next trial's values by the tree-structured Parzen estimator.

    The first ten trials are random. Parameters are sampled jointly, those of one condition as a
    group. (Bergstra et al., NeurIPS 2011; multivariate: Falkner et al., arXiv 1807.01774)

    Args:
        base: the config's own values of all keys.
        trials: all before, running ones too, with their history so far.
        seed: of the search; each trial's random numbers are its own.
    """
    own_seed = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    with quiet_optuna():
        sampler = optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, seed=own_seed
        )
        study = optuna.create_study(sampler=sampler, direction="minimize")
        study.add_trials([_frozen(space, trial) for trial in trials])
        trial = study.ask()
        return space.draw(lambda key, parameter: suggest(trial, key, parameter), base)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna's log and its warnings of experimental parts."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _frozen(space: SearchSpace, trial: Trial) -> optuna.trial.FrozenTrial:
    """Convert a trial; the best value so far stands at each epoch."""
    values = {k: v for k, v in trial.values.items() if space.parameters[k].contains(v)}
    lowest = accumulate(trial.history, min)
    return optuna.trial.create_trial(
        state=_STATES[trial.outcome],
        value=trial.best if trial.outcome == "finished" else None,
        params=values,
        distributions={key: distribution(space.parameters[key]) for key in values},
        intermediate_values=dict(enumerate(lowest, start=1)),
    )


_Distribution = (
    optuna.distributions.CategoricalDistribution
    | optuna.distributions.IntDistribution
    | optuna.distributions.FloatDistribution
)


def distribution(parameter: Parameter) -> _Distribution:
    """Convert a parameter to Optuna's distribution."""
    if parameter.choices is not None:
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    low, high = parameter.range
    if parameter.type == "int":
        step = int(parameter.step or 1)
        return optuna.distributions.IntDistribution(int(low), int(high), parameter.log, step)
    return optuna.distributions.FloatDistribution(low, high, parameter.log, parameter.step)


def suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Value:
    """Draw one parameter's value."""
    own = distribution(parameter)
    if isinstance(own, optuna.distributions.CategoricalDistribution):
        choice: Value = trial.suggest_categorical(key, own.choices)
        return choice
    if isinstance(own, optuna.distributions.IntDistribution):
        return trial.suggest_int(key, own.low, own.high, step=own.step, log=own.log)
    return trial.suggest_float(key, own.low, own.high, step=own.step, log=own.log)
