"""The journal decides everything: what is proposed and pruned next follows from it alone."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qmend.tuning.config import AshaConfig
from qmend.tuning.journal import JOURNAL, Journal, Report
from qmend.tuning.proposals import propose
from qmend.tuning.ray_trials import JournalledAsha
from qmend.tuning.space import SearchSpace, base_values
from qmend.types import QmendError

BASE: dict[str, Any] = {
    "model": {"width": 64, "depth": 1, "dropout": 0.0},
    "loss": {"name": "l1"},
    "optimizer": {"lr": 1e-3},
}
SPACE = SearchSpace.parse(
    {
        "model": {
            "width": {"type": "int", "low": 8, "high": 128, "log": True},
            "depth": {"type": "int", "low": 1, "high": 3},
            "dropout": {
                "type": "float",
                "low": 0.0,
                "high": 0.3,
                "condition": {"model.depth": [2, 3]},
            },
        },
        "loss": {"type": "categorical", "choices": ["l1", "kl"]},
        "optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    },
    BASE,
)
EPOCHS = 9


def value_of(values: dict[str, Any], epoch: int) -> float:
    """A bowl in the logarithm of the learning rate, deeper with epochs; no number at its rim."""
    distance = abs(math.log10(values["optimizer.lr"]) + 3)
    return math.inf if distance > 1.9 else distance + 0.1 * values["model.depth"] - 0.02 * epoch


def asha(journal: Journal) -> JournalledAsha:
    """The scheduler as a search would start it on what is journalled."""
    options = AshaConfig(grace_period=1, reduction_factor=3)
    search: Any = SimpleNamespace(journal=journal, options=SimpleNamespace(asha=options))
    return JournalledAsha(search, EPOCHS)


def run(journal: Journal, trials: int) -> None:
    """A search by hand, two trials at a time, from wherever the journal stands."""
    scheduler = asha(journal)
    while True:
        running = [t for t in journal.trials if t.outcome is None]
        while len(running) < 2 and len(journal.trials) < trials:
            values = propose(SPACE, base_values(BASE), journal.trials, 0)
            running.append(journal.trial("tpe", values))
        if not running:
            return
        # The one that is behind is next: decided by the journal, as everything here.
        trial = min(running, key=lambda t: (t.epochs, t.number))
        if trial.stopped:
            journal.end(trial.number, "pruned", 1.0)
        elif trial.epochs == EPOCHS:
            failed = not math.isfinite(trial.best)
            journal.end(trial.number, "failed" if failed else "finished", 1.0)
        else:
            epoch = trial.epochs + 1
            value = value_of(trial.values, epoch)
            stop = scheduler._verdict(trial.number, epoch, min(trial.best, value))
            journal.report(trial.number, Report(epoch, value, 0.1 * epoch, stop))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a search of 30 trials that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run(Journal(folder), 30)
    return folder


def lines(folder: Path) -> list[str]:
    return (folder / JOURNAL).read_text().splitlines()


def test_the_search_finds_the_bowl_and_prunes(whole: Path) -> None:
    journal = Journal(whole)
    outcomes = [t.outcome for t in journal.trials]
    assert len(outcomes) == 30
    assert outcomes.count("pruned") > 10
    assert outcomes.count("finished") > 2
    best = min(journal.trials, key=lambda t: t.best)
    assert abs(math.log10(best.values["optimizer.lr"]) + 3) < 0.3
    # Proposals after the random ones are nearer to the bottom.
    far = [abs(math.log10(t.values["optimizer.lr"]) + 3) for t in journal.trials]
    assert np.median(far[15:]) < np.median(far[:10])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.5, 0.71, 0.9, 1.0])
def test_after_any_prefix_the_search_goes_on_as_if_nothing_had_been(
    whole: Path, tmp_path: Path, share: float
) -> None:
    """Proposals, verdicts and all: the journals are equal byte for byte."""
    expected = lines(whole)
    kept = round(share * len(expected))
    torn = expected[kept][:20] if kept < len(expected) else ""
    (tmp_path / JOURNAL).write_text("".join(f"{line}\n" for line in expected[:kept]) + torn)
    run(Journal(tmp_path), 30)
    assert lines(tmp_path) == expected


def test_more_trials_go_on_with_the_same_search(whole: Path, tmp_path: Path) -> None:
    run(Journal(tmp_path), 12)
    run(Journal(tmp_path), 30)
    proposed = [t.values for t in Journal(tmp_path).trials]
    assert len(proposed) == 30
    # Until the twelfth ended alone, nothing differed from the search that had asked for 30.
    assert proposed[:12] == [t.values for t in Journal(whole).trials][:12]


def test_another_seed_proposes_otherwise() -> None:
    drawn = [propose(SPACE, base_values(BASE), [], seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_no_number_is_journalled_as_null_and_read_as_the_worst(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.trial("tpe", {"optimizer.lr": 0.1})
    journal.report(0, Report(1, math.inf, 0.5, False))
    assert json.loads(lines(tmp_path)[1])["value"] is None
    assert Journal(tmp_path).trials[0].best == math.inf


def test_a_damaged_journal_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(whole / JOURNAL, tmp_path))
    path.write_text(path.read_text().replace('"number": 3', '"nubmer": 3', 1))
    with pytest.raises(QmendError, match=r"Line \d+ of .*journal.jsonl is damaged"):
        Journal(tmp_path)
