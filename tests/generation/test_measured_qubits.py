"""Datasets whose circuits measure some of their qubits."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from qmend.circuits.families import FAMILIES
from qmend.config.spellings import stable_form
from qmend.datasets.card import CARD
from qmend.datasets.config import DatasetConfig
from qmend.datasets.table import Dataset
from qmend.generation.generate import generate
from qmend.generation.job import draw_job
from qmend.generation.setup import generation_setup
from qmend.generation.verify import verify_dataset
from qmend.simulation.sampling import STEPS
from qmend.types import QmendError


def test_each_is_the_marginal_of_the_same_circuit_read_out_whole(tiny, partly_measured):
    """Gates, labels and exact noise; by sums over bits of the stored indices."""
    whole = {i: k for k, i in enumerate(tiny.rows.circuits.instructions.circuit_ids())}
    found = set()
    for group in partly_measured.groups:
        rows = [whole[i] for i in group.circuits.instructions.circuit_ids()]
        found.update(rows)
        for name in ("ideal", "noisy_exact"):
            for k, row in enumerate(rows):
                all_bits = getattr(tiny.rows, name)[row].reshape((2,) * 5)
                unseen = set(range(5)) - set(group.circuits.measured[k].tolist())
                marginal = all_bits.sum(axis=tuple(4 - q for q in unseen)).reshape(-1)
                np.testing.assert_allclose(getattr(group, name)[k], marginal, atol=32 / STEPS)
    assert len(found) == len(tiny)
    assert [g.circuits.n_measured for g in partly_measured.groups] == [2, 3, 4, 5]
    # A qubit is measured as often as any other, in any place.
    assert {tuple(m) for g in partly_measured.groups for m in g.circuits.positions.tolist()} > {
        (0, 1, 2, 3, 4)
    }


def test_shots_fit_the_marginals_and_labels_are_proven(partly_measured):
    checked = verify_dataset(partly_measured.folder)
    assert checked.rows == len(partly_measured) == 96
    assert checked.difference_to_aer is not None
    assert checked.simulated >= 20


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_can_be_drawn_with_unmeasured_qubits(family, device_config):
    config = DatasetConfig(
        name="x",
        family={"name": family},
        circuits=12,
        job_size=4,
        shots=100,
        seed=1,
        measured_qubits=(1, 4),
    )
    setup = generation_setup(config, device_config)
    for job in range(3):
        drawn = draw_job(setup, job, {})  # proves the labels
        m = drawn.measured.shape[1]
        assert 1 <= m <= 4
        assert drawn.ideal.shape == (4, 2**m)
        assert len(set(drawn.circuit_ids)) > 1


def test_equal_circuits_are_redrawn_whatever_they_measure(
    tiny_config, device_config, tmp_path, monkeypatch
):
    """Circuits without a gadget are all the same one."""
    family = tiny_config.family.model_copy(update={"gadgets_min": 0, "gadgets_max": 0})
    changes = {"family": family, "circuits": 3, "job_size": 1, "measured_qubits": (1, 4)}
    config = tiny_config.model_copy(update=changes)
    setup = generation_setup(config, device_config)
    assert len({draw_job(setup, job, {}).circuit_ids[0] for job in range(3)}) > 1
    monkeypatch.setattr("qmend.generation.generate.MAX_REDRAWS", 2)
    with pytest.raises(QmendError, match="too few different circuits"):
        generate(config, device_config, tmp_path / "x")


def test_the_card_says_how_many_are_measured(partly_measured):
    card = (partly_measured.folder / CARD).read_text()
    assert "- measured qubits: 2 to 5 of each circuit, drawn for each job\n" in card


def test_the_hash_of_a_config_that_measures_all_is_as_before():
    config = DatasetConfig(name="x", family={"name": "pauli"}, circuits=12, job_size=4, seed=1)
    assert "measured_qubits" not in stable_form(config.model_dump(), "dataset")
    some = config.model_copy(update={"measured_qubits": (5, 5)})
    assert "measured_qubits" in stable_form(some.model_dump(), "dataset")


@pytest.mark.parametrize("bad", [(0, 3), (3, 2), (2, 6)])
def test_numbers_of_measured_qubits_that_can_not_be_are_refused(bad):
    with pytest.raises(ValidationError, match="1 <= least <= most <= 5"):
        DatasetConfig(
            name="x", family={"name": "pauli"}, circuits=12, job_size=4, measured_qubits=bad
        )


def test_a_shorter_training_split_has_the_first_jobs_of_all_sizes(partly_measured: Dataset):
    short = partly_measured.shortened(30)
    assert (short.split == "train").sum() == 30
    assert len(short) == len(partly_measured) - (partly_measured.split == "train").sum() + 30

    def jobs(data: Dataset) -> list[int]:
        parts = data.parts("train")
        return np.unique(np.concatenate([part.job for part in parts])).tolist()

    assert jobs(short) == jobs(partly_measured)[: len(jobs(short))]

    fewer = partly_measured.shortened(None, 5)
    assert (fewer.split == "val").sum() == 5
    assert (fewer.split == "train").sum() == (partly_measured.split == "train").sum()
    with pytest.raises(QmendError, match="val_circuits=1,000 is more than"):
        partly_measured.shortened(30, 1000)
