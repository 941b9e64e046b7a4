"""A changed search is another one: its name and its first sentence say what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_resuming import CONFIG, SPACE, check

from qmend.runs.scoring import Context, dataset_tags
from qmend.tracking.run import start_run
from qmend.tuning.config import TuneConfig
from qmend.tuning.naming import name_search
from qmend.tuning.record import Trial
from qmend.tuning.search import Search, SearchPlan
from qmend.types import QmendError
from qmend.workflows.tune import _best_config, _is_free
from tracked_runs import blank_store


def plan(epochs: int = 9, **space: Any) -> SearchPlan:
    config = {**CONFIG, "trainer": {**CONFIG["trainer"], "max_epochs": epochs}}
    options = TuneConfig.model_validate({"trials": 5, "space": {**SPACE, **space}})
    return SearchPlan.of(config, options, check)


def begin(context: Context, wanted: SearchPlan, taken: tuple[str, ...] = ()) -> tuple[str, str]:
    """Name a search and open its run; its sentence and the run's id."""
    named = name_search(context, wanted, lambda name: name not in taken)
    tags = {"kind": "tune", **dataset_tags(context.dataset)}
    with start_run(context.store, named.name, tags, wanted.identity) as run:
        return named.sentence, run.run_id


@pytest.fixture
def context(store, tiny, tmp_path) -> Context:
    return Context(blank_store(store, tmp_path / "mlruns"), tiny)


def test_searches_are_told_apart_by_what_differs(context):
    sentence, first = begin(context, plan())
    assert sentence == ""
    sentence, longer = begin(context, plan(24))
    assert sentence == (
        f"Not the search of run {first[:12]}: trainer.max_epochs is 9 there and 24 here. A new "
        "one begins, 'tune blind_mlp tiny max_epochs=24'."
    )
    sentence, _ = begin(context, plan(24, loss={"type": "categorical", "choices": ["l1"]}))
    assert f"run {longer[:12]}: tune.space.loss.choices is ['l1', 'kl'] there" in sentence
    begin(context, plan(24, **{"trainer.patience": None}))
    manifest = context.dataset.manifest.model_copy(update={"shards": []})
    other = replace(context, dataset=replace(context.dataset, manifest=manifest))
    begin(other, plan())
    begin(context, plan(), taken=("tune blind_mlp tiny",))
    names = [run.info.run_name for run in context.store.runs()][::-1]
    assert names == [
        "tune blind_mlp tiny",
        "tune blind_mlp tiny max_epochs=24",
        "tune blind_mlp tiny max_epochs=24 loss.choices=l1",
        "tune blind_mlp tiny max_epochs=24 trainer.patience=None",
        f"tune blind_mlp tiny dataset_hash={manifest.dataset_sha}",
        "tune blind_mlp tiny 2",
    ]


def test_trials_carry_architecture_and_what_differs(context, tmp_path):
    begin(context, plan())
    _, longer = begin(context, plan(24))
    search = Search(context, plan(24), tmp_path, longer)
    values = {"model.width": 8, "optimizer.lr": 0.001, "trainer.patience": None}
    default, drawn = (Trial(k, s, "", values) for k, s in enumerate(("default", "tpe")))
    assert search.trial_name(default) == (
        "blind_mlp max_epochs=24 trial 0 default config width=8 lr=0.001 patience=null"
    )
    assert search.trial_name(drawn) == (
        "blind_mlp max_epochs=24 trial 1 width=8 lr=0.001 patience=null"
    )


def test_the_best_config_of_another_search_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "tune blind_mlp tiny lr.low=1e-05"
    path = _best_config(name, None)
    assert path == Path("reports/tune/blind_mlp_tiny_lr.low=1e-05/experiment/best.yaml")
    assert _is_free(path, None, chosen=False)
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n# Search: run {'a' * 32}\n")
    assert _is_free(path, "a" * 32, chosen=False)
    assert not _is_free(path, None, chosen=False)
    for run_id, chosen in ((None, True), ("b" * 32, True), ("b" * 32, False)):
        with pytest.raises(QmendError, match=r"of another search \(aaaaaaaaaaaa\).*tune\.output"):
            _is_free(path, run_id, chosen)
