"""Compare mitigators on the same circuits, in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmend.evaluation.scores import Scores
from qmend.metrics import Bootstrap, Interval, median_l1rc
from qmend.types import FloatArray

#: Non-inferiority margin: more harmed circuits than the other's by this, per cent points, are no
#: defeat.
HARM_MARGIN = 0.0


@dataclass(frozen=True)
class Comparison:
    """One mitigator against another on the same circuits.

    Attributes:
        difference: of the median L1RC, ours minus theirs; below 0 is better.
        harm: difference of the share of harmed circuits, per cent points.
        margin: of the harm.
    """

    difference: Interval
    harm: float
    margin: float = HARM_MARGIN

    @property
    def word(self) -> str:
        """``better`` or ``worse`` where the interval excludes 0, else ``even``."""
        if self.difference.value < 0 and self.difference.hi < 0:
            return "better"
        return "worse" if self.difference.lo > 0 else "even"

    @property
    def beats(self) -> bool:
        """The median L1RC is ``better`` and the harm within the margin."""
        return self.word == "better" and self.harm <= self.margin


@dataclass(frozen=True)
class Resampled:
    """Median L1RC of a mitigator and its bootstrap replicates, means over seeds.

    Attributes:
        replicates: (R,) the same circuits are drawn for every mitigator.
        harmed_pct: share of harmed circuits.
    """

    median: float
    replicates: FloatArray
    harmed_pct: float

    @staticmethod
    def of(seeds: Sequence[Scores], bootstrap: Bootstrap) -> Resampled:
        """Resample the scores of each seed; the seeds themselves are not resampled."""
        samples = bootstrap.samples()
        replicates = [[median_l1rc(s.l1rc[index]) for s in seeds] for index in samples]
        return Resampled(
            float(np.mean([scores.median for scores in seeds])),
            np.array(replicates).mean(axis=1),
            float(np.mean([scores.harmed_pct for scores in seeds])),
        )

    def minus(self, theirs: Resampled, margin: float = HARM_MARGIN) -> Comparison:
        """Compare with another that was resampled by the same bootstrap."""
        drawn = self.replicates - theirs.replicates
        drawn = drawn[~np.isnan(drawn)]
        lo, hi = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        difference = Interval(self.median - theirs.median, float(lo), float(hi))
        return Comparison(difference, self.harmed_pct - theirs.harmed_pct, margin)


def compare(ours: Scores, theirs: Scores | None, bootstrap: Bootstrap) -> Comparison:
    """Compare two mitigators in pairs.

    Args:
        theirs: of the same circuits in the same order; None: no mitigation, whose L1RC is 0.
            That never harms, so that the harm decides nothing.
    """
    resampled = Resampled.of([ours], bootstrap)
    if theirs is not None:
        return resampled.minus(Resampled.of([theirs], bootstrap))
    nothing = Resampled(0.0, np.zeros(bootstrap.replicates), 0.0)
    return resampled.minus(nothing, margin=np.inf)
