"""Figures of a dataset against a row-by-row computation from its plain values."""

import json

import numpy as np
import pytest

from mixed_dataset import KINDS, drifting, mixed_rows, write_mixed
from qmend.datasets.description import QUANTILES, describe, distances, quantiles, read_circuits
from qmend.datasets.manifest import read_manifest
from qmend.datasets.table import load_dataset
from qmend.metrics import total_variation
from qmend.types import QmendError
from reference import stored_rows


@pytest.fixture(scope="module")
def mixed(algiers, tmp_path_factory):
    """(folder, manifest, rows as plain values) of a heterogeneous dataset."""
    snapshots = drifting(algiers.calibration, 4)
    rows = mixed_rows(snapshots)
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    return folder, write_mixed(folder, rows, snapshots), rows


def dense(row: dict, column: str) -> np.ndarray:
    """A distribution over all outcomes of the measured bits."""
    values = np.zeros(2 ** len(row["measured"]))
    at = range(len(row[column])) if row["outcomes"] is None else row["outcomes"]
    values[list(at)] = row[column]
    return values / values.sum()


def test_signal_and_noise_of_rows_of_every_kind(mixed):
    """Sparse rows are spread out over all their 2^14 outcomes here."""
    folder, manifest, rows = mixed
    found = distances(folder, manifest)
    for k, row in enumerate(rows):
        ideal, counts = dense(row, "ideal"), dense(row, "counts")
        uniform = np.full(len(ideal), 1 / len(ideal))
        assert found.signal[k] == pytest.approx(np.abs(ideal - uniform).sum() / 2, abs=1e-12)
        assert found.noise[k] == pytest.approx(np.abs(ideal - counts).sum() / 2, abs=1e-12)


def test_noise_is_the_total_variation_of_what_models_are_given(tiny_folder):
    data = load_dataset(tiny_folder)
    expected = total_variation(data.rows.ideal, data.rows.circuits.noisy)
    found = distances(tiny_folder, data.manifest)
    np.testing.assert_allclose(found.noise, expected, atol=1e-12)
    assert found.signal.max() <= 1 - 1 / 32 + 1e-12


def test_a_missing_distribution_is_nan_and_no_other_row_moves(mixed, tmp_path, algiers):
    _, _, rows = mixed
    holes = [dict(row) for row in rows]
    holes[3]["ideal"] = None
    holes[50]["counts"] = None
    snapshots = drifting(algiers.calibration, 4)
    manifest = write_mixed(tmp_path / "holes", holes, snapshots)
    found, whole = distances(tmp_path / "holes", manifest), distances(*mixed[:2])
    assert np.flatnonzero(np.isnan(found.signal)).tolist() == [3]
    assert np.flatnonzero(np.isnan(found.noise)).tolist() == [3, 50]
    kept = ~np.isnan(found.noise)
    np.testing.assert_array_equal(found.noise[kept], whole.noise[kept])


def test_what_the_rows_are(mixed):
    folder, manifest, rows = mixed
    found = describe(folder, manifest)
    assert len(found) == 90
    assert found.others == ("expectations.parquet",)
    assert found.jobs == len({row["job_id"] for row in rows})
    assert found.splits == {"train": 30, "val": 30, "test": 30}
    assert found.sizes == {"3": 30, "4": 30, "14": 30}
    assert found.counts("calibration_id")[None] == 30
    assert sum(found.chains.values()) == 90
    assert sorted(found.calibrations) == sorted(
        {row["calibration_id"] for row in rows if row["calibration_id"]}
    )
    files = [folder / e.file for e in [*manifest.shards, manifest.calibrations]]
    assert found.size_bytes == sum(len(path.read_bytes()) for path in files)


def test_groups_part_the_rows_by_kind(mixed):
    folder, manifest, rows = mixed
    groups = describe(folder, manifest).groups
    assert {label.split(",")[0] for label, _ in groups} == set(KINDS)
    for label, members in groups:
        row = rows[members[0]]
        assert label == f"{row['family']}, {row['device']}, {row['n_qubits']} qubits"
        assert {rows[k]["family"] for k in members} == {row["family"]}
    assert sorted(np.concatenate([m for _, m in groups]).tolist()) == list(range(90))


def test_circuits_are_found_by_number_in_any_order_across_shards(tiny_folder):
    stored = stored_rows(tiny_folder)
    wanted = [95, 0, 40]
    for row, k in zip(
        read_circuits(tiny_folder, read_manifest(tiny_folder), wanted), wanted, strict=True
    ):
        assert row["circuit_id"] == stored[k]["circuit_id"]
        assert row["instructions"] == stored[k]["instructions"]


def test_quantiles_leave_out_what_is_not_known():
    values = np.array([np.nan, 1.0, 2.0, 3.0, np.nan])
    np.testing.assert_allclose(quantiles(values), np.percentile([1, 2, 3], QUANTILES))
    assert quantiles(values[:1]) is None
    assert quantiles(np.array([4, 5, 6]))[2] == 5


def test_a_folder_without_circuits_is_refused(mixed, tmp_path, algiers):
    manifest = write_mixed(tmp_path / "none", mixed[2], drifting(algiers.calibration, 1))
    alone = manifest.model_copy(update={"shards": manifest.shards[2:]})
    assert json.loads(alone.model_dump_json())["shards"][0]["file"] == "expectations.parquet"
    with pytest.raises(QmendError, match=r"no table of circuits with distributions; choose"):
        describe(tmp_path / "none", alone)
