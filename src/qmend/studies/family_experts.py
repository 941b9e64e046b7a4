"""An expert of each family against one network on all of them, in pairs on the same circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qmend.studies.base import plain_interval

if TYPE_CHECKING:  # torch, MLflow
    from qmend.evaluation.comparison import Comparison
    from qmend.evaluation.scores import Scores
    from qmend.reporting.table import Row, Table
    from qmend.runs.configurations import Configuration

#: The mixture of all families, among the names of families.
MIXED = "mixed"
#: Whether the tested family was trained on -> contestants: experts, one network.
SETTINGS = {
    "known": ("an expert per family behind an oracle", "one network on all families"),
    "left out": ("the expert of the nearest family", "one network on all other families"),
}


@dataclass(frozen=True)
class Pair:
    """Experts and the one network on the same test circuits.

    Attributes:
        setting: of :data:`SETTINGS`.
        family: that is tested; ``all``: the circuits of all families together.
        routed: family of the expert that the oracle chooses.
        medians: L1RC of experts and of the one network, means over seeds.
        comparison: experts against the one network.
    """

    setting: str
    family: str
    routed: str
    medians: tuple[float, float]
    comparison: Comparison


def expert_name(family: str) -> str:
    """Name the expert of a family."""
    return f"expert, {family}"


def one_name(left_out: str | None = None) -> str:
    """Name the one network on all families, or on all others."""
    return f"one network, {f'without {left_out}' if left_out else MIXED}"


def compare_experts(
    scored: Mapping[str, Mapping[str, Configuration]], routes: Mapping[str, str]
) -> list[Pair]:
    """Compare experts with the one network on each family, and on all families together.

    Args:
        scored: tested family -> network -> its scored runs.
        routes: family that is left out -> family of the expert that takes its circuits.
    """
    pairs = []
    for setting in SETTINGS:
        known = setting == "known"
        together = []
        for family, rows in scored.items():
            routed = family if known else routes.get(family, "")
            names = expert_name(routed), one_name(None if known else family)
            if not all(name in rows for name in names):
                continue
            sides = tuple([run.scores for run in rows[name].runs] for name in names)
            pairs.append(_pair(setting, family, routed, *sides))
            together.append(sides)
        if together:
            experts, one = (
                [join_scores(seed) for seed in zip(*side, strict=False)]
                for side in zip(*together, strict=True)
            )
            pairs.append(_pair(setting, "all", "each", experts, one))
    return pairs


def _pair(
    setting: str, family: str, routed: str, experts: Sequence[Scores], one: Sequence[Scores]
) -> Pair:
    """Compare the seeds of both sides on the same circuits."""
    from qmend.evaluation.comparison import Resampled
    from qmend.metrics import Bootstrap

    bootstrap = Bootstrap.over(one[0].job_id)
    ours, theirs = Resampled.of(experts, bootstrap), Resampled.of(one, bootstrap)
    medians = float(ours.figures[0]), float(theirs.figures[0])
    return Pair(setting, family, routed, medians, ours.minus(theirs))


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Join the scores of several sets of circuits."""
    names = [field.name for field in fields(parts[0])]
    return replace(
        parts[0],
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
    )


def experts_table(pairs: Sequence[Pair], caption: str) -> Table:
    """Tabulate experts beside the one network, a group of rows for each setting."""
    from qmend.reporting.numbers import signed_text
    from qmend.reporting.table import Cell, Column, Row, Table

    columns = (
        Column.text("family is"),
        Column.text("tested family"),
        Column.number("one network"),
        Column.number("experts"),
        Column.text("expert of"),
        Column("experts minus one [95 %]", "minus one [95 %]"),
        Column("harmed, experts minus one, % points [95 %]", None),
    )

    def row(pair: Pair) -> Row:
        difference = Cell(signed_text(pair.comparison.difference), pair.comparison.word)
        experts, one = (f"{median:.3f}" for median in pair.medians)
        harm = signed_text(pair.comparison.harm, 2)
        return Row.of([pair.setting, pair.family, one, experts, pair.routed, difference, harm])

    groups = (tuple(row(pair) for pair in pairs if pair.setting == s) for s in SETTINGS)
    text = (
        "Median L1RC; differences in pairs [95 % over jobs, over circuits where jobs are too few]. "
        f"{caption}"
    )
    return Table(columns, tuple(groups), "One network, or an expert per family", text)


def pair_records(pairs: Sequence[Pair]) -> dict[str, dict[str, dict[str, Any]]]:
    """Convert to plain data: setting -> family -> figure."""
    return {
        setting: {
            pair.family: {
                "expert_of": pair.routed,
                "experts": round(pair.medians[0], 4),
                "one": round(pair.medians[1], 4),
                "difference": plain_interval(pair.comparison.difference),
                "harm": plain_interval(pair.comparison.harm),
                "word": pair.comparison.word,
            }
            for pair in pairs
            if pair.setting == setting
        }
        for setting in SETTINGS
    }


def verdicts(pairs: Sequence[Pair]) -> list[str]:
    """Say whether experts beat the one network, and what follows for a learned gate."""
    from qmend.reporting.verdict import verdict

    sentences = []
    for pair in pairs:
        if pair.family != "all":
            continue
        words = [p.comparison.word for p in pairs if p.setting == pair.setting][:-1]
        counts = ", ".join(f"{word} on {words.count(word)}" for word in ("better", "worse", "even"))
        text = f"Families {pair.setting}: {verdict(*SETTINGS[pair.setting], pair.comparison)}"
        sentences.append(f"{text} By family it is {counts}.")
        if pair.setting == "known":
            beats = pair.comparison.beats
            sentences.append(
                "A small learned gate in place of the oracle is the next step."
                if beats
                else "A learned gate could do no better than the oracle: it is not built."
            )
    return sentences
