"""``qmend data show``."""

from __future__ import annotations

from pathlib import Path

from qmend.cli.terminal import console
from qmend.datasets.description import describe, distances
from qmend.datasets.manifest import check_files, read_manifest
from qmend.files import check_writable
from qmend.reporting.dataset_page import write_dataset_page
from qmend.reporting.dataset_table import summarise
from qmend.workflows.configs import ShowConfig


def show_data(config: ShowConfig) -> None:
    """Show a dataset as tables and a page; its directory may be the first argument."""
    folder = config.folder or config.dataset_folder
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    page = config.output or Path("reports") / f"data_{folder.resolve().name}.html"
    check_writable(page)
    description = describe(folder, manifest)
    signal_and_noise = distances(folder, manifest)
    summary = summarise(description, signal_and_noise)
    for table in summary.tables:
        console.print(table.terminal())
        console.print()
    write_dataset_page(page, description, signal_and_noise, summary)
    console.print(f"Page: {page.resolve()}")
