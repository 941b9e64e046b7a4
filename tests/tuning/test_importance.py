"""Which parameters of a search mattered, where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend.tracking.finding import all_runs, children_of
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.tuning.importance import MIN_TRIALS, Importance, importances
from qmend.tuning.record import SearchRecord, read_search
from qmend.types import QmendError
from tracked_runs import SPACE, search


def read(store: Store, parent: str) -> SearchRecord:
    return read_search(store, store.client.get_run(parent), children_of(all_runs(store), parent))


@pytest.fixture(scope="module")
def found(store) -> SearchRecord:
    return read(store, search(store, prune_above=-0.45))


@pytest.fixture(scope="module")
def shares(found) -> list[Importance]:
    return importances(found)


def test_trials_are_read_back_with_their_types(found):
    assert [trial.number for trial in found.trials] == list(range(24))
    outcomes = [trial.outcome for trial in found.trials]
    assert outcomes.count("finished") + outcomes.count("pruned") == 24
    assert outcomes.count("pruned") > 3
    for trial in found.trials:
        assert isinstance(trial.values["optimizer.lr"], float)
        assert isinstance(trial.values["model.width"], int)
        assert trial.values["trainer.batch_size"] in (32, 64, 128)
        # The default's depth is logged beside a model that has none: it has no meaning there.
        assert ("model.depth" in trial.values) == (trial.values["model.name"] == "perceiver")
    values = [t.best for t in found.trials if t.outcome == "finished"]
    assert found.best.best == min(values)


def test_what_decides_the_objective_ranks_first(shares):
    assert {each.key for each in shares} == set(SPACE)
    first, *rest = shares
    assert first.key == "optimizer.lr"
    assert first.share > 0.6
    assert first.finished_only is not None
    always = [each.share for each in shares if each.key != "model.depth"]
    assert sum(always) == pytest.approx(1)
    assert all(each.share < 0.2 for each in rest if each.key != "model.depth")


def test_a_conditional_parameter_is_judged_among_its_own_trials(found, shares):
    depth = next(each for each in shares if each.key == "model.depth")
    having = [t for t in found.trials if "model.depth" in t.values]
    assert depth.trials == len(having) == 12
    width = next(each for each in shares if each.key == "model.width")
    assert depth.share > width.share  # it has an effect, the width has none


def test_importances_are_the_same_every_time(found, shares):
    assert importances(found) == shares


def test_the_forest_ranks_as_the_known_objective_does(found, shares):
    """Variance explained by another way: squared correlation with what each key contributes."""
    values = np.array([trial.best for trial in found.valued])
    lr = np.array([trial.values["optimizer.lr"] for trial in found.valued])
    width = np.array([trial.values["model.width"] for trial in found.valued])
    explained = {
        "optimizer.lr": np.corrcoef(values, (np.log10(lr) + 2.5) ** 2)[0, 1] ** 2,
        "model.width": np.corrcoef(values, width)[0, 1] ** 2,
    }
    by_forest = {each.key: each.share for each in shares}
    assert explained["optimizer.lr"] > 0.5 > explained["model.width"]
    assert by_forest["optimizer.lr"] > 0.5 > by_forest["model.width"]


def test_failed_trials_do_not_count(found):
    trials = [replace(t, outcome="failed" if t.number < 3 else t.outcome) for t in found.trials]
    changed = replace(found, trials=trials)
    assert (len(changed.valued), sum(t.outcome == "failed" for t in changed.trials)) == (21, 3)
    assert all(each.trials <= 21 for each in importances(changed))


def test_too_few_trials_are_one_sentence(found):
    few = replace(found, trials=found.trials[: MIN_TRIALS - 1])
    with pytest.raises(QmendError, match=f"{MIN_TRIALS - 1} trials have a value, too few"):
        importances(few)


def test_equal_values_are_one_sentence(found):
    same = replace(found, trials=[replace(trial, history=[1.0]) for trial in found.trials])
    with pytest.raises(QmendError, match="no parameter matters"):
        importances(same)


def test_a_search_without_its_space_is_one_sentence(store):
    with start_run(store, "tune", {"kind": "tune"}, {}) as parent:
        pass
    with pytest.raises(QmendError, match=r"search_space\.json is missing or damaged"):
        read(store, parent.run_id)
