"""Load a dataset: its rows as arrays in chain order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.statevector import to_chain_order
from qmend.datasets.circuits import CircuitBatch, check_distributions
from qmend.datasets.manifest import CALIBRATIONS, Manifest
from qmend.datasets.schema import (
    MAX_DENSE_QUBITS,
    REFERENCE,
    instruction_table,
    matrix,
    read_calibrations,
)
from qmend.datasets.stored_rows import by_size, dense_rows, read_distributions
from qmend.devices.calibration import Calibration
from qmend.devices.imputation import unknown_calibration
from qmend.gates import GATES
from qmend.types import AnyArray, FloatArray, IntArray, QmendError, Split


@dataclass(frozen=True)
class LabelledCircuits:
    """Circuits with their ideal distributions, all in chain order.

    All have one number of qubits, and measure one number m of them.

    Attributes:
        circuits: what a mitigator may see.
        ideal: (N, 2^m).
        noisy_exact: (N, 2^m) the noisy distribution without shot noise, None for hardware.
        circuit_id, job_id: (N,) strings.
        job: (N,) number of the job.
        n_two_qubit, depth: (N,).
    """

    circuits: CircuitBatch
    ideal: FloatArray
    noisy_exact: FloatArray | None
    circuit_id: AnyArray
    job_id: AnyArray
    job: IntArray
    n_two_qubit: IntArray
    depth: IntArray

    def __len__(self) -> int:
        return len(self.circuits)

    def select(self, index: IntArray) -> LabelledCircuits:
        """Select circuits by ``index``, in that order."""
        return LabelledCircuits(
            self.circuits.select(index),
            self.ideal[index],
            None if self.noisy_exact is None else self.noisy_exact[index],
            self.circuit_id[index],
            self.job_id[index],
            self.job[index],
            self.n_two_qubit[index],
            self.depth[index],
        )


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory.

    Attributes:
        folder: its directory.
        manifest: its manifest, already checked against the files.
        family, device, source: of all rows.
        groups: the circuits of each number of qubits and number of measured ones, ascending.
        splits: (N,) split of each row, for each group.
        references: further circuits of the jobs, by size, which are in no split.
        skipped: reason -> rows of the folder that are not among ``groups``.
    """

    folder: Path
    manifest: Manifest
    family: str
    device: str
    source: str
    groups: tuple[LabelledCircuits, ...]
    splits: tuple[AnyArray, ...]
    references: tuple[LabelledCircuits, ...]
    skipped: dict[str, int]

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    @property
    def split(self) -> AnyArray:
        """Splits of all rows, group after group."""
        return np.concatenate(self.splits)

    @property
    def rows(self) -> LabelledCircuits:
        """The only group.

        Raises:
            QmendError: if there are several.
        """
        return self._only(self.groups)

    def _only(self, parts: Sequence[LabelledCircuits]) -> LabelledCircuits:
        if len(parts) > 1:
            sizes = [f"{p.circuits.n_measured} of {p.circuits.n_qubits}" for p in parts]
            raise QmendError(
                f"{self.folder} measures {', '.join(sizes)} qubits, and only circuits of one size "
                "can be taken here; choose data whose circuits measure as many qubits each."
            )
        return parts[0]

    def select(self, indices: Sequence[IntArray], reason: str) -> Dataset:
        """Select rows of each group; the others are skipped for ``reason``.

        Args:
            indices: of each group; a group without any is left out.
        """
        left_out = len(self) - sum(map(len, indices))
        kept = [k for k, index in enumerate(indices) if len(index)]
        return replace(
            self,
            groups=tuple(self.groups[k].select(indices[k]) for k in kept),
            splits=tuple(self.splits[k][indices[k]] for k in kept),
            skipped={**self.skipped, reason: left_out} if left_out else self.skipped,
        )

    def shortened(self, train_circuits: int | None, val_circuits: int | None = None) -> Dataset:
        """The dataset with the first so many circuits of two splits; None: all.

        The first jobs come first, whatever they measure.

        Raises:
            QmendError: if a split has fewer.
        """
        counts = {"train": train_circuits, "val": val_circuits}
        if not any(counts.values()):
            return self
        order = np.argsort(np.concatenate([group.job for group in self.groups]), kind="stable")
        kept = np.ones(len(self), dtype=bool)
        for split, count in counts.items():
            own = order[self.split[order] == split]
            if count is None:
                continue
            if count > len(own):
                raise QmendError(
                    f"{split}_circuits={count:,} is more than the {len(own):,} circuits in the "
                    f"{split} split of {self.folder}; choose fewer."
                )
            kept[own[count:]] = False
        ends = np.cumsum([len(group) for group in self.groups])
        chosen = [np.flatnonzero(part) for part in np.split(kept, ends[:-1])]
        return self.select(chosen, "left out of its split")

    def parts(self, split: Split | Literal["all"]) -> tuple[LabelledCircuits, ...]:
        """Return the circuits of one split, or of all together, by group.

        Raises:
            QmendError: if the split is empty.
        """
        if split == "all":
            return self.groups
        chosen = [np.flatnonzero(own == split) for own in self.splits]
        pairs = zip(self.groups, chosen, strict=True)
        parts = tuple(group.select(index) for group, index in pairs if len(index))
        if not parts:
            raise QmendError(f"{self.folder} has no circuit in the {split} split.")
        return parts

    def part(self, split: Split | Literal["all"]) -> LabelledCircuits:
        """Return the circuits of one split, or of all together, of the only group.

        Raises:
            QmendError: if the split is empty, or there are several groups.
        """
        return self._only(self.parts(split))


def load_dataset(folder: Path, n_qubits: int | None = None) -> Dataset:
    """Read a dataset whose files match their hashes.

    Rows whose ``calibration_id`` is null get a calibration without values, which is an error for
    whoever reads one; :func:`qmend.datasets.circuits.fill_missing` puts mean values in.

    Args:
        n_qubits: take the rows of this register size only; None: of all.

    Raises:
        QmendError: if a file is missing, altered or of another schema, or no row can be taken.
    """
    manifest, stored = read_distributions(folder)
    table, skipped = _loadable(stored, folder, n_qubits)
    told = pc.equal(table["split"], REFERENCE)
    references, table = table.filter(told), table.filter(pc.invert(told))
    tables = by_size(table)
    rows = labelled_rows([*tables, *(part for part in by_size(references) if len(part))], folder)
    return Dataset(
        folder=folder,
        manifest=manifest,
        family=_common(table, "family"),
        device=_common(table, "device"),
        source=_common(table, "source"),
        groups=rows[: len(tables)],
        splits=tuple(np.array(part["split"].to_pylist()) for part in tables),
        references=rows[len(tables) :],
        skipped=skipped,
    )


def labelled_rows(tables: Sequence[pa.Table], folder: Path) -> tuple[LabelledCircuits, ...]:
    """Convert stored rows, each table of one number of qubits and of one of measured ones.

    Args:
        tables: parts of what :func:`~qmend.datasets.stored_rows.read_rows` returns.
        folder: the dataset's directory, which has the calibrations.

    Raises:
        QmendError: if a row's counts or its ideal distribution are none.
    """
    calibrations = read_calibrations(pq.read_table(folder / CALIBRATIONS))
    return tuple(_labelled(table, calibrations, folder) for table in tables)


def _labelled(
    table: pa.Table, calibrations: Mapping[str, Calibration], folder: Path
) -> LabelledCircuits:
    n_qubits = int(table["n_qubits"][0].as_py())
    instructions = instruction_table(table["instructions"], n_qubits)
    layouts = [tuple(row) for row in matrix(table["layout"]).tolist()]
    # One entry for each calibration on each layout it is used with.
    names, devices = table["calibration_id"].to_pylist(), table["device"].to_pylist()
    chains = list(zip(names, devices, layouts, strict=True))
    position = {chain: k for k, chain in enumerate(dict.fromkeys(chains))}
    calibration_index = np.array([position[chain] for chain in chains])
    measured = matrix(table["measured"]).astype(np.int64)
    counts = matrix(table["counts"])
    shots = np.asarray(table["shots"]).astype(np.int64)
    if (counts < 0).any() or (counts.sum(axis=1) != shots).any():
        row = int(np.flatnonzero((counts < 0).any(axis=1) | (counts.sum(axis=1) != shots))[0])
        raise QmendError(f"{folder}: the counts of row {row} do not add up to its shots.")
    ideal = to_chain_order(matrix(table["ideal"]), measured)
    check_distributions(ideal, "ideal")
    exact = table["noisy_exact"]
    if not np.isfinite(np.asarray(exact.combine_chunks().flatten())).all():
        raise QmendError(f"{folder}: an exact noisy distribution is not finite.")
    circuits = CircuitBatch(
        instructions=instructions,
        noisy=to_chain_order(counts / shots[:, None], measured),
        shots=shots,
        layouts=tuple(layout for *_, layout in position),
        calibrations=tuple(
            unknown_calibration_of(
                device, layout, instructions.select(np.flatnonzero(calibration_index == k))
            )
            if name is None
            else calibrations[name].restrict(layout)
            for (name, device, layout), k in position.items()
        ),
        calibration_index=calibration_index,
        executed=np.array(table["circuit_stage"].to_pylist()) == "executed",
        measured=measured,
    )
    return LabelledCircuits(
        circuits=circuits,
        ideal=ideal,
        noisy_exact=None if exact.null_count else to_chain_order(matrix(exact), measured),
        circuit_id=np.array(table["circuit_id"].to_pylist()),
        job_id=np.array(table["job_id"].to_pylist()),
        job=np.asarray(table["job"]).astype(np.int64),
        n_two_qubit=np.asarray(table["n_two_qubit"]).astype(np.int64),
        depth=np.asarray(table["depth"]).astype(np.int64),
    )


def unknown_calibration_of(
    device: str, layout: tuple[int, ...], circuits: InstructionTable
) -> Calibration:
    """Make a calibration without values for rows that have none."""
    two = circuits.second >= 0
    columns = (circuits.gate[two], circuits.first[two], circuits.second[two])
    used = {(GATES[g], int(a), int(b)) for g, a, b in zip(*columns, strict=True)}
    return unknown_calibration(device, layout, used)


def _loadable(
    table: pa.Table, folder: Path, n_qubits: int | None
) -> tuple[pa.Table, dict[str, int]]:
    """Select the rows whose counts are dense, of one size if it is asked for; count the others."""
    sizes, dense = np.asarray(table["n_qubits"]), dense_rows(table)
    wanted = np.ones(len(sizes), dtype=bool) if n_qubits is None else sizes == n_qubits
    skipped = {
        "other number of qubits": int((~wanted).sum()),
        f"more than {MAX_DENSE_QUBITS} measured qubits": int((wanted & ~dense).sum()),
    }
    kept = wanted & dense
    if not kept.any():
        usable = ", ".join(map(str, sorted(set(sizes[dense].tolist()))))
        asked = "" if n_qubits is None else f"circuits on {n_qubits} qubits and "
        way_out = f"choose n_qubits among {usable}" if usable else "no model can be scored on it"
        raise QmendError(
            f"{folder} has no {asked}at most {MAX_DENSE_QUBITS} measured ones; {way_out}."
        )
    return table.filter(pa.array(kept)), {k: v for k, v in skipped.items() if v}


def _common(table: pa.Table, column: str) -> str:
    return "+".join(sorted(set(table[column].to_pylist())))
