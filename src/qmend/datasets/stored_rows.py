"""Stored rows of a dataset as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qmend.datasets.manifest import FileEntry, Manifest, check_files, read_manifest
from qmend.datasets.marginals import marginal_rows
from qmend.types import AnyArray, QmendError

#: Name of the shards of a dataset that has expectation values only, before the hyphen.
EXPECTATIONS = "expectations"


def read_rows(folder: Path, shards: Sequence[FileEntry]) -> pa.Table:
    """Read all rows of shards of one schema as an Arrow table, in order.

    Raises:
        QmendError: naming a shard that can't be read.
    """
    tables = []
    for entry in shards:
        path = folder / entry.file
        try:
            tables.append(pq.read_table(path).replace_schema_metadata(None))
        except (OSError, pa.ArrowInvalid) as error:
            raise QmendError(f"{path} can't be read ({error}); generate it again.") from None
    return pa.concat_tables(tables)


def by_size(table: pa.Table) -> list[pa.Table]:
    """Divide rows by their number of qubits and of measured ones, ascending."""
    sizes = np.stack([table["n_qubits"], pc.list_value_length(table["measured"])], axis=1)
    kinds = np.unique(sizes, axis=0)
    if len(kinds) == 1:
        return [table]
    return [table.filter(pa.array((sizes == kind).all(axis=1))) for kind in kinds]


def dense_rows(table: pa.Table) -> AnyArray:
    """(N,) whether the counts of each row are stored densely."""
    return np.asarray(pc.is_null(table["outcomes"]))


def read_distributions(folder: Path) -> tuple[Manifest, pa.Table]:
    """Read the manifest and all distributions of a dataset whose files match their hashes.

    Of expectation values, those of single qubits: each is the distribution of one measured bit.

    Raises:
        QmendError: if a file is missing, altered or of another schema, or there are no such rows.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    shards = [e for e in manifest.shards if not e.file.startswith(EXPECTATIONS)]
    if not shards:
        return manifest, marginal_rows(read_rows(folder, manifest.shards))
    return manifest, read_rows(folder, shards)
