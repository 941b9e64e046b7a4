"""Splits of imported rows: jobs and circuits stay together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from qmend.datasets.config import SplitConfig
from qmend.types import Split

#: The split that fills up first where groups are equally short of their share.
_ORDER: tuple[Split, ...] = ("train", "test", "val")


def split_rows(
    circuits: Sequence[Sequence[str]], jobs: Sequence[str], shares: SplitConfig, seed: int
) -> tuple[list[Split], str]:
    """Split rows, and say whether the split is by ``job`` or by ``circuit``.

    Jobs that share a circuit form one group. Where that leaves fewer groups than there are
    splits, or one that is larger than the training split, the circuits are the groups. Groups
    go, the largest first, to the split that has the smallest part of its share of the rows;
    equal ones in a seeded order. One group alone is all test, two are train and test.

    Args:
        circuits: names that identify the circuit of each row; rows that share one are one circuit.
        jobs: of each row.
    """
    by = "job"
    groups = _connect([[*names, f"job {job}"] for names, job in zip(circuits, jobs, strict=True)])
    if max(groups) + 1 < len(_ORDER) or np.bincount(groups).max() > shares.train * len(groups):
        by = "circuit"
        groups = _connect(circuits)
    sizes = np.bincount(groups)
    if len(sizes) == 1:
        return ["test"] * len(groups), by
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    filled = dict.fromkeys(_ORDER, 0)
    split_of: dict[int, Split] = {}
    for group in sorted(shuffled.tolist(), key=lambda g: -sizes[g]):
        name = min(_ORDER, key=lambda n: filled[n] / getattr(shares, n))
        filled[name] += int(sizes[group])
        split_of[group] = name
    return [split_of[group] for group in groups], by


def _connect(rows: Sequence[Sequence[str]]) -> list[int]:
    """A number for each row, equal where a chain of common names joins them."""
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    holders: dict[str, list[int]] = defaultdict(list)
    for row, names in enumerate(rows):
        for name in names:
            holders[name].append(row)
    for members in holders.values():
        for row in members[1:]:
            parent[root(row)] = root(members[0])
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(row), len(numbers)) for row in range(len(rows))]
