"""``qmend bench``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from qmend.cli.terminal import console
from qmend.types import QmendError, nearest

_BENCHES = ("simulator", "datagen", "data", "training", "tuning", "scaling")


def main(arguments: list[str]) -> None:
    """Run one benchmark; prints a table and, last, one JSON object.

    Raises:
        QmendError: if the arguments are wrong.
    """
    parser = argparse.ArgumentParser("qmend bench", add_help=False, exit_on_error=False)
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--circuits", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, default=Path("reports/scaling.svg"))
    try:
        options, extra = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise QmendError(f"{error}; see `qmend bench --help`.") from None
    if extra:
        raise QmendError(f"qmend bench does not know {extra[0]!r}; see `qmend bench --help`.")
    if options.what not in _BENCHES:
        raise QmendError(f"no benchmark {options.what!r}. {nearest(options.what, _BENCHES)}")
    if options.circuits < 1 or options.repeats < 1:
        raise QmendError("--circuits and --repeats must be at least 1.")
    if options.what == "simulator":
        from qmend.benchmarks.simulator import bench_simulator

        table, summary = bench_simulator(options.circuits, options.repeats)
    elif options.what == "datagen":
        from qmend.benchmarks.datagen import bench_datagen

        table, summary = bench_datagen(options.circuits, options.repeats)
    elif options.what == "data":
        from qmend.benchmarks.data import bench_data

        table, summary = bench_data(options.circuits, options.repeats)
    elif options.what == "training":
        from qmend.benchmarks.training import bench_training

        table, summary = bench_training(options.circuits, options.repeats)
    elif options.what == "tuning":
        from qmend.benchmarks.tuning import bench_tuning

        table, summary = bench_tuning(options.circuits, options.repeats)
    else:
        from qmend.benchmarks.scaling import bench_scaling

        table, summary = bench_scaling(options.circuits, options.repeats, options.plot)
    console.print(table)
    print(json.dumps(summary))
