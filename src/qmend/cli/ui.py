"""``qmend ui``."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace

from qmend.tracking.location import store_root
from qmend.tracking.store import Store, open_store
from qmend.tracking.views import prepare_views
from qmend.types import QmendError

#: MLflow's own command, without its notices of options that `qmend ui` does not have. Errors are
#: written in other ways, and pass.
_MLFLOW = "import click, mlflow.cli; click.echo = lambda *_, **__: None; mlflow.cli.cli()"


def serve_ui(options: Namespace) -> None:
    """Serve MLflow's UI on this machine; replaces this process.

    A store that is a server has a UI already: only the links to its views are printed.
    """
    root = store_root(options.root)
    if isinstance(root, str):
        store = open_store(root)
        print(f"MLflow UI on {root}")
        _print_views(store, root)
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.port))
        except (OSError, OverflowError):
            raise QmendError(
                f"Port {options.port} is taken or out of range; choose another with --port."
            ) from None
    store = open_store(root)
    address = f"http://127.0.0.1:{options.port}"
    print(f"MLflow UI on {address}, in a few seconds (ctrl-C ends it)")
    _print_views(store, address)
    sys.stdout.flush()
    command = [sys.executable, "-c", _MLFLOW, "ui", "--backend-store-uri", store.uri]
    command += ["--default-artifact-root", str(store.folder / "artifacts")]
    command += ["--host", "127.0.0.1", "--port", str(options.port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of libraries, about each other
    # Its job runners are not needed here, and outlive the server.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.execv(sys.executable, command)


def _print_views(store: Store, address: str) -> None:
    """Print the links to the newest leaderboard and the newest charts."""
    try:
        views = prepare_views(store)
    except QmendError as error:
        print(f"  No prepared views: {error}")
        return
    for charts in (False, True):
        view = next((view for view in views if view.charts == charts), None)
        if view is not None:
            print(f"  {view.title}:\n    {view.link(address, store.experiment_id)}")
    if len(views) > 1:
        print(f"  All {len(views)}: menu Views above the list of runs")
