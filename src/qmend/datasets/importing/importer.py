"""The import of a file: read, place, prove, check the bit order, split, write."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qmend.circuits.instructions import TWO_QUBIT, InstructionTable
from qmend.datasets.card import Provenance, write_card
from qmend.datasets.config import SplitConfig, recipe_sha
from qmend.datasets.expectations import EXPECTATIONS_SCHEMA, EXPECTATIONS_SHARD
from qmend.datasets.importing.bit_order import (
    BitOrder,
    BitOrderCheck,
    Measured,
    check_bit_order,
    order_text,
    reorder,
)
from qmend.datasets.importing.groups import split_rows
from qmend.datasets.importing.medians import read_calibration
from qmend.datasets.importing.openqasm import MeasuredCircuit, read_openqasm
from qmend.datasets.importing.placement import PlacedCircuit, place_executed, place_submitted
from qmend.datasets.importing.proof import (
    TOLERANCE,
    chain_probabilities,
    marginal,
    parities,
    z_mask,
)
from qmend.datasets.importing.records import Record, outcome_counts, read_records
from qmend.datasets.manifest import (
    CALIBRATIONS,
    MANIFEST,
    FileEntry,
    Manifest,
    file_sha256,
    read_manifest,
    write_atomically,
    write_manifest,
)
from qmend.datasets.schema import (
    MAX_DENSE_QUBITS,
    SCHEMA,
    SCHEMA_VERSION,
    calibrations_table,
    instructions_column,
)
from qmend.devices.calibration import Calibration
from qmend.types import FloatArray, QmendError, Split

_SHARD = "circuits-{}.parquet"
#: Rows a Parquet file.
ROWS_PER_SHARD = 20_000
#: A source's own ideal values may be rounded, but not be other ones.
IDEAL_TOLERANCE = 1e-2
_PACKAGES = ("qiskit", "qiskit-ibm-runtime", "numpy", "pyarrow")

#: Called with the number of records finished so far and in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportOptions:
    """What a user may choose.

    Attributes:
        name: of the dataset.
        bit_order: of the bitstrings, see :func:`qmend.datasets.importing.bit_order.parse_order`.
        seed: of the split.
        family: of records that name none.
    """

    name: str
    family: str = "imported"
    bit_order: BitOrder = "qiskit"
    seed: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)


@dataclass(frozen=True)
class Import:
    """What :func:`import_file` did.

    Attributes:
        check: of the bit order, after ``bit_order`` was applied.
        unchanged: the folder held this very dataset already.
    """

    folder: Path
    manifest: Manifest
    check: BitOrderCheck
    unchanged: bool


@dataclass
class _Row:
    """A record on its way into the table."""

    record: Record
    source: MeasuredCircuit
    placed: PlacedCircuit
    circuit: str
    #: Of the measured bits.
    ideal: FloatArray
    calibration: Calibration | None
    calibration_kind: str | None
    counts: dict[int, float] = field(default_factory=dict)
    #: Ideal values of the observables; and for each a number with 1 at its measured bits.
    masks: list[int] = field(default_factory=list)
    ideal_values: list[float] = field(default_factory=list)
    circuit_id: str = ""


def import_file(
    path: Path,
    folder: Path,
    options: ImportOptions,
    progress: Progress = lambda done, total: None,
    replace: bool = False,
) -> Import:
    """Import other people's measurements into a dataset folder.

    Nothing is written before everything is proven; the manifest is written last, so that a
    folder without one is no dataset. The same file and options give the same bytes under the
    same versions.

    Args:
        folder: where the dataset will lie; other files in it stay.
        replace: whether a dataset that lies there may be overwritten.

    Raises:
        QmendError: naming the first record that can't be taken, and why; or if the folder holds
            another dataset.
    """
    records = read_records(path)
    cache = _Cache()
    rows = []
    for number, record in enumerate(records):
        try:
            rows.append(cache.row(record, options))
        except QmendError as error:
            raise QmendError(f"{path}: record {record.id}: {str(error).rstrip('.')}.") from None
        progress(number + 1, len(records))
    _prove(rows, path)
    check = check_bit_order([m for m in map(_measured, rows) if m is not None])
    splits, by = split_rows(
        [[f"source {row.circuit}", f"compiled {row.circuit_id}"] for row in rows],
        [_job(row.record, options) for row in rows],
        options.split,
        options.seed,
    )
    expectations = rows[0].record.counts is None
    sources = sorted({_source(row.record) for row in rows})
    table = _table(rows, splits, sources, options, expectations)
    calibrations = list(
        {c.calibration_id: c for c in (row.calibration for row in rows) if c is not None}.values()
    )
    recipe = _recipe(path, rows, sources, options, by, check, expectations)
    return _write(folder, options, recipe, table, calibrations, check, expectations, replace)


class _Cache:
    """Programs and placements that many records share."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[MeasuredCircuit, str, FloatArray]] = {}
        self.placed: dict[tuple[Any, ...], PlacedCircuit] = {}

    def row(self, record: Record, options: ImportOptions) -> _Row:
        if record.qasm not in self.sources:
            source = read_openqasm(record.qasm)
            self.sources[record.qasm] = source, source.fingerprint, source.probabilities()
        source, circuit, ideal = self.sources[record.qasm]
        qubits = None if record.physical_qubits is None else tuple(record.physical_qubits)
        place = record.qasm, record.circuit_stage, record.device, qubits
        if place not in self.placed:
            by_stage = place_executed if record.circuit_stage == "executed" else place_submitted
            self.placed[place] = by_stage(source, record.device, qubits)
        placed = self.placed[place]
        calibration, kind = None, None
        if record.calibration is not None:
            calibration, kind = read_calibration(
                record.calibration, record.device, placed.chain, record.executed_at
            )
        row = _Row(record, source, placed, circuit, ideal, calibration, kind)
        if record.counts is None:
            _take_values(row, options.bit_order)
        else:
            _take_counts(row, options.bit_order)
        return row


def _take_counts(row: _Row, bit_order: BitOrder) -> None:
    record, source = row.record, row.source
    assert record.counts is not None
    row.counts = _measured_bits(dict(record.counts), source, bit_order, "counts")
    total = int(sum(row.counts.values()))
    if total < 1 or record.shots not in (None, total):
        raise QmendError(f"its counts add up to {total}, its shots are {record.shots}; correct one")
    if record.ideal is not None:
        theirs = _measured_bits(dict(record.ideal), source, bit_order, "ideal distribution")
        seen = np.zeros(len(row.ideal))
        seen[list(theirs)] = list(theirs.values())
        off = float(np.abs(seen - row.ideal).sum() / 2)
        if off > IDEAL_TOLERANCE:
            raise QmendError(
                f"its ideal distribution is not its circuit's (total variation {off:.2g}): circuit "
                "and bit order do not fit; correct it or leave it out"
            )


def _measured_bits(
    given: dict[str, float], source: MeasuredCircuit, bit_order: BitOrder, what: str
) -> dict[int, float]:
    """Outcome numbers of the measured bits alone, in their order."""
    whole = reorder(outcome_counts(given, source.n_clbits), bit_order, source.n_clbits)
    found: Counter[int] = Counter()
    unmeasured = ((1 << source.n_clbits) - 1) & ~sum(1 << b for b in source.clbits)
    for outcome, value in sorted(whole.items()):
        if outcome & unmeasured and value:
            raise QmendError(
                f"its {what} have a 1 in a classical bit that nothing is measured into"
            )
        found[sum(((outcome >> b) & 1) << k for k, b in enumerate(source.clbits))] += value  # type: ignore[assignment]
    return dict(found)


def _take_values(row: _Row, bit_order: BitOrder) -> None:
    record, source = row.record, row.source
    assert record.observables is not None
    bits = {bit: k for k, bit in enumerate(source.clbits)}
    for label in record.observables:
        if len(label) != source.n_clbits or set(label) - set("IZ"):
            raise QmendError(
                f"the observable {label!r} is no label of Z and I on the circuit's "
                f"{source.n_clbits} classical bits"
            )
        (mask,) = reorder({z_mask(label): 1}, bit_order, source.n_clbits)
        on = {bit for bit in range(source.n_clbits) if mask >> bit & 1}
        if on - bits.keys():
            raise QmendError(
                f"the observable {label!r} is of a classical bit that nothing is measured into"
            )
        row.masks.append(sum(1 << bits[bit] for bit in on))
    row.ideal_values = parities(row.ideal, row.masks).tolist()
    if record.ideal_values is not None:
        off = float(np.abs(np.subtract(record.ideal_values, row.ideal_values)).max())
        if off > IDEAL_TOLERANCE:
            raise QmendError(
                f"its ideal values are not its circuit's (they differ by {off:.2g}): circuit and "
                "order of the observables do not fit; correct them or leave them out"
            )


def _prove(rows: Sequence[_Row], path: Path) -> None:
    """Set each row's id, and check that its instructions give its ideal values."""
    distinct = {id(row.placed): row for row in rows}
    by_size: dict[int, list[_Row]] = {}
    for row in distinct.values():
        by_size.setdefault(len(row.placed.chain.layout), []).append(row)
    ids: dict[int, str] = {}
    for size, group in by_size.items():
        table = InstructionTable.from_circuits(size, [row.placed.instructions for row in group])
        for k, (row, chain) in enumerate(zip(group, chain_probabilities(table), strict=True)):
            placed = row.placed
            off = float(np.abs(marginal(chain, placed.measured) - row.ideal).max())
            if off > TOLERANCE:
                raise QmendError(
                    f"{path}: record {row.record.id}: its native instructions do not give the "
                    f"distribution of its program (they differ by {off:.2g}): a gate is defined "
                    "otherwise than its name says; correct the definition."
                )
            one = table.select(np.array([k]))
            (ids[id(placed)],) = one.circuit_ids(np.array([placed.measured]))
    for row in rows:
        row.circuit_id = ids[id(row.placed)]


def _measured(row: _Row) -> Measured | None:
    """What the bit order can be checked with; None where a record's observables say nothing."""
    name, record, bits = row.record.id, row.record, len(row.source.measured)
    if record.values is None:
        return Measured.distribution(name, row.circuit, bits, row.counts, row.ideal)
    single = {mask: k for k, mask in enumerate(row.masks)}
    if any(1 << k not in single for k in range(bits)):
        return None
    chosen = [single[1 << k] for k in range(bits)]
    values, ideal = np.array(record.values)[chosen], np.array(row.ideal_values)[chosen]
    assert record.shots is not None
    return Measured.expectations(name, row.circuit, values, ideal, record.shots)


def _table(
    rows: Sequence[_Row],
    splits: Sequence[Split],
    sources: Sequence[tuple[str, ...]],
    options: ImportOptions,
    expectations: bool,
) -> pa.Table:
    records = [row.record for row in rows]
    sizes = [len(row.placed.chain.layout) for row in rows]
    table = InstructionTable.from_circuits(
        max(sizes, default=1), [row.placed.instructions for row in rows]
    )
    columns: dict[str, Any] = {
        "circuit_id": [row.circuit_id for row in rows],
        "family": [r.family or options.family for r in records],
        "family_params": [_params(row, sources) for row in rows],
        "seed": [None] * len(rows),
        "n_qubits": sizes,
        "device": [r.device for r in records],
        "calibration_id": [row.calibration and row.calibration.calibration_id for row in rows],
        "layout": [row.placed.chain.layout for row in rows],
        "instructions": instructions_column(table),
        "measured": [row.placed.measured for row in rows],
        "circuit_stage": [r.circuit_stage for r in records],
        "depth": table.depth(),
        "n_two_qubit": table.count(*TWO_QUBIT),
        "source": ["hardware"] * len(rows),
        "job_id": [_job(r, options) for r in records],
        "executed_at": [r.executed_at for r in records],
        "split": list(splits),
    }
    if expectations:
        columns |= {
            "observables": [
                [_label(mask, len(row.source.measured)) for mask in row.masks] for row in rows
            ],
            "shots": [r.shots for r in records],
            "values": [r.values for r in records],
            "extrapolated_values": [r.extrapolated_values for r in records],
            "ideal_values": [row.ideal_values for row in rows],
        }
    else:
        stored = [_stored_counts(row) for row in rows]
        columns |= {
            "shots": [int(sum(row.counts.values())) for row in rows],
            "outcomes": [outcomes for outcomes, _, _ in stored],
            "counts": [counts for _, counts, _ in stored],
            "noisy_exact": [None] * len(rows),
            "ideal": [ideal for _, _, ideal in stored],
        }
    schema = EXPECTATIONS_SCHEMA if expectations else SCHEMA
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value, schema.field(name).type)
        for name, value in ((name, columns[name]) for name in schema.names)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _label(mask: int, n_bits: int) -> str:
    return "".join("Z" if mask >> k & 1 else "I" for k in reversed(range(n_bits)))


def _stored_counts(row: _Row) -> tuple[list[int] | None, list[int], list[float]]:
    """Outcomes, counts and ideal probabilities: dense to ten measured bits, sparse beyond."""
    bits = len(row.source.measured)
    if bits <= MAX_DENSE_QUBITS:
        dense = [int(row.counts.get(k, 0)) for k in range(1 << bits)]
        return None, dense, row.ideal.tolist()
    outcomes = sorted(k for k, count in row.counts.items() if count)
    return outcomes, [int(row.counts[k]) for k in outcomes], row.ideal[outcomes].tolist()


def _params(row: _Row, sources: Sequence[tuple[str, ...]]) -> str:
    """What an imported row knows beyond the columns (``family_params``)."""
    record = row.record
    dated = record.date is not None and record.executed_at is None
    params = {
        "record": record.id,
        "circuit": row.circuit,
        "variant": record.variant,
        "layout": row.placed.chain.origin,
        "calibration": row.calibration_kind,
        "source": sources.index(_source(record)),
        "local_date": record.date if dated else None,
    }
    return json.dumps({k: v for k, v in params.items() if v is not None}, sort_keys=True)


def _source(record: Record) -> tuple[str, ...]:
    return record.source or "", record.licence or "", record.attribution or ""


def _job(record: Record, options: ImportOptions) -> str:
    return record.job_id or f"{options.name}-{record.id}"


def _recipe(
    path: Path,
    rows: Sequence[_Row],
    sources: Sequence[tuple[str, ...]],
    options: ImportOptions,
    by: str,
    check: BitOrderCheck,
    expectations: bool,
) -> dict[str, Any]:
    order = options.bit_order
    counted = Counter(_source(row.record) for row in rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "imported": {
            "kind": "expectations" if expectations else "circuits",
            "input": {"file": path.name, "sha256": file_sha256(path), "records": len(rows)},
            "bit_order": order if isinstance(order, str) else order_text(order),
            "bit_order_check": {
                "telling": check.telling,
                "doubtful": {name: order_text(o) for name, o in sorted(check.doubtful.items())},
                "better": {str(n): order_text(o) for n, (o, _) in sorted(check.better.items())},
            },
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


def _write(
    folder: Path,
    options: ImportOptions,
    recipe: dict[str, Any],
    table: pa.Table,
    calibrations: Sequence[Calibration],
    check: BitOrderCheck,
    expectations: bool,
    replace: bool,
) -> Import:
    sha = recipe_sha(recipe)
    packages = {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}}
    manifest_path = folder / MANIFEST
    if manifest_path.exists() and not replace:
        try:
            known = read_manifest(folder)
        except QmendError:
            known = None
        if known is None or (known.recipe_sha, known.packages) != (sha, packages):
            raise QmendError(
                f"{folder} holds another dataset; choose another --name, or overwrite it with "
                "--replace."
            )
    before = manifest_path.read_bytes() if manifest_path.exists() else b""
    template = EXPECTATIONS_SHARD if expectations else _SHARD
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
        part = table.slice(start, ROWS_PER_SHARD)
        name = template.format(f"{start // ROWS_PER_SHARD:05d}")
        shards.append(_write_parquet(folder / name, part))
    entry = _write_parquet(folder / CALIBRATIONS, calibrations_table(calibrations))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=options.name,
        recipe=recipe,
        recipe_sha=sha,
        rows=table.num_rows,
        shards=shards,
        calibrations=entry,
        packages=packages,
    )
    if not expectations:
        write_card(folder, manifest, _provenance(recipe["imported"]))
    write_manifest(folder, manifest)
    return Import(folder, manifest, check, manifest_path.read_bytes() == before)


def _provenance(facts: dict[str, Any]) -> Provenance:
    """Whose data they are and what happened to them, for the dataset's card."""
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
        f"Layouts: {_counted(facts['layouts'])}. Calibrations: {_counted(facts['calibrations'])}; "
        "medians stand for every qubit and gate.",
    ]
    licences = sorted({s["licence"] or "not stated" for s in sources})
    return Provenance(
        licence="; ".join(licences),
        licence_url="; ".join(licences),
        creator="; ".join(m for m in made_by if m) or "not stated",
        origin="\n\n".join(lines),
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {rows:,}" for name, rows in sorted(counts.items()))


def _write_parquet(path: Path, table: pa.Table) -> FileEntry:
    def write(part: Path) -> None:
        pq.write_table(
            table, part, compression="zstd", compression_level=19, write_page_checksum=True
        )

    write_atomically(path, write)
    return FileEntry(file=path.name, rows=table.num_rows, sha256=file_sha256(path))
