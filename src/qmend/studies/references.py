"""Numbers of a device from other circuits of the same job, on measured data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.measured import MeasuredRows
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers, references_of


def with_references(
    encoding: DevicePathsEncoding, groups: Sequence[MeasuredRows], count: int, seed: int
) -> list[CircuitBatch]:
    """Give each row the numbers that up to ``count`` other source circuits of its job tell.

    Args:
        groups: rows whose missing calibration values are filled.
        seed: of the draws; rows of one source circuit in one job have the same references.
    """
    rng = np.random.default_rng(seed)
    losses = [encoding.losses(group.rows.circuits) for group in groups]
    numbers = [known_numbers(group.rows.circuits) for group in groups]
    jobs: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for g, group in enumerate(groups):
        pairs = zip(group.rows.job_id.tolist(), group.circuit.tolist(), strict=True)
        for row, (job, circuit) in enumerate(pairs):
            jobs[job][circuit].append((g, row))
    for members in jobs.values():
        for circuit, own in members.items():
            others = [rows for name, rows in members.items() if name != circuit]
            chosen = [others[k] for k in rng.permutation(len(others))[:count]]
            places = [rows[int(rng.integers(len(rows)))] for rows in chosen]
            parts = []
            for g in sorted({place[0] for place in places}):
                rows = np.array([row for where, row in places if where == g])
                part = groups[g].rows
                parts.append(references_of(part.circuits, losses[g], part.ideal, rows))
            for g in sorted({place[0] for place in own}) if parts else ():
                rows = np.array([row for where, row in own if where == g])
                numbers[g][rows] = known_numbers(groups[g].rows.circuits.select(rows), parts)
    return [
        replace(group.rows.circuits, numbers=own)
        for group, own in zip(groups, numbers, strict=True)
    ]
