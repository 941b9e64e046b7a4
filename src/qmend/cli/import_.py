"""``qmend data import``."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence

import numpy as np

from qmend.cli.lock import report_lock
from qmend.cli.terminal import TerminalObserver, console, warn
from qmend.importing.agreement import Agreement
from qmend.importing.importer import import_file
from qmend.importing.orders import parse_order
from qmend.importing.rows import ImportOptions
from qmend.importing.storage import Import
from qmend.types import QmendError

_SHOWN = 5


def import_data(options: Namespace) -> None:
    """Import a file of measured circuits.

    Raises:
        QmendError: if the name is none, or the file can't be imported.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name):
        raise QmendError(f"--name {options.name}: use letters, digits, _ and - only.")
    chosen = ImportOptions(
        options.name, options.family, parse_order(options.bit_order), options.seed
    )
    with TerminalObserver().circuits("records") as progress:
        done = import_file(
            options.file, options.root / options.name, chosen, progress, options.replace
        )
    _report(done)
    report_lock(done.folder, sys.argv[1:])


def _report(done: Import) -> None:
    manifest, check = done.manifest, done.check
    facts = manifest.recipe["imported"]
    word = "unchanged, " if done.unchanged else ""
    console.print(
        f"  {done.folder}: {word}{manifest.rows:,} rows, labels proven, hash "
        f"{manifest.dataset_sha}; split by {facts['split']['by']}",
        markup=False,
    )
    layouts, calibrations = facts["layouts"], facts["calibrations"]
    if layouts.get("assumed"):
        console.print(
            f"  {layouts['assumed']:,} circuits were compiled to a chain that was assumed: the "
            "qubits they ran on are not recorded, or not joined on the device."
        )
    unknown = facts["unknown_to_device"]
    if unknown:
        warn(
            f"{len(unknown):,} executed circuits use what the device's snapshot lacks; check "
            "device, physical_qubits and circuit_stage."
        )
        _list(f"Unknown to the device: record {name}, {on}." for name, on in unknown.items())
    if calibrations.get("medians") or calibrations.get("none"):
        console.print(
            f"  Calibration: {calibrations.get('snapshot', 0):,} rows with a snapshot, "
            f"{calibrations.get('medians', 0):,} with device medians, "
            f"{calibrations.get('none', 0):,} with none."
        )
    console.print(
        f"  Bit order: {check.telling:,} of {check.records:,} records can tell; another order fits "
        f"{len(check.doubtful):,} of them clearly better."
    )
    for bits, (order, gain) in check.better.items():
        warn(
            f"over all records of {bits} bits the order "
            f"{order} fits better (mean distance to ideal smaller by {gain:.3f}); if "
            f"the source counts bits so, import again with --bit-order {order} "
            "--replace."
        )
    _list(
        f"Doubtful: record {name} fits the order {order} better."
        for name, order in check.doubtful.items()
    )
    _report_agreement(done.agreements, "values" if facts["kind"] == "expectations" else "counts")


def _report_agreement(agreements: Sequence[Agreement], kind: str) -> None:
    distance = "total variation" if kind == "counts" else "mean absolute difference"
    median, most, largest = np.quantile([a.distance for a in agreements], [0.5, 0.9, 1.0])
    console.print(
        f"  Distance from ideal ({distance}): median {median:.2f}, 90 % of the records below "
        f"{most:.2f}, largest {largest:.2f}."
    )
    far = sorted((a for a in agreements if a.far), key=lambda a: a.uniform - a.distance)
    if not far:
        return
    warn(
        f"the {kind} of {len(far):,} of {len(agreements):,} records show "
        "no trace of their circuit: another one ran, or noise has left nothing of it. Check them, "
        "or leave them out."
    )
    _list(
        f"Far from ideal: record {record.name}, {distance} {record.distance:.2f} (a uniform "
        f"distribution: {record.uniform:.2f})."
        for record in far
    )


def _list(sentences: Iterable[str]) -> None:
    """Print the first few; the manifest has them all."""
    lines = list(sentences)
    for line in lines[:_SHOWN]:
        console.print(f"  {line}")
    if len(lines) > _SHOWN:
        console.print(f"  ... and {len(lines) - _SHOWN:,} more, named in the manifest.")
