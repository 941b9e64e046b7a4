"""``qmend bench``."""

from __future__ import annotations

import json
from argparse import Namespace

from qmend.cli.command import call
from qmend.cli.commands import has_benchmarks
from qmend.cli.terminal import console
from qmend.types import QmendError

#: Options that a benchmark takes, where these are not circuits and repeats.
_OPTIONS = {"scaling": ("circuits", "repeats", "plot"), "startup": ("repeats",)}


def run_benchmark(options: Namespace) -> None:
    """Run one benchmark; print a table and, last, one JSON object.

    Raises:
        QmendError: in an installation without benchmarks.
    """
    if not has_benchmarks():
        raise QmendError(
            "qmend bench needs a checkout of qmend: benchmarks are not part of the wheel."
        )
    names = _OPTIONS.get(options.what, ("circuits", "repeats"))
    function = f"qmend.benchmarks.{options.what}:bench_{options.what}"
    table, summary = call(function, *(getattr(options, name) for name in names))
    console.print(table)
    print(json.dumps(summary))
