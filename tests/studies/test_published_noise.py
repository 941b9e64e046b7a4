"""The study of the published hardware statistics."""

import math
from pathlib import Path

import numpy as np
import pytest

from qmend.studies import compose_study
from qmend.studies.published_noise import Statistics, run
from qmend.studies.strength_fit import deviation, fit_value, statistics
from qmend.tracking.store import artifact_folder, open_store
from qmend.types import QmendError
from qmend.workflows.observer import Observer

PUBLISHED = Statistics(tv=0.529, hellinger=0.519, rmse=0.0612)


def study(folder: Path, *overrides: str):
    few = [
        "dataset=tiny",
        "dataset.circuits=1500",
        "dataset/noise=surrogate_hardware",
        "fit_jobs=8",
    ]
    few += [
        "trainer=tiny",
        "model.width=8",
        "trainer.max_epochs=1",
        "trainer.threads=1",
        "~hypotheses",
    ]
    few += [f"data.root={folder}", "data.workers=1", f"tracking.root={folder}/mlruns"]
    return compose_study("published_noise", [*few, *overrides])


def test_statistics_of_known_distributions():
    ideal = np.array([[1.0, 0.0, 0.0, 0.0]] * 2)
    noisy = np.array([[0.5, 0.5, 0.0, 0.0]] * 2)
    ours = statistics(ideal, noisy, np.array([[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0]]))
    assert ours.tv == pytest.approx(0.5)
    assert ours.rmse == pytest.approx((math.sqrt(0.125) / 2 + math.sqrt(1.125) / 2) / 2)
    assert ours.improved_pct == 50.0


def test_deviation_is_relative():
    assert deviation(PUBLISHED, PUBLISHED) == 0
    off = Statistics(tv=0.529 * 1.1, hellinger=0.519 * 0.9, rmse=0.0612)
    assert deviation(off, PUBLISHED) == pytest.approx(math.sqrt(0.02 / 3))


@pytest.mark.parametrize("permuted", [False, True])
def test_a_known_strength_is_ours_again(tmp_path, permuted):
    """Statistics of data of strength 3, fitted: strength 3, and no deviation left."""
    one = f"+hypotheses.one={{gadgets:exact,permuted:{permuted},value:3.0}}"
    config = study(tmp_path, one)
    result = run(config, Observer())
    assert result.failure is None
    published, row = ([cell.text for cell in row.cells] for row in result.tables[0].rows)
    assert published[:3] == ["published", "", "0.529"]
    assert row[:2] == ["one", "3.00"]
    store = open_store(tmp_path / "mlruns")
    (trained,) = store.runs("tags.kind = 'train'")
    assert trained.info.status == "FINISHED"
    assert "hypothesis" in (artifact_folder(trained) / "config.yaml").read_text()

    # The target is of the test jobs, the fit of other circuits: equal but for their scatter.
    tv, hellinger, rmse = map(float, row[2:5])
    target = Statistics(tv=tv, hellinger=hellinger, rmse=rmse)
    dataset = config.simulated.model_copy(update={"name": "again"})
    value = fit_value(target, dataset, config.device, config.hypotheses["one"], 8, 20.0)
    assert value == pytest.approx(3, rel=0.4)

    again = run(config, Observer())
    assert again.run_id == result.run_id
    assert again.tables == result.tables
    assert len(store.runs("tags.kind = 'train'")) == 1


def test_only_the_surrogate_has_a_strength(tmp_path):
    config = study(tmp_path, "dataset/noise=aer", "+hypotheses.one={gadgets:exact}")
    with pytest.raises(QmendError, match=r"dataset/noise=surrogate_hardware"):
        run(config, Observer())
