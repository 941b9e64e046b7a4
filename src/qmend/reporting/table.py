"""A table, and how it is drawn on a terminal, in Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import rich.table
from markupsafe import Markup, escape
from rich import box
from rich.text import Text

#: Mark of a row or cell, a class in HTML -> its style on a terminal.
_STYLES = {
    "best": "bold green",
    "simulates": "dim",
    "reference": "dim",
    "failed": "red",
    "killed": "yellow",
    "running": "cyan",
    "pruned": "dim",
    "label": "dim",
}
#: With more columns than this, gaps on a terminal are narrow.
_LOOSE = 8
#: Least width of a text that may be cut or folded, in characters; with many columns, and else.
_NARROWEST, _NARROW = 8, 14


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: on a page; None leaves the column out there.
        short: heading on a terminal of 100 columns; None leaves the column out there.
        words: left-aligned text; else right-aligned numbers.
        long: how a terminal shortens a long text; ``whole`` does not.
    """

    heading: str | None
    short: str | None
    words: bool = False
    long: Literal["whole", "fold", "ellipsis"] = "whole"

    @staticmethod
    def text(heading: str, long: Literal["whole", "fold", "ellipsis"] = "whole") -> Column:
        """Make a column of words with one heading everywhere."""
        return Column(heading, heading, words=True, long=long)

    @staticmethod
    def number(heading: str) -> Column:
        """Make a column of numbers with one heading everywhere."""
        return Column(heading, heading)


@dataclass(frozen=True)
class Cell:
    """A text with a mark, such as ``better``."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A cell for each column.

    Attributes:
        mark: ``best``, ``simulates``, ``reference``, ``failed``, or none.
    """

    cells: tuple[Cell, ...]
    mark: str = ""

    @staticmethod
    def of(cells: Iterable[str | Cell], mark: str = "") -> Row:
        """Make a row of cells or plain texts."""
        return Row(tuple(c if isinstance(c, Cell) else Cell(c) for c in cells), mark)


@dataclass(frozen=True)
class Table:
    """A table of formatted texts.

    Attributes:
        sections: of rows, with a rule between them.
        caption: below the table; empty: none.
    """

    columns: tuple[Column, ...]
    sections: tuple[tuple[Row, ...], ...]
    title: str = ""
    caption: str = ""

    @property
    def rows(self) -> list[Row]:
        return [row for section in self.sections for row in section]

    @property
    def headings(self) -> list[str]:
        """The headings of a page."""
        return [column.heading for column in self.columns if column.heading is not None]

    def texts(self, row: Row) -> list[str]:
        """Return the texts of a row below :attr:`headings`."""
        return [cell.text.strip() for _, cell in self._page(row)]

    def _page(self, row: Row) -> list[tuple[Column, Cell]]:
        pairs = zip(self.columns, row.cells, strict=True)
        return [(column, cell) for column, cell in pairs if column.heading is not None]

    def terminal(self) -> rich.table.Table:
        """Draw the table with rich; no text is read as markup."""
        columns = [(k, c, c.short) for k, c in enumerate(self.columns) if c.short is not None]
        drawn = rich.table.Table(
            title=Text(self.title, "table.title") if self.title else None,
            title_justify="left",
            caption=Text(self.caption, "table.caption") if self.caption else None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            collapse_padding=True,
            padding=(0, 0) if len(columns) > _LOOSE else (0, 1),
            show_header=any(heading for _, _, heading in columns),
            expand=any(column.long == "ellipsis" for _, column, _ in columns),
        )
        narrow = _NARROWEST if len(columns) > _LOOSE else _NARROW
        for k, column, heading in columns:
            texts = [heading or "", *(row.cells[k].text for row in self.rows)]
            drawn.add_column(
                heading,
                justify="left" if column.words else "right",
                overflow="fold" if column.long == "whole" else column.long,
                no_wrap=column.long != "fold",
                min_width=None if column.long == "whole" else min(narrow, max(map(len, texts))),
                ratio=1 if column.long == "ellipsis" else None,
            )
        for section in self.sections:
            for row in section:
                style = _STYLES.get(row.mark, "")
                cells = [row.cells[k] for k, _, _ in columns]
                drawn.add_row(*(Text(c.text, _STYLES.get(c.mark, style)) for c in cells))
            drawn.add_section()
        return drawn

    def markdown(self) -> str:
        """Write the table in Markdown; the best row is bold, the reference italic."""
        columns = [column for column in self.columns if column.heading is not None]
        rule = "".join("---|" if column.words else "---:|" for column in columns)
        lines = [_line(self.headings), f"|{rule}"]
        for row in self.rows:
            name, figure, *others = self.texts(row)
            if row.mark == "best":
                name, figure = f"**{name}**", f"**{figure}**"
            elif row.mark == "reference":
                name = f"*{name}*"
            lines.append(_line([name, figure, *others]))
        return "\n".join(lines) + "\n"

    def html(self, css: str = "") -> Markup:
        """Write the table as HTML; marks are classes.

        Args:
            css: class of the table.
        """
        columns = [column for column in self.columns if column.heading is not None]
        heads = (_element("th", c.heading or "", "text" if c.words else "") for c in columns)
        parts = [Markup("<table{}>").format(_class(css)), Markup("<thead><tr>"), *heads]
        parts.append(Markup("</tr></thead>\n"))
        for section in filter(None, self.sections):
            parts.append(Markup("<tbody>"))
            for row in section:
                cells = (
                    _element(
                        "td", cell.text.strip(), f"{'text ' * column.words}{cell.mark}".strip()
                    )
                    for column, cell in self._page(row)
                )
                parts += [Markup("\n<tr{}>").format(_class(row.mark)), *cells, Markup("</tr>")]
            parts.append(Markup("\n</tbody>"))
        return Markup("").join([*parts, Markup("\n</table>")])


def facts_table(title: str, facts: Iterable[tuple[str, str | Cell]]) -> Table:
    """Make a table of labels and values without headings."""
    columns = (Column("", "", words=True), Column("", "", words=True, long="fold"))
    rows = tuple(Row.of([Cell(label, "label"), value]) for label, value in facts)
    return Table(columns, (rows,), title)


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _class(name: str) -> Markup:
    return Markup(' class="{}"').format(name.strip()) if name else Markup()


def _element(tag: str, text: str, css: str) -> Markup:
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), _class(css), escape(text))
