"""Rows of an import, and the table that they become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.measured import MeasuredCircuit
from qmend.datasets.config import SplitConfig
from qmend.datasets.expectations import EXPECTATIONS_SCHEMA
from qmend.datasets.schema import MAX_DENSE_QUBITS, SCHEMA, instructions_column
from qmend.devices.calibration import Calibration
from qmend.gates import TWO_QUBIT
from qmend.importing.orders import BitOrder
from qmend.importing.placement import PlacedCircuit
from qmend.importing.records import Record
from qmend.types import FloatArray, Split


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        name: of the dataset.
        bit_order: of the bitstrings, see :func:`qmend.importing.orders.parse_order`.
        seed: of the split.
        family: of records that name none.
    """

    name: str
    family: str = "imported"
    bit_order: BitOrder = "qiskit"
    seed: int = 0
    split: SplitConfig = field(default_factory=SplitConfig.of)


@dataclass
class ImportedRow:
    """A record on its way into the table.

    Attributes:
        circuit: fingerprint of ``source``.
        ideal: (2^bits,) noiseless distribution of the measured bits.
        calibration_kind: ``snapshot`` or ``medians``.
        counts: outcome of the measured bits -> shots; of records with counts.
        masks: bit ``k`` is 1 where an observable has Z on the k-th measured bit; of records with
            values.
        ideal_values: of the observables.
        unknown: qubits and gates of an executed circuit that the device's snapshot lacks.
        circuit_id: set when the instructions are proven.
    """

    record: Record
    source: MeasuredCircuit
    placed: PlacedCircuit
    circuit: str
    ideal: FloatArray
    calibration: Calibration | None
    calibration_kind: str | None
    counts: dict[int, float] = field(default_factory=dict)
    masks: list[int] = field(default_factory=list)
    ideal_values: list[float] = field(default_factory=list)
    unknown: str = ""
    circuit_id: str = ""


def rows_table(
    rows: Sequence[ImportedRow],
    splits: Sequence[Split],
    sources: Sequence[tuple[str, ...]],
    options: ImportOptions,
    expectations: bool,
) -> pa.Table:
    """Write rows as a table of the contract, or of expectation values."""
    records = [row.record for row in rows]
    sizes = [len(row.placed.chain.layout) for row in rows]
    table = InstructionTable.from_circuits(
        max(sizes, default=1), [row.placed.instructions for row in rows]
    )
    jobs = [job_of(r, options) for r in records]
    number = {job: k for k, job in enumerate(dict.fromkeys(jobs))}
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
        "job": [number[job] for job in jobs],
        "job_id": jobs,
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


def _stored_counts(row: ImportedRow) -> tuple[list[int] | None, list[int], list[float]]:
    """Outcomes, counts and ideal probabilities: dense to ten measured bits, sparse beyond."""
    bits = len(row.source.measured)
    if bits <= MAX_DENSE_QUBITS:
        dense = [int(row.counts.get(k, 0)) for k in range(1 << bits)]
        return None, dense, row.ideal.tolist()
    outcomes = sorted(k for k, count in row.counts.items() if count)
    return outcomes, [int(row.counts[k]) for k in outcomes], row.ideal[outcomes].tolist()


def _params(row: ImportedRow, sources: Sequence[tuple[str, ...]]) -> str:
    """JSON of an imported row's further fields (column ``family_params``)."""
    record = row.record
    dated = record.date is not None and record.executed_at is None
    params = {
        "record": record.id,
        "circuit": row.circuit,
        "variant": record.variant,
        "layout": row.placed.chain.origin,
        "calibration": row.calibration_kind,
        "source": sources.index(source_of(record)),
        "local_date": record.date if dated else None,
    }
    return json.dumps({k: v for k, v in params.items() if v is not None}, sort_keys=True)


def source_of(record: Record) -> tuple[str, ...]:
    """Return a record's source, licence and attribution."""
    return record.source or "", record.licence or "", record.attribution or ""


def job_of(record: Record, options: ImportOptions) -> str:
    """Return a record's job; a record without one is a job of its own."""
    return record.job_id or f"{options.name}-{record.id}"
