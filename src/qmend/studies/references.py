"""Numbers of a device from other circuits of the same job, on measured data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qmend.datasets.circuits import CircuitBatch
from qmend.datasets.measured import MeasuredRows
from qmend.encodings.device_paths import DevicePathsEncoding, known_numbers, references_of
from qmend.mitigation.guard_signals import log_gain
from qmend.models.trained import TrainedModel
from qmend.types import FloatArray

if TYPE_CHECKING:
    from qmend.noise.device_numbers import References


def with_references(
    encoding: DevicePathsEncoding,
    groups: Sequence[MeasuredRows],
    count: int,
    seed: int,
    model: TrainedModel | None = None,
) -> list[CircuitBatch]:
    """Give each row the numbers that up to ``count`` other source circuits of its job tell.

    With a network also how it mitigates these.

    Args:
        groups: rows whose missing calibration values are filled.
        seed: of the draws; rows of one source circuit in one job have the same references.
        model: the network; None: no guard reads the rows.
    """
    rng = np.random.default_rng(seed)
    losses = [encoding.losses(group.rows.circuits) for group in groups]
    numbers = [known_numbers(group.rows.circuits) for group in groups]
    gains = [np.zeros(len(group)) for group in groups]
    asked: list[_Asked] = []
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
            if places and model is not None:
                asked.append(_Asked(own, places, parts))
    if model is not None:
        for each, gain in zip(asked, _mean_gains(model, groups, asked), strict=True):
            for g, row in each.own:
                gains[g][row] = gain
    return [
        replace(group.rows.circuits, numbers=own, gains=gain)
        for group, own, gain in zip(groups, numbers, gains, strict=True)
    ]


@dataclass(frozen=True)
class _Asked:
    """Rows of one source circuit in one job, and the references that tell them.

    Attributes:
        own, places: group and number of each row, and of each reference.
        parts: the references.
    """

    own: list[tuple[int, int]]
    places: list[tuple[int, int]]
    parts: list[References]


def _mean_gains(
    model: TrainedModel, groups: Sequence[MeasuredRows], asked: Sequence[_Asked]
) -> FloatArray:
    """(A,) mean :func:`log_gain` of the references of each, at the numbers that they tell."""
    sums = np.zeros(len(asked))
    for g, group in enumerate(groups):
        pairs = [(a, row) for a, each in enumerate(asked) for at, row in each.places if at == g]
        if not pairs:
            continue
        owner, rows = np.array(pairs).T
        part = group.rows.select(rows)
        numbers = np.concatenate(
            [
                known_numbers(part.circuits.select(np.flatnonzero(owner == a)), asked[a].parts)
                for a in np.unique(owner)
            ]
        )
        mitigated = model.mitigate(replace(part.circuits, numbers=numbers))
        gain = log_gain(part.ideal, part.circuits.noisy, mitigated)
        sums += np.bincount(owner, gain, minlength=len(asked))
    means: FloatArray = sums / np.array([len(each.places) for each in asked])
    return means
