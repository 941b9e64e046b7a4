"""A finished search read back from the store, and which of its parameters mattered."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from mlflow.entities import Run as MlflowRun
from pydantic import BaseModel, ConfigDict, ValidationError

from qmend.tracking.finding import artifact_path, kind_of, parent_of
from qmend.types import QmendError

SEARCH_SPACE = "search_space.json"
#: Fewer trials tell nothing about importance.
MIN_TRIALS = 8
_SEED = 0


class Parameter(BaseModel):
    """What a search draws one key of the config from.

    Attributes:
        choices: of a categorical one.
        condition: key of the config -> value, or list of values, with which the parameter is
            drawn at all; None: always.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] | None = None
    condition: Any = None

    def read(self, text: str) -> Any:
        """A logged value; categorical ones stay text. None where it is no such value."""
        if self.type == "categorical":
            return text
        try:
            number = float(text)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        return round(number) if self.type == "int" else number

    def met(self, params: Mapping[str, str]) -> bool:
        """Whether the parameter has a meaning beside these."""
        if not isinstance(self.condition, Mapping):
            return True
        for key, wanted in self.condition.items():
            options = wanted if isinstance(wanted, list | tuple) else (wanted,)
            if logged_value(params, key) not in {str(option) for option in options}:
                return False
        return True


def logged_value(params: Mapping[str, str], key: str) -> str | None:
    """A param of a run; ``loss`` stands for ``loss.name``."""
    return params.get(key, params.get(f"{key}.name"))


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        outcome: ``finished``, ``pruned``, ``failed``, or ``unfinished`` while it has none.
        value: best objective that it reached; None where it reached none.
        params: key -> value of the parameters that have a meaning in it.
    """

    number: int
    run_id: str
    outcome: str
    value: float | None
    params: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Search:
    """A search with its trials in order.

    Attributes:
        objective: metric that was searched for.
        minimised: whether lower is better.
        space: what was drawn, by key of the config.
    """

    run: MlflowRun
    objective: str
    minimised: bool
    space: dict[str, Parameter]
    trials: list[Trial]

    def count(self, outcome: str) -> int:
        """How many trials ended so."""
        return sum(trial.outcome == outcome for trial in self.trials)

    @property
    def valued(self) -> list[Trial]:
        """Finished and pruned trials with a value."""
        return [t for t in self.trials if t.value is not None and t.outcome != "failed"]

    @property
    def best(self) -> Trial | None:
        """The best that finished; the best of all where none did."""
        finished = [t for t in self.valued if t.outcome == "finished"]
        sign = 1 if self.minimised else -1
        return min(finished or self.valued, key=lambda t: sign * (t.value or 0.0), default=None)


def is_search(run: MlflowRun) -> bool:
    """Whether a run is the parent of a search."""
    return kind_of(run) == "tune"


def read_search(parent: MlflowRun, runs: Sequence[MlflowRun]) -> Search:
    """A search from its parent run and those that may belong to it.

    Raises:
        QmendError: if its search space can't be read.
    """
    path = artifact_path(parent, SEARCH_SPACE)
    try:
        told = json.loads(path.read_text())
        space = {key: Parameter.model_validate(value) for key, value in told.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        raise QmendError(
            f"{path} is missing or damaged: what the search {parent.info.run_id[:12]} drew is not "
            "known; report on its best runs with runs=[RUN,RUN]."
        ) from None
    tags = parent.data.tags
    trials = [
        _trial(run, space)
        for run in runs
        if kind_of(run) == "trial" and parent_of(run) == parent.info.run_id
    ]
    return Search(
        parent,
        str(tags.get("objective", "val/l1rc_median")),
        not str(tags.get("direction", "minimize")).startswith("max"),
        space,
        sorted(trials, key=lambda trial: (trial.number, trial.run_id)),
    )


def _trial(run: MlflowRun, space: Mapping[str, Parameter]) -> Trial:
    tags, logged = run.data.tags, run.data.params
    value = run.data.metrics.get("tune/best", math.nan)
    params = {
        key: parameter.read(text)
        for key, parameter in space.items()
        if (text := logged_value(logged, key)) is not None and parameter.met(logged)
    }
    number = str(tags.get("trial", "-1"))
    ended = (run.info.end_time or run.info.start_time) - run.info.start_time
    return Trial(
        int(number) if number.lstrip("-").isdigit() else -1,
        run.info.run_id,
        str(tags.get("outcome", "unfinished")),
        float(value) if math.isfinite(value) else None,
        {key: found for key, found in params.items() if found is not None},
        float(run.data.metrics.get("cost/seconds", ended / 1000)),
    )


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


def importances(search: Search) -> list[Importance]:
    """Functional ANOVA of a random forest over the trials, most important first.

    Finished and pruned trials count alike, a pruned one with the best value that it had reached.
    That is worse than what it would have come to, so that what slows learning down looks too
    important; without the pruned trials only good ones are left, and what spoils a training looks
    too unimportant. Both are given. A parameter that has a meaning in some trials only is judged
    among those. Failed trials have no value and do not count.

    F. Hutter, H. Hoos, K. Leyton-Brown, ICML 2014; computed by
    :class:`optuna.importance.FanovaImportanceEvaluator`.

    Raises:
        QmendError: if the trials are too few, or all have one value.
    """
    every = search.valued
    if len(every) < MIN_TRIALS:
        raise QmendError(
            f"{len(every)} trials have a value, too few to tell which parameter matters "
            f"(at least {MIN_TRIALS}); go on with the search."
        )
    if len({trial.value for trial in every}) == 1:
        raise QmendError("All trials have one and the same value: no parameter matters.")
    shares = _shares(search, every)
    finished = [trial for trial in every if trial.outcome == "finished"]
    enough = len(finished) >= MIN_TRIALS and len({t.value for t in finished}) > 1
    alone = _shares(search, finished) if enough else {}
    found = [
        Importance(key, share, alone.get(key), sum(key in trial.params for trial in every))
        for key, share in shares.items()
    ]
    return sorted(found, key=lambda each: (-each.share, each.key))


def _shares(search: Search, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of each parameter; conditional ones among the trials that have them."""
    always = [key for key in search.space if all(key in trial.params for trial in trials)]
    found = _fanova(search, trials, always)
    for key in search.space:
        if key in always:
            continue
        having = [trial for trial in trials if key in trial.params]
        if len(having) < MIN_TRIALS or len({trial.value for trial in having}) == 1:
            continue
        beside = [k for k in search.space if all(k in trial.params for trial in having)]
        found[key] = _fanova(search, having, beside)[key]
    return found


def _fanova(search: Search, trials: Sequence[Trial], keys: Sequence[str]) -> dict[str, float]:
    # Optuna takes a second to import, and most commands need none.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    varied = [key for key in keys if len({str(trial.params[key]) for trial in trials}) > 1]
    still = {key: 0.0 for key in keys if key not in varied}
    if not varied:
        return still
    spaces = {key: _distribution(search.space[key], key, trials) for key in varied}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="minimize")
            for trial in trials:
                study.add_trial(
                    optuna.trial.create_trial(
                        params={key: trial.params[key] for key in varied},
                        distributions=spaces,
                        value=trial.value,
                    )
                )
            found = FanovaImportanceEvaluator(seed=_SEED).evaluate(study, params=varied)
    finally:
        optuna.logging.set_verbosity(verbosity)
    total = sum(found.values())
    return still | {key: float(share / total) if total else 0.0 for key, share in found.items()}


def _distribution(parameter: Parameter, key: str, trials: Sequence[Trial]) -> Any:
    """What the values were drawn from, wide enough for one that was given and not drawn."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    values = [trial.params[key] for trial in trials]
    if parameter.type == "categorical":
        choices = [str(choice) for choice in parameter.choices or ()]
        return CategoricalDistribution(list(dict.fromkeys([*choices, *values])))
    ends = [end for end in (parameter.low, parameter.high) if end is not None]
    low, high = min([*ends, *values]), max([*ends, *values])
    log = parameter.log and low > 0
    if parameter.type == "int":
        return IntDistribution(int(low), math.ceil(high), log=log)
    return FloatDistribution(float(low), float(np.nextafter(high, np.inf)), log=log)
