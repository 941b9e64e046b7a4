"""A sub-command of ``qmend``: its words, its help, and the function behind it.

Nothing heavy is imported before the command line has proved right.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qmend.cli.arguments import Option, Parser

_HYDRA_HELP = """\
Configuration:
  key=value           set a value, such as dataset.circuits=1200
  group=name          choose a config, such as device=hanoi
  -m, --multirun      run every combination of comma-separated values
  --cfg job           show the composed config and stop
  --info defaults     show where each part comes from
  --config-dir DIR    add your own configs
"""


def call(function: str, *arguments: Any) -> Any:
    """Import a function, ``module:name``, and call it."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


@dataclass(frozen=True)
class Command(ABC):
    """A sub-command.

    Attributes:
        function: ``module:name``; imported when the command line has proved right.
        notes: lines of the help.
    """

    words: str
    function: str
    summary: str
    example: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def run(self, arguments: list[str]) -> None:
        """Parse the arguments behind the words, and do the work."""

    def help(self) -> str:
        """Return the text of ``qmend COMMAND --help``."""
        start = [f"qmend {self.words}: {self.summary}.", "", "Example:", f"  {self.example}", ""]
        return "\n".join([*start, *self._help()]).rstrip()

    @abstractmethod
    def _help(self) -> list[str]: ...


@dataclass(frozen=True)
class HydraCommand(Command):
    """A Hydra application: ``key=value``, groups, ``--multirun``.

    Attributes:
        config: the root config, ``conf/CONFIG.yaml``.
        prepare: rewrites the arguments for Hydra.
    """

    config: str = ""
    prepare: Callable[[list[str]], list[str]] = list

    def run(self, arguments: list[str]) -> None:
        from qmend.cli.hydra_app import run_hydra
        from qmend.workflows.compose import COMMAND_CONFIGS

        kind = COMMAND_CONFIGS[self.config]
        run_hydra(self.config, kind, partial(call, self.function), self.prepare(arguments))

    def _help(self) -> list[str]:
        from qmend.config.groups import command_groups
        from qmend.config.paths import conf_dir

        options = command_groups(self.config, conf_dir())
        groups = [f"  {group}: {', '.join(options[group])}" for group in sorted(options)]
        notes = [*self.notes, ""] if self.notes else []
        return [*notes, _HYDRA_HELP, *(["Groups:", *groups] if groups else [])]


@dataclass(frozen=True)
class StudyCommand(HydraCommand):
    """A study: a file of :mod:`qmend.studies`, which has the type of the config."""

    def run(self, arguments: list[str]) -> None:
        from qmend.cli.hydra_app import run_hydra
        from qmend.studies import study_type

        name = self.config.removeprefix("study/")
        task = partial(call, self.function, name)
        run_hydra(self.config, study_type(name), task, self.prepare(arguments))


@dataclass(frozen=True)
class PlainCommand(Command):
    """A command with options, parsed by argparse."""

    options: tuple[Option, ...] = ()

    @property
    def parser(self) -> Parser:
        return Parser(self.words, self.options, self.notes)

    def run(self, arguments: list[str]) -> None:
        call(self.function, self.parser.read(arguments))

    def _help(self) -> list[str]:
        return [self.parser.format_help()]
