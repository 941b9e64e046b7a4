"""``qmend references``."""

from __future__ import annotations

from qmend.cli.terminal import console
from qmend.workflows.configs import ReferencesCommandConfig
from qmend.workflows.references import RECORDS, write_references


def write_circuits(config: ReferencesCommandConfig) -> None:
    """Write references of a circuit; its file may be the first argument."""
    written = write_references(config)
    console.print(
        f"  {written.folder}: {len(written.known)} references and {RECORDS}; known parities of "
        f"each: {', '.join(map(str, written.known))} of {written.parities}",
        soft_wrap=True,
    )
