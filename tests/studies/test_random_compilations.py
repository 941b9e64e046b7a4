"""No network is scored on circuits that it was trained on; figures by number of randomizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qmend.datasets.table import Dataset
from qmend.runs.networks import LoadedNetwork
from qmend.studies.twirling import check_unshared, randomizations_table
from qmend.tracking.run import start_run
from qmend.tracking.store import Store
from qmend.types import QmendError


@pytest.fixture(scope="module")
def training(store: Store, tiny: Dataset) -> str:
    """Id of a run that logged the data it was trained on."""
    manifest = tiny.manifest
    tags = {"dataset": manifest.name, "dataset_sha": manifest.dataset_sha}
    with start_run(store, "a training", tags, {}) as run:
        run.dataset(manifest.name, manifest.dataset_sha, str(tiny.folder), "train")
    return run.run_id


def network(**provenance: Any) -> LoadedNetwork:
    return LoadedNetwork(None, provenance, "net")  # type: ignore[arg-type]


def test_a_network_that_was_trained_on_scored_circuits_is_refused(store, tiny, training, tmp_path):
    gates = np.array(tiny.rows.circuits.instructions.circuit_ids())
    test = gates[tiny.split == "test"].tolist()
    seen = gates[np.flatnonzero(tiny.split != "test")[:2]].tolist()
    own, tuned = network(run_id=training), network(run_id="0", ancestors=[{"run_id": training}])
    assert check_unshared(store, [own], test, tmp_path) == []
    for each in (own, tuned):  # what an ancestor saw counts, too
        with pytest.raises(QmendError, match=rf"net was trained on 2 of the {len(test) + 2} "):
            check_unshared(store, [each], [*test, *seen], tmp_path)


def test_a_network_whose_data_are_gone_has_a_note(store, tmp_path):
    (note,) = check_unshared(store, [network(run_id="0", dataset="lost")], ["a"], tmp_path)
    assert "(lost) are not here: only recipes say" in note


def test_the_table_has_a_gap_where_an_evaluation_failed():
    def one(median: float, harmed: float) -> dict[str, Any]:
        return {"l1rc_median": [median] * 3, "harmed_pct": [harmed] * 3, "l1_median": 0.6}

    figures = {"none": {0: one(0, 0), 16: one(0, 0)}, "net": {16: one(-0.9, 0.125)}}
    lines = randomizations_table(figures, "title").markdown().splitlines()
    assert lines[0] == "| mitigator | R = 0 | R = 16 |"
    assert lines[3] == "| net |  | -0.900 / 0.12 |"
