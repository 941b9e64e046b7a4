"""The page of a study, as Markdown: its tables, figures and sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qmend.reporting.table import Table


def study_page(
    name: str,
    summary: str,
    tables: Sequence[Table],
    notes: Sequence[str],
    run_id: str,
    folder: Path,
) -> str:
    """Write the page of a study.

    Args:
        summary: of its config: what it is, and what it takes.
        folder: in which the page will lie, with the figures that it shows.
    """
    parts = [f"# Study `{name}`", summary]
    parts += [f"Made by `qmend study {name}`, run {run_id[:8]}."]
    parts += [f"- {note}" for note in notes]
    for table in tables:
        parts += [f"## {table.title}", table.markdown().strip()]
        parts += [table.caption] if table.caption else []
    for figure in sorted(folder.rglob("*.svg")):
        place = figure.relative_to(folder)
        parts.append(f"![{_words(place)}]({place.as_posix()})")
    return "\n\n".join(parts) + "\n"


def _words(place: Path) -> str:
    """Describe a figure by its path: ``pauli/figure.svg`` as ``pauli figure``."""
    return re.sub(r"[/_]+", " ", place.with_suffix("").as_posix())
