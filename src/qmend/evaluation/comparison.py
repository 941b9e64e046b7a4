"""Compare mitigators on the same circuits, in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmend.evaluation.scores import Scores
from qmend.metrics import Bootstrap, Interval, harmed_pct, median_l1rc
from qmend.types import FloatArray

#: Non-inferiority margin of the harmed share, per cent points: the upper end of the 95 % interval
#: of its difference may reach this. One circuit in a hundred: with 2,000 circuits, 1 % of them
#: harmed by either of two mitigators, chance alone moves the difference by 0.6, so that a narrower
#: margin would refuse equals on usual test splits.
HARM_MARGIN = 1.0


@dataclass(frozen=True)
class Comparison:
    """One mitigator against another on the same circuits; the rule for who beats whom.

    Attributes:
        difference: of the median L1RC, ours minus theirs; below 0 is better.
        harm: of the share of harmed circuits, ours minus theirs, per cent points.
    """

    difference: Interval
    harm: Interval

    @property
    def lower(self) -> bool:
        """The median L1RC is lower, its interval all below 0; NaN is not."""
        return self.difference.value < 0 and self.difference.hi < 0

    @property
    def harmless(self) -> bool:
        """The harmed share is non-inferior by :data:`HARM_MARGIN`; NaN is not."""
        return self.harm.hi <= HARM_MARGIN

    @property
    def beats(self) -> bool:
        """A lower median L1RC that is not bought with harm."""
        return self.lower and self.harmless

    @property
    def beaten(self) -> bool:
        """The other beats ours."""
        return Comparison(-self.difference, -self.harm).beats

    @property
    def word(self) -> str:
        """``better`` where ours beats the other, ``worse`` where it is beaten, else ``even``."""
        return "better" if self.beats else "worse" if self.beaten else "even"


@dataclass(frozen=True)
class Resampled:
    """Two figures of a mitigator and their bootstrap replicates, means over seeds.

    Attributes:
        figures: (2,) median L1RC; share of harmed circuits, per cent.
        replicates: (R, 2) the same circuits are drawn for every mitigator.
        left_out: (N,) share of the seeds that have no L1RC of a circuit.
    """

    figures: FloatArray
    replicates: FloatArray
    left_out: FloatArray

    @staticmethod
    def of(seeds: Sequence[Scores], bootstrap: Bootstrap) -> Resampled:
        """Resample the scores of each seed; the seeds themselves are not resampled."""
        replicates = [_mean_figures([s.l1rc[i] for s in seeds]) for i in bootstrap.samples()]
        return Resampled(
            _mean_figures([scores.l1rc for scores in seeds]),
            np.array(replicates),
            np.mean([np.isnan(scores.l1rc) for scores in seeds], axis=0),
        )

    def minus(self, theirs: Resampled) -> Comparison:
        """Compare with another that was resampled by the same bootstrap.

        All is NaN, which beats nothing, where the two leave out different circuits.
        """
        value, drawn = self.figures - theirs.figures, self.replicates - theirs.replicates
        drawn = drawn[~np.isnan(drawn).any(axis=1)]
        if not len(drawn) or not np.array_equal(self.left_out, theirs.left_out):
            return Comparison(*[Interval(np.nan, np.nan, np.nan)] * 2)
        ends = np.percentile(drawn, [2.5, 97.5], axis=0)
        return Comparison(*(Interval(*map(float, each)) for each in zip(value, *ends, strict=True)))


def compare(ours: Scores, theirs: Scores | None, bootstrap: Bootstrap) -> Comparison:
    """Compare two mitigators in pairs.

    Args:
        theirs: of the same circuits in the same order; None: no mitigation, whose L1RC is 0.
    """
    resampled = Resampled.of([ours], bootstrap)
    if theirs is not None:
        return resampled.minus(Resampled.of([theirs], bootstrap))
    nothing = np.zeros_like(resampled.figures), np.zeros_like(resampled.replicates)
    return resampled.minus(Resampled(*nothing, resampled.left_out))


def _mean_figures(seeds: Sequence[FloatArray]) -> FloatArray:
    """(2,) means over seeds of the median L1RC and of the harmed share."""
    figures: FloatArray = np.mean([(median_l1rc(s), harmed_pct(s)) for s in seeds], axis=0)
    return figures
