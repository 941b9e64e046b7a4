"""Entry point: ``qmend COMMAND ...``."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Any

from qmend.cli.command import Command
from qmend.cli.commands import COMMANDS, has_benchmarks
from qmend.types import QmendError, nearest

_DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def main() -> None:
    """Run a command and exit.

    Exit status 0, 1 (unexpected), 2 (bad input), 3 (cells of a multirun failed) or 130
    (interrupted).
    """
    # Read when an OpenMP runtime is loaded, in this process and its workers. Threads that spin at
    # barriers take a shared processor from the thread that they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command given by its words and arguments; return its exit status."""
    debug = bool(os.environ.get("QMEND_DEBUG"))
    try:
        _dispatch(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if "qmend.tracking.store" in sys.modules:
            importlib.import_module("qmend.tracking.store").end_own_runs("interrupted")
        print("qmend: interrupted; run the same command again to resume.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output, such as `head`, has seen enough; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        status, sentence = explain(error)
        print(f"qmend: {sentence}", file=sys.stderr)
        return status
    return 0


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit status and one sentence for an error."""
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
        from qmend.version import __version__

        print(f"qmend {__version__}")
        return
    command, rest = _command(arguments)
    if "-h" in rest or "--help" in rest:
        print(command.help())
    else:
        command.run(rest)


def _command(arguments: list[str]) -> tuple[Command, list[str]]:
    """Find the command that the first words name, and the arguments behind them."""
    for command in COMMANDS:
        words = command.words.split()
        if arguments[: len(words)] == words:
            return command, arguments[len(words) :]
    groups = {c.words.split()[0] for c in COMMANDS if " " in c.words}
    words = arguments[:1]
    if arguments[0] in groups:
        words += [a for a in arguments[1:2] if not a.startswith("-")]
        if len(words) == 1:
            members = [c.words for c in COMMANDS if c.words.startswith(f"{words[0]} ")]
            raise QmendError(f"{words[0]} needs a second word: {' or '.join(members)}.")
    name = " ".join(words)
    raise QmendError(f"there is no command {name!r}. {nearest(name, [c.words for c in COMMANDS])}")


def overview() -> str:
    """Return the text of ``qmend --help``, of the commands that work here."""
    commands = [c for c in COMMANDS if c.words != "bench" or has_benchmarks()]
    width = max(len(c.words) for c in commands)
    lines = ["qmend: undo hardware noise in the output of quantum circuits.", "", "Commands:"]
    lines += [f"  {c.words:<{width}}  {c.summary}" for c in commands]
    lines += ["", "qmend COMMAND --help says more. QMEND_DEBUG=1 shows tracebacks."]
    return "\n".join(lines)
