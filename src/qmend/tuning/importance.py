"""Importances of a search's parameters, by functional ANOVA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmend.tuning.record import SearchRecord, Trial
from qmend.tuning.space import Parameter
from qmend.types import QmendError

#: With fewer trials no importance can be computed.
MIN_TRIALS = 8
_SEED = 0


@dataclass(frozen=True)
class Importance:
    """How much of the objective's variance a parameter explains.

    Attributes:
        share: of the variance; those of the parameters that every trial has sum to 1.
        finished_only: the same from finished trials alone; None where they are too few.
        trials: in which the parameter has a meaning.
    """

    key: str
    share: float
    finished_only: float | None
    trials: int


def importances(search: SearchRecord) -> list[Importance]:
    """Rank parameters by functional ANOVA of a random forest over the trials.

    The most important is first. Two shares are computed for each, as both are biased:

    - Finished and pruned trials count alike, a pruned one with its best value so far. That is worse
      than its value at the end would be: a parameter that slows learning looks too important.
    - Finished trials alone are only good ones: a parameter that spoils a training looks too
      unimportant.

    A conditional parameter is judged among the trials that have it. Failed trials do not count.

    F. Hutter, H. Hoos, K. Leyton-Brown, ICML 2014; computed by
    :class:`optuna.importance.FanovaImportanceEvaluator`.

    Raises:
        QmendError: if the trials are too few, or all have one value.
    """
    trials = search.valued
    if len(trials) < MIN_TRIALS:
        raise QmendError(
            f"{len(trials)} trials have a value, too few to tell which parameter matters "
            f"(at least {MIN_TRIALS}); resume the search with more."
        )
    if len({trial.best for trial in trials}) == 1:
        raise QmendError("All trials have one and the same value: no parameter matters.")
    shares = _shares(search, trials)
    finished = [trial for trial in trials if trial.outcome == "finished"]
    enough = len(finished) >= MIN_TRIALS and len({t.best for t in finished}) > 1
    alone = _shares(search, finished) if enough else {}
    unsorted = [
        Importance(key, share, alone.get(key), sum(key in trial.values for trial in trials))
        for key, share in shares.items()
    ]
    return sorted(unsorted, key=lambda each: (-each.share, each.key))


def _shares(search: SearchRecord, trials: Sequence[Trial]) -> dict[str, float]:
    """Compute shares; of conditional parameters among the trials that have them."""
    keys = list(search.space.parameters)
    always = [key for key in keys if all(key in trial.values for trial in trials)]
    shares = _fanova(search, trials, always)
    for key in keys:
        if key in always:
            continue
        having = [trial for trial in trials if key in trial.values]
        if len(having) < MIN_TRIALS or len({trial.best for trial in having}) == 1:
            continue
        beside = [k for k in keys if all(k in trial.values for trial in having)]
        shares[key] = _fanova(search, having, beside)[key]
    return shares


def _fanova(search: SearchRecord, trials: Sequence[Trial], keys: Sequence[str]) -> dict[str, float]:
    # Optuna takes a second to import, and most commands need none.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    from qmend.tuning.proposals import distribution, quiet_optuna

    varied = [key for key in keys if len({str(trial.values[key]) for trial in trials}) > 1]
    still = {key: 0.0 for key in keys if key not in varied}
    if not varied:
        return still
    parameters = search.space.parameters
    values = {
        key: [_comparable(parameters[key], trial.values[key]) for trial in trials] for key in varied
    }
    distributions: dict[str, Any] = {
        key: distribution(_widened(parameters[key], values[key])) for key in varied
    }
    with quiet_optuna():
        study = optuna.create_study(direction="minimize")
        for k, trial in enumerate(trials):
            params = {key: values[key][k] for key in varied}
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, value=trial.best
                )
            )
        variances = FanovaImportanceEvaluator(seed=_SEED).evaluate(study, params=varied)
    total = sum(variances.values())
    shares = {key: float(part / total) if total else 0.0 for key, part in variances.items()}
    return still | shares


def _comparable(parameter: Parameter, value: Any) -> Any:
    """Return a value, or the text of a choice: choices of two types can't be compared."""
    return str(value) if parameter.type == "categorical" else value


def _widened(parameter: Parameter, values: Sequence[Any]) -> Parameter:
    """Widen a parameter to values that were given, not drawn."""
    if parameter.choices is not None:
        choices = tuple(dict.fromkeys([*map(str, parameter.choices), *values]))
        return parameter.model_copy(update={"choices": choices})
    ends = [end for end in (parameter.low, parameter.high) if end is not None]
    low, high = min([*ends, *values]), max([*ends, *values])
    high = math.ceil(high) if parameter.type == "int" else float(np.nextafter(high, np.inf))
    log = parameter.log and low > 0
    return parameter.model_copy(update={"low": low, "high": high, "log": log, "step": None})
