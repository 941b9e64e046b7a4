"""Expectation values of single qubits as rows of one measured bit."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from qmend.datasets.manifest import read_manifest
from qmend.datasets.marginals import marginal_rows
from qmend.datasets.stored_rows import read_rows

TROTTER = Path(__file__).parents[2] / "data" / "algiers_trotter"


def test_circuits_may_measure_different_numbers_of_bits() -> None:
    """Without the last bit of the second of three circuits its row is missing, and no other."""
    table = read_rows(TROTTER, read_manifest(TROTTER).shards).slice(0, 3)
    whole = marginal_rows(table).to_pylist()
    stored = table.to_pylist()
    for name in ("values", "ideal_values", "measured"):
        stored[1][name] = stored[1][name][:3]
    stored[1]["observables"] = ["IIZ", "IZI", "ZII"]
    shortened = marginal_rows(pa.Table.from_pylist(stored, schema=table.schema)).to_pylist()
    assert len(whole) == 12
    assert shortened == whole[:7] + whole[8:]
