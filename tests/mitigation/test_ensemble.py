"""The average of trained networks; what every mitigator must do is in ``test_common.py``."""

from __future__ import annotations

import numpy as np
import pytest

from qmend import metrics
from qmend.encodings import ENCODINGS
from qmend.mitigation.ensemble import Ensemble
from qmend.mitigation.learned import LearnedMitigator
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.train import train
from qmend.types import QmendError


@pytest.fixture(scope="module")
def members(tiny) -> list[LearnedMitigator]:
    """Three seeds of one network, each with errors of its own."""
    configs = [
        TrainingConfig(
            model={"name": "blind_mlp", "width": 16},
            loss={"name": "l1"},
            optimizer={"lr": 1e-2},
            trainer={"max_epochs": 8, "batch_size": 16, "threads": 1},
            seed=seed,
        )
        for seed in range(3)
    ]
    return [LearnedMitigator(train(c, encode(c, tiny)).model) for c in configs]


def test_it_is_the_mean_and_costs_the_sum(tiny, members):
    circuits = tiny.part("test").circuits
    each = [member.mitigate(circuits) for member in members]
    ensemble = Ensemble(members)
    np.testing.assert_allclose(ensemble.mitigate(circuits), sum(each) / 3, atol=1e-15)
    assert np.abs(each[0] - each[1]).max() > 1e-3
    assert ensemble.parameters == 3 * members[0].parameters


def test_no_circuit_is_further_off_than_its_members_are_on_average(tiny, members):
    """The L1 distance is convex; some circuits gain."""
    test = tiny.part("test")
    each = np.array([metrics.l1(m.mitigate(test.circuits), test.ideal) for m in members])
    together = metrics.l1(Ensemble(members).mitigate(test.circuits), test.ideal)
    assert (together <= each.mean(axis=0) + 1e-12).all()
    assert (together < each.mean(axis=0) - 1e-4).any()


def untrained(n_qubits: int, tiny) -> LearnedMitigator:
    config = model_config({"name": "blind_mlp", "width": 4})
    dimensions = Dimensions(n_qubits=n_qubits, token=1, context=1)
    encoding = ENCODINGS["token"]().fit(tiny.part("train").circuits)
    network = build_model(config, dimensions)
    return LearnedMitigator(TrainedModel(network, config, dimensions, encoding))


def test_members_of_different_sizes_are_refused(tiny):
    with pytest.raises(QmendError, match="one number of qubits, not 4 and 5; choose"):
        Ensemble([untrained(5, tiny), untrained(4, tiny)])


def test_one_alone_is_no_ensemble(tiny):
    with pytest.raises(QmendError, match="at least two trained models, not 1"):
        Ensemble([untrained(5, tiny)])
