"""The study of the published hardware statistics."""

import math
from pathlib import Path

import numpy as np
import pytest

from qmend.datasets.config import DatasetConfig
from qmend.studies.published_noise import (
    Hypothesis,
    PublishedNoiseConfig,
    Statistics,
    deviation,
    fit_value,
    run_study,
    statistics,
)
from qmend.tracking.run import start_run
from qmend.training.config import TrainingConfig
from qmend.types import QmendError

PUBLISHED = Statistics(tv=0.529, hellinger=0.519, rmse=0.0612)


@pytest.fixture(scope="module")
def surrogate(tiny_config) -> DatasetConfig:
    plain = {**tiny_config.model_dump(), "family": tiny_config.family.model_dump()}
    return DatasetConfig.model_validate({**plain, "noise": {"name": "surrogate_hardware"}})


def study(published: Statistics = PUBLISHED, **hypothesis) -> PublishedNoiseConfig:
    return PublishedNoiseConfig(
        hypotheses={"one": Hypothesis(gadgets="exact", **hypothesis)},
        unmitigated=published,
        blind=published,
        fit_jobs=8,
    )


def test_statistics_of_known_distributions():
    ideal = np.array([[1.0, 0.0, 0.0, 0.0]] * 2)
    noisy = np.array([[0.5, 0.5, 0.0, 0.0]] * 2)
    found = statistics(ideal, noisy, np.array([[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0]]))
    assert found.tv == pytest.approx(0.5)
    assert found.rmse == pytest.approx((math.sqrt(0.125) / 2 + math.sqrt(1.125) / 2) / 2)
    assert found.improved_pct == 50.0


def test_deviation_is_relative():
    assert deviation(PUBLISHED, PUBLISHED) == 0
    off = Statistics(tv=0.529 * 1.1, hellinger=0.519 * 0.9, rmse=0.0612)
    assert deviation(off, PUBLISHED) == pytest.approx(math.sqrt(0.02 / 3))


@pytest.mark.parametrize("permuted", [False, True])
def test_a_known_strength_is_found_again(surrogate, device_config, store, tmp_path, permuted):
    """Statistics of data of strength 3, fitted: strength 3, and no deviation left."""
    config = study(value=3.0, permuted=permuted)
    with start_run(store, "study", {"kind": "study"}, {}) as parent:
        (finding,) = run_study(
            config, surrogate, device_config, short(), store, parent.run_id, {}, tmp_path, 1
        )
    assert finding.value == 3.0
    again = study(finding.unmitigated, permuted=permuted)
    own = surrogate.model_copy(update={"name": "again"})
    # The target is of the test jobs, the fit of other circuits: equal but for their scatter.
    assert fit_value(again, own, device_config, again.hypotheses["one"]) == pytest.approx(
        3, rel=0.4
    )
    runs = store.client.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
    )
    assert [run.info.status for run in runs] == ["FINISHED"]
    logged = store.client.download_artifacts(runs[0].info.run_id, "config.yaml")
    assert "hypothesis" in Path(logged).read_text()


def short():
    return TrainingConfig(
        model={"name": "blind_mlp", "width": 8},
        loss={"name": "kl"},
        optimizer={"lr": 3e-3},
        trainer={"max_epochs": 1, "batch_size": 24, "threads": 1},
    )


def test_only_the_surrogate_has_a_strength(tiny_config, device_config, store, tmp_path):
    with pytest.raises(QmendError, match=r"dataset/noise=surrogate_hardware"):
        list(run_study(study(), tiny_config, device_config, short(), store, "0", {}, tmp_path, 1))
