"""The page of a study: its tables, figures and sentences, as Markdown and as a part of HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from markdown_it import MarkdownIt

from qmend.reporting.figures import namespaced, themed
from qmend.reporting.table import Table
from qmend.runs.cells import STUDY_FILES

#: The page among the files of a study's run.
PAGE = f"{STUDY_FILES}/page.md"


class Contents(Protocol):
    """The parts of a study's result that its page shows."""

    @property
    def run_id(self) -> str: ...
    @property
    def opening(self) -> str: ...
    @property
    def failure(self) -> Exception | None: ...
    @property
    def tables(self) -> Sequence[Table]: ...
    @property
    def notes(self) -> Sequence[str]: ...


def study_page(name: str, summary: str, result: Contents, figures: Sequence[str]) -> str:
    """Write the page of a study.

    Args:
        summary: of its config: what it is, and what it takes.
        figures: paths of SVG files from the page.
    """
    parts = [f"# Study `{name}`", summary]
    parts += [f"Made by `qmend study {name}`, run {result.run_id[:8]}."]
    parts += [f"**{result.failure}**"] if result.failure is not None else []
    parts += [result.opening] if result.opening else []
    parts += [f"- {note}" for note in result.notes]
    for table in result.tables:
        parts += [f"## {table.title}", table.markdown().strip()]
        parts += [table.caption] if table.caption else []
    for figure in figures:
        if f"({figure})" not in result.opening:
            parts.append(f"![{_words(figure)}]({figure})")
    return "\n\n".join(parts) + "\n"


def _words(path: str) -> str:
    """Describe a figure by its path: ``pauli/figure.svg`` as ``pauli figure``."""
    return re.sub(r"[/_]+", " ", path.removesuffix(".svg"))


def page_html(page: str, read: Callable[[str], str | None], name: str) -> str:
    """Convert a page to HTML below a heading of its own, with its figures in it.

    Args:
        read: returns the SVG of a figure by its path in the page; None if it is not there.
        name: unique in the whole HTML page.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    _, _, body = page.partition("\n")  # its title is that of the part
    html = re.sub(r"<(/?)h2>", r"<\1h3>", markdown.render(body))
    html = re.sub(
        r"<table>(.*?)</table>", r'<div class="scroll">\g<0></div>', html, flags=re.DOTALL
    )
    number = iter(range(len(html)))

    def inline(image: re.Match[str]) -> str:
        svg = read(image[1])
        return image[0] if svg is None else themed(namespaced(svg, f"{name}-{next(number)}"))

    return re.sub(r'<img src="([^"]+)"[^>]*>', inline, html)
