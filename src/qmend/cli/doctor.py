"""``qmend doctor``: check files and versions, without loading a heavy package."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table
from rich.text import Text

from qmend.cli.terminal import console
from qmend.config.paths import conf_dir
from qmend.devices.calibration import Calibration
from qmend.devices.device import device_from_calibration
from qmend.tracking.location import store_root
from qmend.types import QmendError
from qmend.version import __version__

_PACKAGES = (
    "torch",
    "pytorch-lightning",
    "hydra-core",
    "mlflow",
    "ray",
    "dvc",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
)
_LEAST_FREE_GIB = 2.0
_STYLES = {"ok": "green", "note": "yellow", "fail": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One line of the table; ``state`` is ok, note or fail."""

    what: str
    state: str
    detail: str


def examine(_: Namespace) -> None:
    """Print the findings.

    Raises:
        QmendError: if a check failed.
    """
    table = Table(title=f"qmend {__version__}", title_justify="left")
    for heading in ("what", "state", "detail"):
        table.add_column(heading, overflow="fold")
    failed = 0
    for finding in findings():
        failed += finding.state == "fail"
        state = Text(finding.state, _STYLES[finding.state])
        table.add_row(finding.what, state, finding.detail)
    console.print(table)
    if failed:
        raise QmendError(f"{failed} checks failed; the table says what to do.")
    console.print("Everything the commands need is in place.")


def findings() -> Iterator[Finding]:
    """Run all checks, one after the other."""
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.prefix}")
    for package in _PACKAGES:
        try:
            yield Finding(package, "ok", version(package))
        except PackageNotFoundError:
            yield Finding(package, "fail", f"not installed; pip install {package}")
    yield _checked("configs", lambda: str(conf_dir()))
    yield _checked("data root", partial(_writable, Path("data")))
    yield _checked("tracking store", _store)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    enough = free >= _LEAST_FREE_GIB
    yield Finding(
        "disk",
        "ok" if enough else "fail",
        f"{free:.1f} GiB free" + ("" if enough else "; free some space"),
    )
    yield Finding("processors", "ok", f"{os.cpu_count()}; data.workers defaults to 2")
    for name in ("algiers", "hanoi"):
        yield _snapshot(name)
    account = Path.home() / ".qiskit" / "qiskit-ibm.json"
    if account.exists() or os.environ.get("QISKIT_IBM_TOKEN"):
        yield Finding("IBM account", "ok", "saved, or in the environment")
    else:
        yield Finding("IBM account", "note", "none; simulated datasets need none")


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", check())
    except QmendError as error:
        return Finding(what, "fail", str(error))


def _writable(folder: Path) -> str:
    place = folder if folder.exists() else Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise QmendError(f"can't write to {place.resolve()} ({error.strerror})") from None
    return str(folder.resolve())


def _store() -> str:
    root = store_root()
    if isinstance(root, str):
        from qmend.tracking.server import check_server  # imports MLflow

        return f"MLflow {check_server(root)} at {root}"
    where = _writable(root)
    if not (root / "mlflow.db").exists():
        return f"{where}, not made yet; the first run makes it"
    database = root / "mlflow.db"
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as opened:
            query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
            (count,) = opened.execute(query).fetchone()
            query = "SELECT lifecycle_stage FROM experiments WHERE name = 'qmend'"
            deleted = ("deleted",) in opened.execute(query)
    except sqlite3.Error as error:
        raise QmendError(f"{database} can't be read ({error})") from None
    if deleted:
        raise QmendError(
            f"the experiment qmend in {database} is deleted; `qmend runs list` says how it is "
            "restored"
        )
    return f"{count} runs in {database}"


def _shipped_calibration(name: str) -> Calibration:
    """Read a snapshot's file, as Qiskit's provider would after seconds of imports.

    Raises:
        QmendError: if the installed package has none of that name.
    """
    spec = importlib.util.find_spec("qiskit_ibm_runtime")
    if spec is None or spec.origin is None:
        raise QmendError("qiskit-ibm-runtime is not installed")
    folder = Path(spec.origin).parent / "fake_provider" / "backends" / name
    path = folder / f"props_{name}.json"
    if not path.exists():
        raise QmendError(f"qiskit-ibm-runtime ships no {path.name}")
    return Calibration.read(path)


def _snapshot(name: str) -> Finding:
    what = f"snapshot {name}"
    try:
        device = device_from_calibration(_shipped_calibration(name), (0, 1, 2, 3, 5))
    except QmendError as error:
        return Finding(what, "fail", str(error))
    calibration = device.calibration
    long = [
        q.qubit
        for q in calibration.qubits
        if q.t1_us is not None and q.t2_us is not None and q.t2_us > 2 * q.t1_us
    ]
    detail = f"{calibration.device}, {calibration.time:%Y-%m-%d}"
    if long:
        detail += f"; T2 > 2 T1 on {long}: kept raw, truncated in simulation"
    return Finding(what, "note" if long else "ok", detail)
