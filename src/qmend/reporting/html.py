"""HTML pages: self-contained, without scripts, replaced whole."""

from __future__ import annotations

import datetime
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from qmend.files import write_text
from qmend.reporting import figures
from qmend.version import __version__


def write_page(path: Path, template: str, **parts: Any) -> None:
    """Fill a template with its parts and write the page, never half.

    A template may also use ``style``, the style sheet of all pages: light or dark by the reader's
    system, and printable; and ``made``, the version and the time.

    Raises:
        QmendError: if the page can't be written.
    """
    folder = files("qmend.reporting")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(folder.joinpath(f"{template}.html.j2").read_text()).render(
        style=folder.joinpath("page.css").read_text(),
        made=f"qmend {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        **parts,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def inline(figure: Figure, name: str) -> str:
    """Convert a figure to SVG in the page's colours; ``name`` must be unique on the page."""
    text = re.sub(r"<metadata>.*?</metadata>", "", figures.svg(figure), flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # of no use inside HTML
    return figures.themed(figures.namespaced(text, name))
