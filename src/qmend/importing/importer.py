"""Import a file: read, place, prove, check the bit order, split, write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.measured import MeasuredCircuit
from qmend.importing.agreement import Agreement, agreement_of_counts, agreement_of_values
from qmend.importing.bit_order import Measured, MeasuredCounts, MeasuredValues, check_bit_order
from qmend.importing.medians import read_calibration
from qmend.importing.openqasm import read_openqasm
from qmend.importing.orders import Bits, Order, reorder, resolve_order
from qmend.importing.outcomes import outcome_counts
from qmend.importing.placement import (
    PlacedCircuit,
    device_snapshot,
    place_executed,
    place_submitted,
    unknown_parts,
)
from qmend.importing.proof import (
    TOLERANCE,
    chain_probabilities,
    marginal,
    parities,
    prove_reading,
    z_mask,
)
from qmend.importing.records import MOST_SHOTS, Record, read_records
from qmend.importing.rows import ImportedRow, ImportOptions, job_of, rows_table, source_of
from qmend.importing.splits import split_rows
from qmend.importing.storage import Import, import_recipe, write_import
from qmend.simulation.sampling import round_distributions
from qmend.types import FloatArray, Progress, QmendError

#: A source's own ideal values may be rounded, but not be other ones.
IDEAL_TOLERANCE = 1e-2


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
        folder: the dataset's directory; other files in it stay.
        replace: whether a dataset that is there may be overwritten.

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
    check = check_bit_order([m for m in map(_order_evidence, rows) if m is not None])
    agreements = [_agreement(row) for row in rows]
    splits, by = split_rows(
        [[f"source {row.circuit}", f"compiled {row.circuit_id}"] for row in rows],
        [job_of(row.record, options) for row in rows],
        options.split,
        options.seed,
    )
    expectations = rows[0].record.counts is None
    sources = sorted({source_of(row.record) for row in rows})
    table = rows_table(rows, splits, sources, options, expectations)
    calibrations = list(
        {c.calibration_id: c for c in (row.calibration for row in rows) if c is not None}.values()
    )
    recipe = import_recipe(path, rows, sources, options, by, check, agreements, expectations)
    return write_import(
        folder,
        path,
        options,
        recipe,
        table,
        calibrations,
        check,
        agreements,
        expectations,
        replace,
    )


class _Cache:
    """Programs and placements that many records share."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[MeasuredCircuit, str, FloatArray]] = {}
        self.placed: dict[tuple[Any, ...], PlacedCircuit] = {}

    def row(self, record: Record, options: ImportOptions) -> ImportedRow:
        if record.qasm not in self.sources:
            source = read_openqasm(record.qasm)
            ideal = prove_reading(record.qasm, source)
            self.sources[record.qasm] = source, source.fingerprint, ideal
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
        row = ImportedRow(record, source, placed, circuit, ideal, calibration, kind)
        snapshot = calibration if kind == "snapshot" else device_snapshot(record.device)
        if record.circuit_stage == "executed" and snapshot is not None:
            row.unknown = unknown_parts(placed, snapshot)
        order = resolve_order(options.bit_order, source.registers)
        if record.counts is None:
            _take_values(row, order)
        else:
            _take_counts(row, order)
        return row


def _take_counts(row: ImportedRow, order: Order) -> None:
    record, source = row.record, row.source
    assert record.counts is not None
    row.counts = _measured_bits(dict(record.counts), source, order, "counts")
    total = int(sum(row.counts.values()))
    if total > MOST_SHOTS:
        raise QmendError(
            f"its counts add up to {total}, more than any device can run; correct them"
        )
    if total < 1:
        raise QmendError("its counts add up to 0: it measured nothing; leave it out")
    if total == 1 and record.shots is None:
        raise QmendError(
            "its counts add up to 1, as probabilities do; give numbers of shots, or shots: 1"
        )
    if record.shots not in (None, total):
        raise QmendError(f"its counts add up to {total}, its shots are {record.shots}; correct one")
    if record.ideal is not None:
        theirs = _measured_bits(dict(record.ideal), source, order, "ideal distribution")
        seen = np.zeros(len(row.ideal))
        seen[list(theirs)] = list(theirs.values())
        off = float(np.abs(seen - row.ideal).sum() / 2)
        if not off <= IDEAL_TOLERANCE:
            raise QmendError(
                f"its ideal distribution is not its circuit's (total variation {off:.2g}): circuit "
                "and bit order do not fit; correct it or leave it out"
            )


def _measured_bits(
    counts: dict[str, float], source: MeasuredCircuit, order: Order, what: str
) -> dict[int, float]:
    """Reduce outcomes to the measured classical bits; bit ``k`` is the k-th of ``clbits``."""
    whole = outcome_counts(counts, source.registers, order)
    by_outcome: Counter[int] = Counter()
    unmeasured = ((1 << source.n_clbits) - 1) & ~sum(1 << b for b in source.clbits)
    for outcome, value in sorted(whole.items()):
        if outcome & unmeasured and value:
            raise QmendError(
                f"its {what} have a 1 in a classical bit that nothing is measured into"
            )
        by_outcome[sum(((outcome >> b) & 1) << k for k, b in enumerate(source.clbits))] += value  # type: ignore[assignment]
    return dict(by_outcome)


def _take_values(row: ImportedRow, order: Order) -> None:
    record, source = row.record, row.source
    assert record.observables is not None
    bits = {bit: k for k, bit in enumerate(source.clbits)}
    for label in record.observables:
        if len(label) != source.n_clbits or set(label) - set("IZ"):
            raise QmendError(
                f"the observable {label!r} is no label of Z and I on the circuit's "
                f"{source.n_clbits} classical bits"
            )
        mask = reorder(z_mask(label), order)
        on = {bit for bit in range(source.n_clbits) if mask >> bit & 1}
        if on - bits.keys():
            raise QmendError(
                f"the observable {label!r} is of a classical bit that nothing is measured into"
            )
        row.masks.append(sum(1 << bits[bit] for bit in on))
    row.ideal_values = parities(row.ideal, row.masks).tolist()
    if record.ideal_values is not None:
        off = float(np.abs(np.subtract(record.ideal_values, row.ideal_values)).max())
        if not off <= IDEAL_TOLERANCE:
            raise QmendError(
                f"its ideal values are not its circuit's (they differ by {off:.2g}): circuit and "
                "bit order of the observables do not fit; correct them or leave them out"
            )


def _prove(rows: Sequence[ImportedRow], path: Path) -> None:
    """Check that each row's instructions give its ideal values; set its id, and these values as
    the instructions give them, on the grid of probabilities."""
    distinct = {id(row.placed): row for row in rows}
    by_size: dict[int, list[ImportedRow]] = {}
    for row in distinct.values():
        by_size.setdefault(len(row.placed.chain.layout), []).append(row)
    proven: dict[int, tuple[str, FloatArray]] = {}
    for size, group in by_size.items():
        table = InstructionTable.from_circuits(size, [row.placed.instructions for row in group])
        for k, (row, chain) in enumerate(zip(group, chain_probabilities(table), strict=True)):
            placed = row.placed
            ideal = marginal(chain, placed.measured)
            off = float(np.abs(ideal - row.ideal).max())
            if not off <= TOLERANCE:
                raise QmendError(
                    f"{path}: record {row.record.id}: its native instructions do not give the "
                    f"distribution of its program (they differ by {off:.2g}): it was compiled "
                    "wrongly; write it in other gates."
                )
            one = table.select(np.array([k]))
            (circuit_id,) = one.circuit_ids(np.array([placed.measured]))
            proven[id(placed)] = circuit_id, round_distributions(ideal[None])[0]
    for row in rows:
        row.circuit_id, row.ideal = proven[id(row.placed)]
        row.ideal_values = parities(row.ideal, row.masks).tolist()


def _agreement(row: ImportedRow) -> Agreement:
    record = row.record
    if record.values is None:
        return agreement_of_counts(record.id, row.counts, row.ideal)
    assert record.shots is not None
    values, ideal = np.array(record.values), np.array(row.ideal_values)
    return agreement_of_values(record.id, values, ideal, record.shots)


def _order_evidence(row: ImportedRow) -> Measured | None:
    """One record's part in the check of the bit order; None if its observables say nothing."""
    name, record, source = row.record.id, row.record, row.source
    bits = Bits(source.registers, source.clbits)
    if record.values is None:
        return MeasuredCounts(name, row.circuit, bits, row.counts, row.ideal)
    single = {mask: k for k, mask in enumerate(row.masks)}
    if any(1 << k not in single for k in range(len(source.measured))):
        return None
    chosen = [single[1 << k] for k in range(len(source.measured))]
    values, ideal = np.array(record.values)[chosen], np.array(row.ideal_values)[chosen]
    assert record.shots is not None
    return MeasuredValues(name, row.circuit, bits, values, ideal, record.shots)
