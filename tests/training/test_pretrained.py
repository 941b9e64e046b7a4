"""The network that the package ships: found by its name, with its guard and its provenance."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit

import qmend
from qmend.files import file_sha256
from qmend.mitigation.guard import Guard
from qmend.runs.evaluation import check_unseen
from qmend.runs.fine_tuning import replay_source
from qmend.runs.networks import load_networks
from qmend.tracking.store import Store
from qmend.training.checkpoint import (
    PRETRAINED,
    PRETRAINED_FOLDER,
    WEIGHTS,
    checkpoint_folder,
    load_checkpoint,
    resolve_checkpoint,
)
from qmend.types import QmendError

LARGEST = 5_000_000  # bytes


def test_it_mitigates_counts_with_its_guard():
    ghz = QuantumCircuit(3)
    ghz.h(0)
    ghz.cx(0, 1)
    ghz.cx(1, 2)
    ghz.measure_all()
    mitigator = qmend.load(PRETRAINED)
    assert mitigator.mitigator.abstains
    counts = {"000": 4300, "111": 3900, "001": 500, "011": 600, "110": 400, "010": 300}
    result = mitigator.mitigate(counts, ghz, "FakeAlgiers")
    assert result.probabilities.sum() == pytest.approx(1)
    unchanged = np.allclose(result.probabilities * 10_000, [4300, 500, 300, 600, 0, 0, 400, 3900])
    assert unchanged == bool(result.abstained)


def test_a_run_logs_the_weights_that_it_meant(store: Store):
    name = resolve_checkpoint(store, PRETRAINED)
    assert name == f"pretrained-{file_sha256(PRETRAINED_FOLDER / WEIGHTS)[:12]}"
    assert checkpoint_folder(store, name) == checkpoint_folder(store, PRETRAINED)
    with pytest.raises(QmendError, match="another version of this package"):
        checkpoint_folder(store, "pretrained-000000000000")


def test_it_is_a_network_with_a_guard_of_its_own(store: Store):
    (network,) = load_networks(store, [PRETRAINED])
    assert network.model.network.any_size
    assert network.guard is not None
    assert network.guard.plain() == Guard.beside(PRETRAINED_FOLDER / WEIGHTS).plain()
    assert sum(file.stat().st_size for file in PRETRAINED_FOLDER.iterdir()) < LARGEST


def test_its_training_data_are_known_and_can_be_replayed(store: Store):
    model, provenance = load_checkpoint(PRETRAINED_FOLDER)
    assert provenance["dataset"] == "worlds"
    assert len(provenance["run_id"]) == 32
    with pytest.raises(QmendError, match="scored_split"):
        check_unseen(model, provenance, provenance["recipe"], "train")
    source = replay_source(store, provenance, 30, 0)
    assert source.circuits.dataset.name == "worlds"


def test_its_card_names_run_promise_and_licence():
    _, provenance = load_checkpoint(PRETRAINED_FOLDER)
    card = (PRETRAINED_FOLDER / "README.md").read_text()
    promise = Guard.beside(PRETRAINED_FOLDER / WEIGHTS).sentence
    for part in (provenance["run_id"], promise, "Apache-2.0"):
        assert part in card
