"""Write an import: its recipe, shards and calibrations, the card, the manifest last."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qmend.datasets.card import CARD, Provenance
from qmend.datasets.completion import complete_dataset
from qmend.datasets.config import recipe_sha
from qmend.datasets.expectations import EXPECTATIONS_SHARD
from qmend.datasets.manifest import (
    CALIBRATIONS,
    MANIFEST,
    Manifest,
    package_versions,
    read_manifest,
)
from qmend.datasets.schema import SCHEMA_VERSION, calibrations_table
from qmend.datasets.shards import SHARD
from qmend.devices.calibration import Calibration
from qmend.files import file_sha256, write_atomically, write_text
from qmend.importing.agreement import Agreement
from qmend.importing.bit_order import BitOrderCheck
from qmend.importing.rows import ImportedRow, ImportOptions, source_of
from qmend.types import QmendError

#: Rows a Parquet file.
ROWS_PER_SHARD = 20_000
_LICENCES = "licences"
_PACKAGES = ("qiskit", "qiskit-ibm-runtime", "numpy", "pyarrow")


@dataclass(frozen=True)
class Import:
    """Result of :func:`~qmend.importing.importer.import_file`.

    Attributes:
        check: of the bit order, after ``bit_order`` was applied.
        agreements: of each record with its ideal values.
        unchanged: the folder held this very dataset already.
    """

    folder: Path
    manifest: Manifest
    check: BitOrderCheck
    agreements: Sequence[Agreement]
    unchanged: bool


def import_recipe(
    path: Path,
    rows: Sequence[ImportedRow],
    sources: Sequence[tuple[str, ...]],
    options: ImportOptions,
    by: str,
    check: BitOrderCheck,
    agreements: Sequence[Agreement],
    expectations: bool,
) -> dict[str, Any]:
    """Collect all that decides an imported dataset, and counts of its rows."""
    order = options.bit_order
    counted = Counter(source_of(row.record) for row in rows)
    unknown = {row.record.id: row.unknown for row in rows if row.unknown}
    return {
        "schema_version": SCHEMA_VERSION,
        "imported": {
            "kind": "expectations" if expectations else "circuits",
            "input": {"file": path.name, "sha256": file_sha256(path), "records": len(rows)},
            "bit_order": order if isinstance(order, str) else ",".join(map(str, order)),
            "bit_order_check": {
                "telling": check.telling,
                "doubtful": dict(sorted(check.doubtful.items())),
                "better": {str(bits): order for bits, (order, _) in check.better.items()},
            },
            "far_from_ideal": sorted(record.name for record in agreements if record.far),
            "unknown_to_device": unknown,
            "layouts": dict(Counter(row.placed.chain.origin for row in rows)),
            "calibrations": dict(Counter(row.calibration_kind or "none" for row in rows)),
            "sources": [
                {
                    "source": source[0],
                    "licence": source[1],
                    "attribution": source[2],
                    "rows": counted[source],
                }
                for source in sources
            ],
            "family": options.family,
            "seed": options.seed,
            "split": {**options.split.model_dump(mode="json"), "by": by},
        },
    }


def write_import(
    folder: Path,
    path: Path,
    options: ImportOptions,
    recipe: dict[str, Any],
    table: pa.Table,
    calibrations: Sequence[Calibration],
    check: BitOrderCheck,
    agreements: Sequence[Agreement],
    expectations: bool,
    replace: bool,
) -> Import:
    """Write an imported dataset, the manifest last.

    Args:
        path: of the records; a directory ``licences`` beside it goes with the dataset.

    Raises:
        QmendError: if the folder holds another dataset, or can't be written.
    """
    identity = recipe_sha(recipe), package_versions(_PACKAGES)
    manifest_path = folder / MANIFEST
    if manifest_path.exists() and not replace:
        try:
            previous = read_manifest(folder)
        except QmendError:
            previous = None
        if previous is None or (previous.recipe_sha, previous.packages) != identity:
            raise QmendError(
                f"{folder} holds another dataset; choose another --name, or overwrite it with "
                "--replace."
            )
    before = manifest_path.read_bytes() if manifest_path.exists() else b""
    template = EXPECTATIONS_SHARD if expectations else SHARD
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest_path.unlink(missing_ok=True)
        for left in [*folder.glob(".*.part"), *folder.glob("*.parquet")]:
            left.unlink()
    except OSError as error:
        raise QmendError(
            f"Can't write to {folder} ({error.strerror}); choose another --root."
        ) from None
    shards = []
    for start in range(0, table.num_rows, ROWS_PER_SHARD):
        shards.append(folder / template.format(f"{start // ROWS_PER_SHARD:05d}"))
        _write_parquet(shards[-1], table.slice(start, ROWS_PER_SHARD))
    _write_parquet(folder / CALIBRATIONS, calibrations_table(calibrations))
    if (path.parent / _LICENCES).is_dir():
        shutil.rmtree(folder / _LICENCES, ignore_errors=True)
        shutil.copytree(path.parent / _LICENCES, folder / _LICENCES)
    provenance = _provenance(recipe["imported"])
    if expectations:
        write_text(folder / CARD, _short_card(options.name, table, provenance))
    manifest = complete_dataset(
        folder,
        options.name,
        "imported",
        recipe,
        shards,
        None if expectations else provenance,
        identity[1],
    )
    return Import(folder, manifest, check, agreements, manifest_path.read_bytes() == before)


def _short_card(name: str, table: pa.Table, provenance: Provenance) -> str:
    """Write the card of expectation values, whose table is not that of distributions."""
    devices = ", ".join(sorted(set(table["device"].to_pylist())))
    return (
        f"# {name}\n\n{table.num_rows:,} circuits run on {devices}: instructions, measured and "
        "noiseless expectation values; no distributions. Read them with "
        f"`qmend.datasets.expectations.load_expectations`.\n\n{provenance.origin}\n"
    )


def _provenance(facts: dict[str, Any]) -> Provenance:
    """Describe licence, authors and origin of the data, for the dataset's card."""
    sources = facts["sources"]
    made_by = [s["attribution"] or s["source"] for s in sources]
    lines = [
        "Measured by others and imported with `qmend data import`: the circuits were placed on "
        "physical qubits and the ideal distributions computed by qmend.",
        "| source | licence | attribution | rows |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {s['source']} | {s['licence']} | {s['attribution']} | {s['rows']:,} |"
            for s in sources
        ),
        f"Layouts: {_count_text(facts['layouts'])}. "
        f"Calibrations: {_count_text(facts['calibrations'])}; medians stand for every qubit and "
        "gate.",
    ]
    licences = sorted({s["licence"] or "not stated" for s in sources})
    return Provenance(
        licence="; ".join(licences),
        licence_url="; ".join(licences),
        creator="; ".join(m for m in made_by if m) or "not stated",
        origin="\n\n".join(lines),
    )


def _count_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {rows:,}" for name, rows in sorted(counts.items()))


def _write_parquet(path: Path, table: pa.Table) -> None:
    def write(part: Path) -> None:
        pq.write_table(
            table, part, compression="zstd", compression_level=19, write_page_checksum=True
        )

    write_atomically(path, write)
