"""Verify an imported dataset: hashes, labels, counts, splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.manifest import CALIBRATIONS, check_files, read_manifest
from qmend.datasets.schema import instruction_table, read_calibrations
from qmend.datasets.stored_rows import EXPECTATIONS, read_rows
from qmend.importing.proof import (
    TOLERANCE,
    chain_probabilities,
    marginal,
    parities,
    z_mask,
)
from qmend.simulation.sampling import round_distributions
from qmend.types import FloatArray, QmendError


@dataclass(frozen=True)
class ImportVerification:
    """Result of :func:`verify_imported`.

    Attributes:
        rows: whose labels were proven: all.
        difference: largest, between a stored ideal value and that of the instructions.
        by: ``job`` if no job is in two splits, else ``circuit``.
    """

    rows: int
    difference: float
    by: str


def verify_imported(folder: Path) -> ImportVerification:
    """Check every row of an imported dataset.

    Every file matches its hash; the stored ideal values follow from the stored instructions;
    every ``circuit_id`` is theirs; counts are not negative and add up to the shots; every
    calibration is there and fits its layout; no circuit, before compilation or after, is in
    two splits.

    Raises:
        QmendError: naming the first thing that is wrong.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    if manifest.origin != "imported":
        raise QmendError(f"{folder} was not imported; verify it with the config it is made by.")
    table = read_rows(folder, manifest.shards)
    calibrations = read_calibrations(pq.read_table(folder / CALIBRATIONS))
    expectations = any(entry.file.startswith(EXPECTATIONS) for entry in manifest.shards)
    largest = 0.0
    sizes = np.asarray(table["n_qubits"]).astype(np.int64)
    for size in sorted(set(sizes.tolist())):
        at = np.flatnonzero(sizes == size)
        part = table.take(pa.array(at))
        circuits = instruction_table(part["instructions"], size)
        rows = part.drop_columns(["instructions"]).to_pylist()
        for k, (row, chain) in enumerate(zip(rows, chain_probabilities(circuits), strict=True)):
            where = f"{folder}: row {at[k]} ({json.loads(row['family_params'])['record']})"
            (own,) = circuits.select(np.array([k])).circuit_ids(np.array([row["measured"]]))
            if own != row["circuit_id"]:
                raise QmendError(f"{where}: its circuit_id is not the hash of its instructions.")
            if len(row["layout"]) != size or len(set(row["measured"])) != len(row["measured"]):
                raise QmendError(f"{where}: layout or measured bits do not fit {size} qubits.")
            if row["calibration_id"] is not None:
                if row["calibration_id"] not in calibrations:
                    raise QmendError(f"{where}: its calibration is not in {CALIBRATIONS}.")
                calibrations[row["calibration_id"]].restrict(row["layout"])
            ideal = round_distributions(marginal(chain, row["measured"])[None])[0]
            off = _off_values(row, ideal) if expectations else _off_counts(row, ideal, where)
            if not off <= TOLERANCE:
                raise QmendError(
                    f"{where}: its ideal values are not those of its instructions (they differ "
                    f"by {off:.2g})."
                )
            largest = max(largest, off)
    by = manifest.recipe["imported"]["split"]["by"]
    _check_splits(folder, table, by)
    return ImportVerification(table.num_rows, largest, by)


def _off_values(row: dict[str, Any], ideal: FloatArray) -> float:
    expectations = parities(ideal, [z_mask(label) for label in row["observables"]])
    return float(np.abs(expectations - np.array(row["ideal_values"])).max())


def _off_counts(row: dict[str, Any], ideal: FloatArray, where: str) -> float:
    counts, outcomes = np.array(row["counts"]), row["outcomes"]
    seen = ideal if outcomes is None else ideal[outcomes]
    if not len(counts) == len(row["ideal"]) == len(seen):
        raise QmendError(f"{where}: its counts are not one for each outcome.")
    if (counts < 0).any() or counts.sum() != row["shots"]:
        raise QmendError(f"{where}: its counts do not add up to its shots.")
    return float(np.abs(seen - np.array(row["ideal"])).max())


def _check_splits(folder: Path, table: pa.Table, by: str) -> None:
    splits = table["split"].to_pylist()
    sources = [json.loads(text)["circuit"] for text in table["family_params"].to_pylist()]
    named = {"source circuit": sources, "circuit": table["circuit_id"].to_pylist()}
    if by == "job":
        named["job"] = table["job_id"].to_pylist()
    for what, names in named.items():
        if len(set(zip(names, splits, strict=True))) != len(set(names)):
            raise QmendError(f"{folder}: a {what} is in two splits; import the data again.")
