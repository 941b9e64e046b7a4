"""Data whose labels are in another bit order than their counts."""

from __future__ import annotations

import numpy as np
import pytest

from qmend.datasets.schema import matrix
from qmend.datasets.stored_rows import read_rows
from qmend.datasets.table import Dataset
from qmend.studies.labels import mislabelled, permuted_pct


def test_labels_are_those_stored_and_counts_are_in_chain_order(tiny: Dataset) -> None:
    wrong = mislabelled(tiny).rows
    stored = read_rows(tiny.folder, tiny.manifest.shards)
    np.testing.assert_array_equal(wrong.ideal, matrix(stored["ideal"]))
    assert wrong.circuits is tiny.rows.circuits
    permuted = (wrong.circuits.measured != np.arange(5)).any(axis=1)
    changed = ~np.isclose(wrong.ideal, tiny.rows.ideal).all(axis=1)
    assert (changed <= permuted).all()
    assert changed.mean() > 0.2
    assert permuted_pct(wrong) == pytest.approx(100 * permuted.mean())


def test_mislabelled_data_are_other_data(tiny: Dataset) -> None:
    first, again = mislabelled(tiny).manifest, mislabelled(tiny).manifest
    assert first.dataset_sha == again.dataset_sha != tiny.manifest.dataset_sha
    assert (tiny.manifest.name, first.name) == ("tiny", "tiny_mislabelled")


def test_counts_contradict_them(tiny: Dataset) -> None:
    """Counts of a noisy circuit are nearer its ideal distribution than to one permuted."""
    wrong = mislabelled(tiny).rows
    noisy = wrong.circuits.noisy
    permuted = ~np.isclose(wrong.ideal, tiny.rows.ideal).all(axis=1)
    right_error, wrong_error = (
        np.abs(noisy - ideal).sum(axis=1)[permuted] for ideal in (tiny.rows.ideal, wrong.ideal)
    )
    assert (right_error < wrong_error).mean() > 0.9
