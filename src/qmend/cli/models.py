"""``qmend models promote|list|export``."""

from __future__ import annotations

from argparse import Namespace

from qmend.cli.terminal import console
from qmend.reporting.models import promotion_sentences, versions_table
from qmend.tracking.finding import all_runs, find_run
from qmend.tracking.registry import registered_run, versions
from qmend.tracking.store import open_store


def promote_model(options: Namespace) -> None:
    """Register a run's network, champion if it beats the present one."""
    store = open_store(options.root)
    run_id = options.run
    if run_id.startswith("models:/"):
        run_id = registered_run(store, run_id)
    else:
        run_id = find_run(all_runs(store), run_id).info.run_id
    from qmend.runs.promotion import promote  # loads torch, which `models list` needs not

    for line in promotion_sentences(promote(store, run_id, options.force)):
        console.print(f"  {line}")


def export_model(options: Namespace) -> None:
    """Copy a network's files to a directory."""
    from qmend.workflows.export import export  # loads torch, which `models list` needs not

    for path in export(options.model, options.folder, options.root):
        console.print(f"  {path}")


def list_models(options: Namespace) -> None:
    """Print the registered versions."""
    store = open_store(options.root)
    registered = versions(store)
    if not registered:
        console.print("  No model is registered; `qmend models promote RUN` registers one.")
        return
    console.print(versions_table(store, registered).terminal())
