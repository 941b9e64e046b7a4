"""Run a command as a Hydra application; check its config before any work."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from qmend.cli.main import explain
from qmend.cli.multirun import (
    current_cell,
    end_multirun,
    is_stopping,
    reraise_callback_error,
)
from qmend.config.errors import CONFIG_ERRORS, hydra_sentence, unknown_space, validate
from qmend.config.model import CommandConfig
from qmend.config.paths import conf_dir, config_groups
from qmend.config.quoting import words_sentence
from qmend.config.spellings import spelling_sentence
from qmend.runs.cells import Outcome
from qmend.tracking.server import check_server
from qmend.types import QmendError

Config = TypeVar("Config", bound=CommandConfig)
#: The work of a command, which takes its checked config.
Task = Callable[[Config], Any]


def run_hydra(name: str, kind: type[Config], task: Task[Config], arguments: list[str]) -> None:
    """Compose ``conf/<name>.yaml`` with the arguments, validate it, run the task.

    Raises:
        QmendError: if the config is wrong.
    """
    folder = conf_dir()
    failed: list[Exception] = []
    driver = os.getpid()

    def job(composed: DictConfig) -> Any:
        # Never raises: Hydra would print a line of its own, and end a multirun without an end.
        try:
            hydra_config = HydraConfig.get()
            overrides = list(hydra_config.overrides.task)
            choices = {str(k): str(v) for k, v in hydra_config.runtime.choices.items()}
            if is_stopping():
                return None
            config = validate(kind, composed, name).composed(overrides, choices)
            _check_tracking(config)
            return task(config)
        except KeyboardInterrupt:
            if is_stopping():
                return Outcome("interrupted")
            raise
        except CONFIG_ERRORS as error:
            failed.append(QmendError(hydra_sentence(error, folder, name)))
        except Exception as error:
            failed.append(error)
        return _outcome(failed[-1], driver)

    # Hydra raises errors as they are, and they become one sentence here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    arguments = _options_first(arguments)
    _check_groups(arguments, folder)
    sys.argv = ["qmend", *arguments]
    try:
        with reraise_callback_error():
            hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(job)()
    except CONFIG_ERRORS as error:
        raise QmendError(hydra_sentence(error, folder, name)) from None
    finally:
        end_multirun(sys.exc_info()[1])
    if failed:
        raise failed[0]


def _check_tracking(config: CommandConfig) -> None:
    """Refuse a server that does not answer, before seconds of imports."""
    root = getattr(getattr(config, "tracking", None), "root", None)
    if isinstance(root, str):
        check_server(root)


def _outcome(error: Exception, driver: int) -> Outcome | None:
    """Report a failed job; return its outcome where it is the cell of a multirun."""
    _, sentence = explain(error)
    if is_stopping():  # such as an interrupt in the middle of an import
        return Outcome("interrupted")
    if current_cell() is not None:
        if os.environ.get("QMEND_DEBUG"):
            traceback.print_exception(error)
        return Outcome("failed", error=sentence)
    if os.getpid() != driver:  # of a multirun without a run: nothing else tells the driver
        raise QmendError(sentence)
    return None


class _Parser(argparse.ArgumentParser):
    """Hydra's parser; its errors are single sentences."""

    def error(self, message: str) -> NoReturn:
        raise QmendError(f"{message}; see `qmend COMMAND --help`.")


def _options_first(arguments: list[str]) -> list[str]:
    """Move options in front of overrides, as Hydra's parser needs them; refuse unknown ones."""
    parser = get_args_parser()
    parser.__class__ = _Parser
    parsed, extra = parser.parse_known_intermixed_args(arguments)
    if extra:
        raise QmendError(f"there is no option {extra[0]!r}; see `qmend COMMAND --help`.")
    overrides = list(parsed.overrides)
    sentence = words_sentence(overrides)
    if sentence is not None:
        raise QmendError(sentence)
    rest = list(arguments)
    for override in reversed(overrides):
        del rest[len(rest) - 1 - rest[::-1].index(override)]
    return rest + overrides


def _check_groups(arguments: list[str], folder: Path) -> None:
    """Refuse other values of a group than names of configs: Hydra raises a bare ValueError."""
    groups = config_groups(folder)
    more = any(text.startswith(("--config-dir", "-cd")) for text in arguments)
    for text in arguments:
        sentence = spelling_sentence(text)
        if not more:  # a further directory may hold search spaces of its own
            sentence = sentence or unknown_space(text, groups["tune"])
        if sentence is not None:
            raise QmendError(sentence)
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            continue  # an option, or an error that Hydra raises
        group = override.key_or_group
        if not group:
            raise QmendError(f"The override {text!r} is not of the form key=value.")
        named = isinstance(override.value(), str | list) or override.is_sweep_override()
        if group in groups and not named and not override.is_delete():
            options = ", ".join(groups[group])
            raise QmendError(f"{text}: {group} takes the name of a config. Valid: {options}.")
