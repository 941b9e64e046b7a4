"""Command lines of the commands that are no Hydra applications."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from qmend.types import QmendError, nearest


class Option:
    """One argument: what ``ArgumentParser.add_argument`` is called with."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings


def at_least(least: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """Make an argparse type: finite numbers from ``least`` on."""

    def read(text: str) -> float:
        value = kind(text)
        if not (value >= least and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"must be at least {least:g}, not {text}")
        return value

    read.__name__ = kind.__name__  # argparse names it where the text is no number
    return read


class Parser(argparse.ArgumentParser):
    """The parser of one command; its errors are single sentences.

    Args:
        words: of the command.
        notes: lines between usage and options.
    """

    def __init__(self, words: str, options: Iterable[Option], notes: Iterable[str] = ()) -> None:
        super().__init__(
            f"qmend {words}",
            description="\n".join(notes),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        for option in options:
            self.add_argument(*option.names, **option.settings)

    def read(self, arguments: list[str]) -> argparse.Namespace:
        """Parse a command line.

        Raises:
            QmendError: with the nearest option or value, if it makes no sense.
        """
        options, extra = self.parse_known_args(arguments)
        if extra:
            if not self._actions:
                raise QmendError(f"{self.prog} takes no arguments, not {extra[0]!r}.")
            names = [name for action in self._actions for name in action.option_strings]
            raise QmendError(f"{self.prog} does not know {extra[0]!r}. {nearest(extra[0], names)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raise the error as a sentence."""
        text = message.removeprefix("argument ")
        raise QmendError(f"{self.prog}: {text}; see `{self.prog} --help`.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise QmendError(
                f"{self.prog}: there is no {value!r}. {nearest(str(value), action.choices)}"
            )
