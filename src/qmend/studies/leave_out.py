"""Mitigated errors of measured rows, by methods fitted to other families and other devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qmend import metrics
from qmend.datasets.circuits import fill_missing
from qmend.datasets.measured import MeasuredRows
from qmend.devices.imputation import MeanCalibration
from qmend.encodings import ENCODINGS
from qmend.encodings.device_paths import DevicePathsEncoding
from qmend.evaluation.cells import Cells
from qmend.evaluation.simulation import Meter
from qmend.gates import GATES
from qmend.metrics import Interval
from qmend.mitigation.base import BASELINES, Mitigator
from qmend.mitigation.guard_signals import invert_at_numbers
from qmend.mitigation.learned import GuardedMitigator, LearnedMitigator
from qmend.runs.networks import LoadedNetwork
from qmend.studies.references import with_references
from qmend.types import AnyArray, FloatArray, IntArray, QmendError

#: Draws of other circuits that take the place of each.
EXCHANGES = 10


@dataclass(frozen=True)
class Judged:
    """A row of the table.

    Attributes:
        after: (N,) L1 error of each measured row, as before where not applied.
        applied: (N,) whether the method takes the row.
        left_out: least and greatest median over cells of the refits without one source circuit;
            None where nothing is refitted.
        notes: why rows are not taken.
        exchanged: figures of :class:`qmend.evaluation.simulation.Meter`, of each circuit once; of
            a baseline that is fitted to all cells. Empty where circuits are too few.
    """

    name: str
    after: FloatArray
    applied: AnyArray
    left_out: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    exchanged: dict[str, Interval] = field(default_factory=dict)


def judge_baseline(
    name: str,
    groups: Sequence[MeasuredRows],
    cells: Cells,
    mean: MeanCalibration,
    refit: bool,
) -> Judged:
    """Fit a baseline to other families and devices than each cell's, and mitigate the cell.

    Args:
        mean: stands in for missing calibration values.
        refit: also without each source circuit in turn.
    """
    held_out = _HeldOut(BASELINES[name], groups, cells, mean)
    after, applied = held_out.mitigate()
    notes = []
    if not applied.all():
        missing = len(applied) - np.count_nonzero(applied)
        notes.append(
            f"{name}: {missing:,} rows are not taken; there are no cells of other families and "
            "devices to fit it to."
        )
    left_out = None
    if refit and held_out.kind.parameters:
        medians = [
            metrics.median_l1rc(cells.change(held_out.mitigate(circuit)[0]))
            for circuit in np.unique(cells.circuit)
        ]
        left_out = (float(min(medians)), float(max(medians)))
    return Judged(name, after, applied, left_out, tuple(notes), held_out.exchange())


class _HeldOut:
    """A baseline on each family and device, fitted to the cells of all others."""

    def __init__(
        self,
        kind: type[Mitigator],
        groups: Sequence[MeasuredRows],
        cells: Cells,
        mean: MeanCalibration,
    ) -> None:
        self.kind, self.cells = kind, cells
        self.offsets = np.cumsum([0, *(len(group) for group in groups)])
        self.parts = [
            replace(g.rows, circuits=fill_missing(g.rows.circuits, mean).circuits) for g in groups
        ]
        # Most refits leave most folds as they are.
        self.fits: dict[bytes, Mitigator | None] = {}
        self.errors: dict[tuple[str, str, bytes], tuple[IntArray, FloatArray]] = {}

    def mitigate(self, without: str | None = None) -> tuple[FloatArray, AnyArray]:
        """Return the L1 error (N,) of each row, and whether it is mitigated.

        Args:
            without: source circuit that is not fitted to.
        """
        cells = self.cells
        after, applied = cells.before.copy(), np.zeros(len(cells.before), dtype=bool)
        for family, device in sorted(set(zip(cells.family, cells.device, strict=True))):
            kept = (cells.family != family) & (cells.device != device) & (cells.circuit != without)
            key = (family, device, kept.tobytes())
            if key not in self.errors:
                fold = (cells.family == family) & (cells.device == device)
                self.errors[key] = self._errors(fold[cells.of_row], self._fitted(kept))
            rows, errors = self.errors[key]
            after[rows], applied[rows] = errors, True
        return after, applied

    def exchange(self) -> dict[str, Interval]:
        """Fit to all cells, and exchange measurements between circuits."""
        mitigator = self._fitted(np.ones(len(self.cells), dtype=bool))
        if mitigator is None:
            return {}
        return Meter.join([Meter.of(mitigator, part) for part in self.parts]).figures

    def _errors(self, scored: AnyArray, mitigator: Mitigator | None) -> tuple[IntArray, FloatArray]:
        """Mitigate the rows that are taken; return their numbers and L1 errors."""
        numbers, errors = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
        for k, part in enumerate(self.parts):
            rows = self._rows(k, np.flatnonzero(scored))
            if mitigator is not None and len(rows):
                chosen = part.select(rows)
                errors.append(metrics.l1(mitigator.mitigate(chosen.circuits), chosen.ideal))
                numbers.append(self.offsets[k] + rows)
        return np.concatenate(numbers), np.concatenate(errors)

    def _rows(self, group: int, rows: IntArray) -> IntArray:
        """Return the rows of a group by their numbers in it."""
        start, end = self.offsets[group], self.offsets[group + 1]
        own: IntArray = rows[(rows >= start) & (rows < end)] - start
        return own

    def _fitted(self, kept: AnyArray) -> Mitigator | None:
        """Fit to the typical row of each kept cell; None if no cell is left to fit to."""
        if not self.kind.parameters:
            return self.kind()
        if kept.tobytes() not in self.fits:
            typical = self.cells.typical[kept]
            chosen = [
                part.select(rows)
                for k, part in enumerate(self.parts)
                if len(rows := self._rows(k, typical))
            ]
            self.fits[kept.tobytes()] = self.kind().fit(*chosen) if chosen else None
        return self.fits[kept.tobytes()]


def judge_network(
    network: LoadedNetwork,
    groups: Sequence[MeasuredRows],
    cells: Cells,
    references: Sequence[int],
    seed: int,
    *,
    alone: bool = False,
) -> list[Judged]:
    """Mitigate with a trained network, and again with features of other circuits.

    Args:
        references: numbers of other circuits of the same job that tell it of the device, a row of
            the table each, where the network reads numbers of the device.
        seed: of the draws.
        alone: the network, and with its guard if it has one, without what stands beside it.
    """
    encoding = network.model.encoding
    mean = encoding.mean_calibration
    filled = [
        replace(g, rows=replace(g.rows, circuits=fill_missing(g.rows.circuits, mean).circuits))
        for g in groups
    ]
    if not isinstance(encoding, DevicePathsEncoding):
        return _judge(network, network.name, filled, cells, seed, alone)
    judged = []
    model = None if network.guard is None else network.model
    for count in references:
        circuits = with_references(encoding, filled, count, seed, model)
        pairs = zip(filled, circuits, strict=True)
        told = [replace(g, rows=replace(g.rows, circuits=own)) for g, own in pairs]
        judged += _judge(network, f"{network.name}, K = {count}", told, cells, seed, alone)
    return judged


def _judge(
    network: LoadedNetwork,
    name: str,
    groups: Sequence[MeasuredRows],
    cells: Cells,
    seed: int,
    alone: bool,
) -> list[Judged]:
    """Mitigate with a trained network, with its guard, and with features of other circuits.

    The numbers of the device that it reads, if any, are inverted without it too. Other circuits
    are drawn among circuits of other families on as many qubits, in :data:`EXCHANGES` ways,
    over which the errors are averaged. Where there is one family only, its other circuits serve.

    Args:
        groups: rows whose missing calibration values are filled.
        seed: of the draws.
        alone: without the inverse and without features of other circuits.
    """
    rng = np.random.default_rng(seed)
    mitigator, guard = LearnedMitigator(network.model), network.guard
    guarded = None if guard is None else GuardedMitigator(mitigator, guard)
    after, ablated, inverted = (cells.before.copy() for _ in range(3))
    reads_numbers = isinstance(network.model.encoding, DevicePathsEncoding)
    applied, exchanged, kept = np.zeros((3, len(after)), dtype=bool)
    notes: list[str] = []
    meters: list[Meter] = []
    start = same_family = 0
    for group in groups:
        rows = _readable(network, group)
        here, start = start + rows, start + len(group)
        if not len(rows):
            continue
        part, circuit, family = group.rows.select(rows), group.circuit[rows], group.family[rows]
        circuits = part.circuits
        try:
            if guarded is None:
                mitigated = mitigator.mitigate(circuits)
            else:
                judged = guarded.judge(circuits)
                mitigated, kept[here] = judged.mitigated, judged.applied
            after[here] = metrics.l1(mitigated, part.ideal)
        except QmendError as error:
            notes.append(f"{name}: circuits on {circuits.n_qubits} qubits: {error}")
            continue
        applied[here] = True
        if alone:
            continue
        if reads_numbers:
            inverted[here] = metrics.l1(invert_at_numbers(network.model, circuits), part.ideal)
        meters.append(Meter.of(mitigator, part))
        others = draw_partners(circuit, family, rng)
        if others is not None:
            no_flips = np.zeros(len(part), dtype=np.int64)
            partners = [circuits.select(other) for other in others]
            exchanges = mitigator.mitigate_others(partners, circuits, no_flips)
            ablated[here] = np.mean([metrics.l1(each, part.ideal) for each in exchanges], axis=0)
            exchanged[here] = True
            same_family += int(np.count_nonzero(family[others[0]] == family))
    if same_family:
        notes.append(
            f"{name}, other circuits: {same_family:,} rows have features of their own family, as "
            "no other has circuits on as many qubits."
        )
    if not applied.all():
        missing = len(applied) - np.count_nonzero(applied)
        notes.append(
            f"{name}: {missing:,} rows are not taken, for their gates or their numbers of qubits "
            "and of measured ones."
        )
    figures = Meter.join(meters).figures if meters else {}
    rows_of_table = [Judged(name, after, applied, None, tuple(notes), figures)]
    if guarded is not None:
        abstained, promise = np.where(kept, after, cells.before), (guarded.guard.sentence,)
        rows_of_table.append(Judged(f"{name}, guarded", abstained, kept, notes=promise))
    if alone:
        return rows_of_table
    if reads_numbers:
        rows_of_table.append(Judged(f"{name}, its numbers inverted", inverted, applied))
    return [*rows_of_table, Judged(f"{name}, other circuits", ablated, exchanged)]


def _readable(network: LoadedNetwork, group: MeasuredRows) -> IntArray:
    """Return the rows whose size and gates a network takes."""
    circuits = group.rows.circuits
    if not network.model.mitigates(circuits.n_qubits, circuits.n_measured):
        return np.zeros(0, dtype=np.int64)
    foreign = set(GATES) - set(ENCODINGS[network.model.encoding.name].gates)
    return np.flatnonzero(circuits.instructions.count(*foreign) == 0)


def draw_partners(circuit: AnyArray, family: AnyArray, rng: np.random.Generator) -> IntArray | None:
    """Draw rows (EXCHANGES, N) of other source circuits, of other families where there are any.

    In each draw all rows of a circuit get the same. None where there is one circuit only.

    Args:
        circuit, family: (N,) of each row.
    """
    names, first, of_row = np.unique(circuit, return_index=True, return_inverse=True)
    if len(names) < 2:
        return None
    partners = np.empty((EXCHANGES, len(names)), dtype=np.int64)
    for k, row in enumerate(first):
        others = first[family[first] != family[row]]
        partners[:, k] = rng.choice(others if len(others) else np.delete(first, k), EXCHANGES)
    return partners[:, of_row.reshape(-1)]
