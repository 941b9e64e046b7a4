"""Texts of users on the terminal, as they are."""

import pytest
from rich.console import Group

from qmend.cli.terminal import TerminalObserver, console, progress_bars, warn
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
    with progress_bars() as progress:
        progress.add_task(f"{name} epochs", total=2, note=name)
        shown = progress.get_renderable()
    with console.capture() as captured:
        console.print(shown)
    assert captured.get().count(name) == 2


def started(stage, more: bool = True) -> list[str]:
    """Lines that are printed before anything of a stage is done."""
    with console.capture() as captured, stage as update:
        if more:
            update(0, 8000)
        said = captured_so_far()
    assert captured.get().startswith("".join(said))
    return said


def captured_so_far() -> list[str]:
    text = "".join(segment.text for segment in console._buffer)
    return text.splitlines(keepends=True)


def test_a_log_shows_each_stage_as_it_starts():
    """Bars are no part of a log until they end, which may be hours later."""
    observer = TerminalObserver()
    assert started(observer.circuits()) == ["  circuits: 0 of 8,000 ...\n"]
    assert started(observer.training("rnn l1", 30), False) == ["  rnn l1: at most 30 epochs ...\n"]
    assert started(observer.search(5, 1000), False) == ["  5 trials of at most 1,000 epochs ...\n"]


def test_a_stage_without_work_is_not_announced():
    with console.capture() as captured, TerminalObserver().circuits() as update:
        update(300, 300)
    assert "..." not in captured.get()


def test_a_terminal_has_no_such_lines(monkeypatch):
    """It shows bars."""
    monkeypatch.setattr(console, "_force_terminal", True)
    with console.capture() as captured:
        TerminalObserver().stage("scoring none")
    assert captured.get() == ""
