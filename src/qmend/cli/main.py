"""Entry point: ``qmend COMMAND ...``."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from qmend.cli.commands import COMMANDS, Command
from qmend.types import QmendError, nearest

_DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_HYDRA_HELP = """\
Configuration:
  key=value           set a value, such as dataset.circuits=1200
  group=name          choose a config, such as device=hanoi
  -m, --multirun      run every combination of comma-separated values
  --cfg job           show the composed config and stop
  --info defaults     show where each part comes from
  --config-dir DIR    add your own configs
"""


def main() -> None:
    """Run a command and exit.

    Exit status 0, 1 (unexpected), 2 (bad input), 3 (cells of a multirun failed, the others went
    on) or 130 (interrupted).
    """
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command given by its words and arguments; its exit status."""
    debug = bool(os.environ.get("QMEND_DEBUG"))
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        if "qmend.tracking.store" in sys.modules:
            importlib.import_module("qmend.tracking.store").end_own_runs("interrupted")
        print("qmend: interrupted; the same command goes on where it can.", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        status, sentence = told(error)
        print(f"qmend: {sentence}", file=sys.stderr)
        return status
    return 0


def told(error: Exception) -> tuple[int, str]:
    """Exit status and one sentence for an error."""
    if isinstance(error, QmendError):
        return error.status, str(error)
    if isinstance(error, OSError):
        refused = error.errno in (*_DISK_FULL, errno.EACCES, errno.EROFS)
        return 2 if refused else 1, _os_sentence(error)
    reason = (str(error).strip().splitlines() or [""])[0]
    kind = type(error).__name__
    return 1, f"unexpected {kind}: {reason} (QMEND_DEBUG=1 shows where)."


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _os_sentence(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    if error.errno in _DISK_FULL:
        return f"the disk is full{where}; free some space, then run the same command again."
    return f"{error.strerror or error}{where}."


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        from qmend import __version__

        print(f"qmend {__version__}")
        return
    for command in COMMANDS:
        words = command.words.split()
        if arguments[: len(words)] == words:
            rest = arguments[len(words) :]
            if "-h" in rest or "--help" in rest:
                print(command_help(command))
                return
            module, _, name = command.function.partition(":")
            function: Callable[[list[str]], None] = getattr(importlib.import_module(module), name)
            function(rest)
            return
    given = " ".join(a for a in arguments[:2] if not a.startswith("-"))
    groups = {c.words.split()[0] for c in COMMANDS if " " in c.words}
    if arguments[0] not in groups:
        given = arguments[0]
    elif given == arguments[0]:
        within = [c.words for c in COMMANDS if c.words.startswith(f"{given} ")]
        raise QmendError(f"{given} needs a second word: {' or '.join(within)}.")
    raise QmendError(f"there is no command {given!r}. {nearest(given, _command_words())}")


def _command_words() -> list[str]:
    return [c.words for c in COMMANDS]


def overview() -> str:
    """The text of ``qmend --help``."""
    width = max(len(w) for w in _command_words())
    lines = ["qmend: undo hardware noise in the output of quantum circuits.", "", "Commands:"]
    lines += [f"  {c.words:<{width}}  {c.summary}" for c in COMMANDS]
    lines += ["", "qmend COMMAND --help says more. QMEND_DEBUG=1 shows tracebacks."]
    return "\n".join(lines)


def command_help(command: Command) -> str:
    """The text of ``qmend COMMAND --help``."""
    lines = [f"qmend {command.words}: {command.summary}.", "", "Example:", f"  {command.example}"]
    if command.notes:
        lines += ["", *command.notes]
    if command.hydra:
        from qmend.config.paths import conf_dir, config_groups

        options = config_groups(conf_dir())
        groups = [f"  {group}: {', '.join(options[group])}" for group in sorted(options)]
        lines += ["", _HYDRA_HELP.rstrip(), "", "Groups:", *groups]
    return "\n".join(lines)
