"""Alternating runs of two or more programs on one processor core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Timings:
    """Seconds of each program in each repeat."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))

    def ratio(self, slow: str, fast: str) -> tuple[float, float, float]:
        """Return median, smallest and largest of the repeats' ratios slow / fast."""
        ratios = np.array(self.seconds[slow]) / np.array(self.seconds[fast])
        return float(np.median(ratios)), float(ratios.min()), float(ratios.max())

    def rounded_ratio(self, key: str, slow: str, fast: str, digits: int) -> dict[str, float]:
        """Return the ratio as ``key``, ``key_lo`` and ``key_hi`` of a summary."""
        keys = (key, f"{key}_lo", f"{key}_hi")
        figures = self.ratio(slow, fast)
        return {k: round(figure, digits) for k, figure in zip(keys, figures, strict=True)}


def empty_table(title: str, *headings: str) -> Table:
    """Make a table: a column of names, then columns of numbers."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    return table


@contextmanager
def one_core() -> Iterator[None]:
    """Run everything inside on a single core."""
    cores = os.sched_getaffinity(0)
    threads = torch.get_num_threads()
    os.sched_setaffinity(0, {max(cores)})
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def wall_seconds(program: Callable[[], Any]) -> float:
    """Run a program in this process and time it."""
    started = time.perf_counter()
    program()
    return time.perf_counter() - started


def alternate(
    programs: Mapping[str, Callable[[], Any]],
    repeats: int,
    measure: Callable[[Callable[[], Any]], float] = wall_seconds,
) -> Timings:
    """Run every program once uncounted, then all of them in turn, ``repeats`` times.

    Args:
        measure: runs a program and returns its seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        measure(program)
    for _ in range(repeats):
        for name, program in programs.items():
            seconds[name].append(measure(program))
    return Timings(seconds)
