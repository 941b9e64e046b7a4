"""Texts of users on the terminal, as they are."""

import pytest
from rich.console import Group

from qmend.cli import terminal
from qmend.cli.terminal import TerminalObserver, console, warn
from qmend.reporting.table import Column, Row, Table, facts_table

NAMES = ["model=[rnn]", "a[/b]", "[bold]loud", ":warning: x", "C:\\[x]", "[link=file:///]y"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_brackets_is_shown_whole(name):
    """Rich reads brackets as styles and colons as emoji, drops them, or fails."""
    table = Table((Column.text(name), Column.text("x")), ((Row.of([name, "y"]),),), name, name)
    with console.capture() as captured:
        console.print(f"  {name}: test median L1RC")
        TerminalObserver().message(name)
        TerminalObserver().step(name)
        console.print(Group(table.terminal(), name))
        console.print(facts_table(name, [(name, name)]).terminal())
        warn(name)
    assert captured.get().count(name) == 12


@pytest.mark.parametrize("name", NAMES)
def test_so_is_one_beside_a_progress_bar(name):
    with terminal._bar() as progress:
        progress.add_task(f"{name} epochs", total=2, note=name)
        shown = progress.get_renderable()
    with console.capture() as captured:
        console.print(shown)
    assert captured.get().count(name) == 2
