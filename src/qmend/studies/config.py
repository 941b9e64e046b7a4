"""Fields of the studies' configs."""

from __future__ import annotations

from pydantic import Field

from qmend.config.model import ConfigModel


class Statistics(ConfigModel):
    """Means over circuits; ``improved_pct``: share with a lower KL than unmitigated."""

    tv: float
    hellinger: float
    rmse: float
    improved_pct: float | None = None


class Hypothesis(ConfigModel):
    """One way in which the published data may have come about.

    Attributes:
        gadgets: at most T of them (``max``) or ``exact``.
        permuted: the labels are in the source's bit order and the counts in that of the
            physical wires, as after compiling first and measuring afterwards.
        strength, idle_relaxation: of the surrogate, where that is not what is fitted.
        scale: the value of the surrogate's config that is fitted.
        value: take this value instead of fitting it.
    """

    gadgets: str = Field(pattern="^(max|exact)$")
    permuted: bool = False
    strength: float = Field(1.0, ge=0)
    idle_relaxation: float = Field(1.0, ge=0)
    scale: str = Field("strength", pattern="^(strength|idle_relaxation)$")
    value: float | None = Field(None, ge=0)


class PublishedNoiseConfig(ConfigModel):
    """``conf/study/published_noise.yaml``: the study's own keys.

    Attributes:
        hypotheses: by name.
        unmitigated, blind: the published statistics, before and after the blind network.
        fit_jobs: jobs whose circuits the strength is fitted on.
        largest: upper end of the search.
    """

    hypotheses: dict[str, Hypothesis] = Field(min_length=1)
    unmitigated: Statistics
    blind: Statistics
    fit_jobs: int = Field(10, ge=1)
    largest: float = Field(20.0, gt=0)
