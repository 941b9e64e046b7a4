"""Read a dataset: check its files, load its rows as arrays in chain order."""

from __future__ import annotations

from collections.abc import Sequence
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
from qmend.datasets.manifest import CALIBRATIONS, FileEntry, Manifest, check_files, read_manifest
from qmend.datasets.schema import MAX_DENSE_QUBITS, instruction_table, matrix, read_calibrations
from qmend.devices.calibration import Calibration
from qmend.devices.imputation import unknown_calibration
from qmend.gates import GATES
from qmend.types import AnyArray, FloatArray, IntArray, QmendError, Split

#: Name of the shards of a dataset that has expectation values only, before the hyphen.
EXPECTATIONS = "expectations"


@dataclass(frozen=True)
class LabelledCircuits:
    """Circuits with their ideal distributions, all in chain order.

    Attributes:
        circuits: what a mitigator may see.
        ideal: (N, 2^n).
        noisy_exact: (N, 2^n) the noisy distribution without shot noise, None for hardware.
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
        rows: all circuits.
        split: (N,) split of each row.
        skipped: reason -> rows of the folder that are not among ``rows``.
    """

    folder: Path
    manifest: Manifest
    family: str
    device: str
    source: str
    rows: LabelledCircuits
    split: AnyArray
    skipped: dict[str, int]

    def select(self, index: IntArray, reason: str) -> Dataset:
        """Select rows by ``index``; the others are skipped for ``reason``."""
        left_out = len(self.rows) - len(index)
        skipped = {**self.skipped, reason: left_out} if left_out else self.skipped
        return replace(self, rows=self.rows.select(index), split=self.split[index], skipped=skipped)

    def shortened(self, train_circuits: int | None) -> Dataset:
        """The dataset with the first so many circuits of its training split; None: all.

        Raises:
            QmendError: if it has fewer.
        """
        if train_circuits is None:
            return self
        train = np.flatnonzero(self.split == "train")
        if train_circuits > len(train):
            raise QmendError(
                f"train_circuits={train_circuits:,} is more than the {len(train):,} training "
                f"circuits of {self.folder}; choose fewer."
            )
        kept = np.ones(len(self.rows), dtype=bool)
        kept[train[train_circuits:]] = False
        return self.select(np.flatnonzero(kept), "left out of the training split")

    def part(self, split: Split | Literal["all"]) -> LabelledCircuits:
        """Return the circuits of one split, or of all together.

        Raises:
            QmendError: if the split is empty.
        """
        if split == "all":
            return self.rows
        index = np.flatnonzero(self.split == split)
        if not len(index):
            raise QmendError(f"{self.folder} has no circuit in the {split} split.")
        return self.rows.select(index)


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


def load_dataset(folder: Path, n_qubits: int | None = None) -> Dataset:
    """Read a dataset whose files match their hashes.

    Rows whose ``calibration_id`` is null get a calibration without values, which is an error for
    whoever reads one; :func:`qmend.datasets.circuits.fill_missing` puts mean values in.

    Args:
        n_qubits: take the rows of this register size only; needed where there are several.

    Raises:
        QmendError: if a file is missing, altered or of another schema, or no row can be taken.
    """
    manifest, stored = read_distributions(folder)
    table, skipped = _loadable(stored, folder, n_qubits)
    rows = labelled_rows(table, folder)
    return Dataset(
        folder=folder,
        manifest=manifest,
        family=_common(table, "family"),
        device=_common(table, "device"),
        source=_common(table, "source"),
        rows=rows,
        split=np.array(table["split"].to_pylist()),
        skipped=skipped,
    )


def read_distributions(folder: Path) -> tuple[Manifest, pa.Table]:
    """Read the manifest and all rows with counts of a dataset whose files match their hashes.

    Raises:
        QmendError: if a file is missing, altered or of another schema, or no row has counts.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    shards = [e for e in manifest.shards if not e.file.startswith(EXPECTATIONS)]
    if not shards:
        raise QmendError(
            f"{folder} holds expectation values, no distributions; read it with load_expectations."
        )
    return manifest, read_rows(folder, shards)


def labelled_rows(table: pa.Table, folder: Path) -> LabelledCircuits:
    """Convert stored rows of one number of qubits, and of one number of measured ones.

    The outcomes of qubits that are not measured are uniform, and independent of the others.

    Args:
        table: of :func:`read_rows`.
        folder: the dataset's directory, which has the calibrations.

    Raises:
        QmendError: if a row's counts or its ideal distribution are none.
    """
    calibrations = read_calibrations(pq.read_table(folder / CALIBRATIONS))
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
    ideal = _to_chain(matrix(table["ideal"]), measured, n_qubits)
    check_distributions(ideal, "ideal")
    exact = table["noisy_exact"]
    if not np.isfinite(np.asarray(exact.combine_chunks().flatten())).all():
        raise QmendError(f"{folder}: an exact noisy distribution is not finite.")
    circuits = CircuitBatch(
        instructions=instructions,
        noisy=_to_chain(counts / shots[:, None], measured, n_qubits),
        shots=shots,
        layouts=tuple(layout for *_, layout in position),
        calibrations=tuple(
            _unknown(device, layout, instructions.select(np.flatnonzero(calibration_index == k)))
            if name is None
            else calibrations[name].restrict(layout)
            for (name, device, layout), k in position.items()
        ),
        calibration_index=calibration_index,
        measured=measured,
    )
    return LabelledCircuits(
        circuits=circuits,
        ideal=ideal,
        noisy_exact=None if exact.null_count else _to_chain(matrix(exact), measured, n_qubits),
        circuit_id=np.array(table["circuit_id"].to_pylist()),
        job_id=np.array(table["job_id"].to_pylist()),
        job=np.asarray(table["job"]).astype(np.int64),
        n_two_qubit=np.asarray(table["n_two_qubit"]).astype(np.int64),
        depth=np.asarray(table["depth"]).astype(np.int64),
    )


def _to_chain(source: FloatArray, measured: IntArray, n_qubits: int) -> FloatArray:
    """Convert (N, 2^bits) distributions to (N, 2^n) in chain order."""
    bits = measured.shape[1]
    if bits == n_qubits:
        return to_chain_order(source, measured)
    seen = (np.arange(2**n_qubits)[:, None] >> measured[:, None, :]) & 1
    outcome = seen @ (1 << np.arange(bits))
    spread: FloatArray = np.take_along_axis(source, outcome, axis=1) / 2 ** (n_qubits - bits)
    return spread


def loadable_sizes(folder: Path) -> dict[int, int]:
    """Count the rows that :func:`load_dataset` can take, by number of qubits, most rows first.

    Raises:
        QmendError: if the dataset can't be read.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    shards = [e for e in manifest.shards if not e.file.startswith(EXPECTATIONS)]
    sizes = np.zeros(0, dtype=np.int64)
    if shards:
        sizes, whole, dense = _sizes(read_rows(folder, shards))
        sizes = sizes[whole & dense]
    counts = zip(*np.unique(sizes, return_counts=True), strict=True)
    return {int(size): int(count) for size, count in sorted(counts, key=lambda pair: -pair[1])}


def _sizes(table: pa.Table) -> tuple[IntArray, AnyArray, AnyArray]:
    """(N,) number of qubits of each row, whether all are measured, whether the counts are dense."""
    sizes = np.asarray(table["n_qubits"]).astype(np.int64)
    whole = np.asarray(pc.list_value_length(table["measured"])) == sizes
    return sizes, whole, np.asarray(pc.is_null(table["outcomes"]))


def _unknown(device: str, layout: tuple[int, ...], circuits: InstructionTable) -> Calibration:
    """Make a calibration without values for rows that have none."""
    two = circuits.second >= 0
    columns = (circuits.gate[two], circuits.first[two], circuits.second[two])
    used = {(GATES[g], int(a), int(b)) for g, a, b in zip(*columns, strict=True)}
    return unknown_calibration(device, layout, used)


def _loadable(
    table: pa.Table, folder: Path, n_qubits: int | None
) -> tuple[pa.Table, dict[str, int]]:
    """Select the rows that fit one batch; count the others by reason."""
    sizes, whole, dense = _sizes(table)
    present, usable = sorted(set(sizes.tolist())), sorted(set(sizes[whole & dense].tolist()))
    if n_qubits is None and len(present) > 1:
        raise QmendError(
            f"{folder} has circuits on {', '.join(map(str, present))} qubits, which can't be "
            f"loaded together; name one size, such as n_qubits={(usable or present)[0]}."
        )
    size = present[0] if n_qubits is None else n_qubits
    wanted = sizes == size
    skipped = {
        "other number of qubits": int((~wanted).sum()),
        "not all qubits measured": int((wanted & ~whole).sum()),
        f"more than {MAX_DENSE_QUBITS} qubits": int((wanted & whole & ~dense).sum()),
    }
    kept = wanted & whole & dense
    if not kept.any():
        raise QmendError(
            f"{folder} has no circuit on {size} qubits, all measured; {_other_sizes(usable)}."
        )
    return table.filter(pa.array(kept)), {k: v for k, v in skipped.items() if v}


def _other_sizes(sizes: list[int]) -> str:
    if not sizes:
        return "it has none of another size either, so no model can be scored on it"
    choices = " or ".join(f"n_qubits={size}" for size in sizes)
    return f"it has circuits on {', '.join(map(str, sizes))} qubits: give {choices}"


def _common(table: pa.Table, column: str) -> str:
    return "+".join(sorted(set(table[column].to_pylist())))
