"""Renamed and added keys leave hashes alone, and what was stored is read by its old names."""

from __future__ import annotations

import pytest

from qmend.config import spellings


@pytest.fixture
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a later version had renamed keys and values, and added a key."""
    renamed = {("", "fresh"): "later", ("later", "every"): "period", ("model", "output"): "top"}
    monkeypatch.setattr(spellings, "RENAMED", renamed)
    firsts = {(section, new): old for (section, old), new in renamed.items()}
    monkeypatch.setattr(spellings, "_FIRST_NAMES", firsts)
    monkeypatch.setattr(spellings, "RENAMED_VALUES", {("loss", "name"): {"old": "new"}})
    monkeypatch.setattr(spellings, "RENAMED_OPTIONS", {"loss": {"old": "new"}})
    monkeypatch.setattr(spellings, "ADDED", {("trainer", "speed"): None})
    monkeypatch.setattr(spellings, "MOVED", {"data.address": "ray.address"})


STORED = {
    "fresh": {"every": 2, "circuits": 90},
    "model": {"name": "rnn", "output": "correction"},
    "trainings": {"one": {"model": {"output": "prediction"}, "loss": {"name": "old"}}},
    "trainer": {"max_epochs": 3},
    "output": "old",
}
PRESENT = {
    "later": {"period": 2, "circuits": 90},
    "model": {"name": "rnn", "top": "correction"},
    "trainings": {"one": {"model": {"top": "prediction"}, "loss": {"name": "new"}}},
    "trainer": {"max_epochs": 3, "speed": None},
    "output": "old",
}


@pytest.mark.usefixtures("_later")
def test_a_stored_config_is_read_and_its_stable_form_is_what_it_was() -> None:
    assert spellings.current_form(STORED) == PRESENT
    assert spellings.stable_form(PRESENT) == STORED
    assert spellings.current_form(PRESENT) == PRESENT


@pytest.mark.usefixtures("_later")
def test_a_key_that_was_added_counts_only_where_it_changes_something() -> None:
    fast = {"trainer": {"max_epochs": 3, "speed": 2}}
    assert spellings.stable_form(fast) == fast


@pytest.mark.usefixtures("_later")
@pytest.mark.parametrize(
    ("typed", "present"),
    [
        ("fresh.every=2", "later.period=2"),
        ("+fresh.every=2", "+later.period=2"),
        ("fresh=worlds", "later=worlds"),
        ("~fresh", "~later"),
        ("model.output=correction", "model.top=correction"),
        ("data.address=auto", "ray.address=auto"),
        ("loss=old", "loss=new"),
        ("loss=kl,old", "loss=kl,new"),
        ("loss.name=old", "loss.name=new"),
        ("family@dataset.family=qaoa", "dataset/family=qaoa"),
        ("later.period=2", None),
        ("loss=kl", None),
        ("output=old", None),
    ],
)
def test_an_old_spelling_is_answered_with_the_new_one(typed: str, present: str | None) -> None:
    expected = None if present is None else f"{typed} is now {present}."
    assert spellings.spelling_sentence(typed) == expected


#: A run's config of before all renames, in parts.
BEFORE = {
    "model": {"name": "rnn", "output": "correction"},
    "loss": {"name": "improved"},
    "fresh": {"every": 2, "redraw": "noise", "noise": "worlds"},
    "dataset": {"executor": "ptm"},
}


def test_a_config_of_before_all_renames_is_read_and_hashed_as_it_was() -> None:
    now = spellings.current_form(BEFORE)
    assert now["model"]["head"] == "correction"
    assert now["loss"]["name"] == "not_improved"
    assert now["online"] == {"epochs_per_draw": 2, "resample": "noise", "noise": "randomized"}
    assert now["dataset"]["simulator"] == "ptm"
    assert now["train_circuits"] is None
    assert spellings.stable_form(now) == BEFORE


@pytest.mark.parametrize(
    ("typed", "present"),
    [
        ("fresh=worlds", "online=randomized"),
        ("fresh.every=3", "online.epochs_per_draw=3"),
        ("fresh.noise=worlds", "online.noise=randomized"),
        ("model.output=prediction", "model.head=prediction"),
        ("loss=improved", "loss=not_improved"),
        ("dataset.executor=aer", "dataset.simulator=aer"),
        ("data.ray_address=auto", "ray.address=auto"),
        ("tune.address=local", "ray.address=local"),
        ("trainings.rnn.model.output=correction", "trainings.rnn.model.head=correction"),
        ("noise@dataset.noise=aer", "dataset/noise=aer"),
    ],
)
def test_every_old_spelling_has_its_answer(typed: str, present: str) -> None:
    assert spellings.spelling_sentence(typed) == f"{typed} is now {present}."
