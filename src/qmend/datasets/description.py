"""Describe the rows of any dataset, read from Arrow columns.

Register sizes may differ, rows may be sparse or measure some qubits only, and calibrations may be
missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qmend.datasets.manifest import CALIBRATIONS, FileEntry, Manifest
from qmend.datasets.schema import REFERENCE, read_calibrations
from qmend.devices.calibration import Calibration
from qmend.types import SPLITS, AnyArray, FloatArray, IntArray, QmendError

#: What every table of circuits has; shards without them hold something else.
_FACTS = (
    "family",
    "device",
    "source",
    "circuit_stage",
    "n_qubits",
    "layout",
    "calibration_id",
    "job_id",
    "split",
    "depth",
    "n_two_qubit",
    "shots",
    "executed_at",
)
_DISTRIBUTIONS = ("measured", "outcomes", "counts", "ideal")
QUANTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Description:
    """The small columns of all circuits of a dataset, and its snapshots.

    Attributes:
        table: one row a circuit, in order.
        calibrations: calibration_id -> snapshot.
        size_bytes: of all files that the manifest names.
        others: files of the manifest that hold no circuits.
    """

    folder: Path
    manifest: Manifest
    table: pa.Table
    calibrations: dict[str, Calibration]
    size_bytes: int
    others: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def counts(self, column: str) -> dict[object, int]:
        """Value -> rows, the most frequent first; null as None."""
        by_value: Counter[object] = Counter(
            {v["values"]: v["counts"] for v in pc.value_counts(self.table[column]).to_pylist()}
        )
        return dict(sorted(by_value.items(), key=lambda item: (-item[1], str(item[0]))))

    @property
    def splits(self) -> dict[str, int]:
        """Split -> rows, in the order train, val, test."""
        by_split = self.counts("split")
        return {name: by_split[name] for name in (*SPLITS, REFERENCE) if name in by_split}

    @property
    def sizes(self) -> dict[str, int]:
        """Register size -> rows, the smallest first."""
        n_qubits, rows = np.unique(self.column("n_qubits"), return_counts=True)
        return dict(zip(map(str, n_qubits.tolist()), rows.tolist(), strict=True))

    @property
    def jobs(self) -> int:
        return int(pc.count_distinct(self.table["job_id"]).as_py())

    def column(self, name: str) -> IntArray:
        """(N,) a column of whole numbers."""
        return np.asarray(self.table[name]).astype(np.int64)

    @cached_property
    def chains(self) -> dict[tuple[str | None, tuple[int, ...]], int]:
        """(calibration_id, layout) -> rows."""
        layouts = self.table["layout"].to_pylist()
        names = self.table["calibration_id"].to_pylist()
        return dict(Counter((name, tuple(x or ())) for name, x in zip(names, layouts, strict=True)))

    @cached_property
    def groups(self) -> list[tuple[str, IntArray]]:
        """Label and rows of each kind of circuit, the largest first.

        Circuits of one kind agree in family, device and register size; a label names those of
        the three in which kinds differ.
        """
        columns = [self.table[name].to_pylist() for name in ("family", "device", "n_qubits")]
        keys = list(zip(*columns, strict=True))
        differing = [k for k in range(3) if len(set(columns[k])) > 1]
        members: dict[tuple[object, ...], list[int]] = {}
        for row, key in enumerate(keys):
            members.setdefault(key, []).append(row)
        ordered = sorted(members.items(), key=lambda item: (-len(item[1]), str(item[0])))
        return [
            (
                ", ".join(f"{key[k]} qubits" if k == 2 else str(key[k]) for k in differing)
                or "all circuits",
                np.array(rows, dtype=np.int64),
            )
            for key, rows in ordered
        ]


@dataclass(frozen=True)
class Distances:
    """Total variation distances of every circuit; NaN where a distribution is missing.

    Attributes:
        signal: (N,) of the ideal distribution from the uniform one: 0 for a circuit that shows
            nothing, towards 1 for a single outcome.
        noise: (N,) of the measured frequencies from the ideal distribution, shot noise included.
    """

    signal: FloatArray
    noise: FloatArray


def describe(folder: Path, manifest: Manifest) -> Description:
    """Read the small columns of a dataset, whose files should have been checked.

    Raises:
        QmendError: if a file can't be read or none holds circuits.
    """
    shards = _shards(folder, manifest)
    if not shards:
        raise QmendError(
            f"{folder} has no table of circuits with distributions; choose another dataset."
        )
    tables = [pq.read_table(folder / s.file, columns=list(_FACTS)) for s in shards]
    return Description(
        folder=folder,
        manifest=manifest,
        table=pa.concat_tables([t.replace_schema_metadata(None) for t in tables]),
        calibrations=read_calibrations(pq.read_table(folder / CALIBRATIONS)),
        size_bytes=sum(
            (folder / e.file).stat().st_size for e in [*manifest.shards, manifest.calibrations]
        ),
        others=tuple(e.file for e in manifest.shards if e not in shards),
    )


def distances(folder: Path, manifest: Manifest) -> Distances:
    """Signal and noise of every circuit, one shard in memory at a time."""
    signal, noise = [], []
    for entry in _shards(folder, manifest):
        table = pq.read_table(folder / entry.file, columns=list(_DISTRIBUTIONS))
        bits = np.asarray(pc.list_value_length(table["measured"])).astype(np.int64)
        ideal, ideal_row = _flat(table["ideal"])
        counts, counts_row = _flat(table["counts"])
        shots = np.bincount(counts_row, counts, len(table))
        has_ideal = np.asarray(pc.is_valid(table["ideal"]))
        has_counts = np.asarray(pc.is_valid(table["counts"]))
        share = 2.0**-bits  # of each outcome in the uniform distribution
        listed = np.bincount(ideal_row, minlength=len(table))
        off = np.bincount(ideal_row, np.abs(ideal - share[ideal_row]), len(table))
        signal.append(np.where(has_ideal, 0.5 * (off + 1.0 - listed * share), np.nan))
        same = listed == np.bincount(counts_row, minlength=len(table))
        both = has_ideal & has_counts & same & (shots > 0)
        at = both[counts_row]
        difference = np.abs(counts[at] / shots[counts_row[at]] - ideal[both[ideal_row]])
        total = np.bincount(counts_row[at], difference, len(table))
        noise.append(np.where(both, 0.5 * total, np.nan))
    return Distances(np.concatenate(signal), np.concatenate(noise))


def quantiles(values: AnyArray) -> FloatArray | None:
    """Take the :data:`QUANTILES` (per cent) of all values but NaN; None without values."""
    finite = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return np.percentile(finite, QUANTILES) if len(finite) else None


def read_circuits(folder: Path, manifest: Manifest, rows: Sequence[int]) -> list[dict[str, object]]:
    """Whole rows by their number among the circuits of a dataset."""
    rows_by_number: dict[int, dict[str, object]] = {}
    start = 0
    for entry in _shards(folder, manifest):
        here = [row for row in rows if start <= row < start + entry.rows]
        if here:
            table = pq.read_table(folder / entry.file)
            for row in here:
                rows_by_number[row] = table.slice(row - start, 1).to_pylist()[0]
        start += entry.rows
    return [rows_by_number[row] for row in rows]


def _shards(folder: Path, manifest: Manifest) -> list[FileEntry]:
    """The files with circuits and their distributions."""
    wanted = {*_FACTS, *_DISTRIBUTIONS}
    entries = []
    for entry in manifest.shards:
        path = folder / entry.file
        try:
            if wanted <= set(pq.read_schema(path).names):
                entries.append(entry)
        except (OSError, pa.ArrowInvalid) as error:
            raise QmendError(f"{path} can't be read ({error}); generate it again.") from None
    return entries


def _flat(column: pa.ChunkedArray) -> tuple[FloatArray, IntArray]:
    """Values of all lists, and the row of each; a null list has none."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    values = np.asarray(pc.list_flatten(column)).astype(np.float64)
    return values, np.repeat(np.arange(len(lengths)), lengths)
