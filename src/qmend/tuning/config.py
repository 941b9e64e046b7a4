"""The fields of ``conf/tune.yaml`` below ``tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from qmend.config.model import ConfigModel

Metric = Literal["val/l1rc_median", "val/loss"]


class ResourcesConfig(ConfigModel):
    """Resources of one trial; torch uses as many threads as there are whole CPUs, at least 1.

    Attributes:
        cpu, gpu: parts of processors; fractions share one.
    """

    preset_at = ("tune", "tune.resources")
    cpu: float = Field(gt=0)
    gpu: float = Field(ge=0)

    @property
    def threads(self) -> int:
        return max(1, int(self.cpu))


class AshaConfig(ConfigModel):
    """Asynchronous successive halving (Li et al., arXiv 1810.05934).

    A trial is stopped after ``grace_period * reduction_factor**k`` epochs, unless its best value
    so far is among the best 1 / ``reduction_factor`` of all trials that came so far.
    """

    preset_at = ("tune", "tune.asha")
    enabled: bool
    grace_period: int = Field(ge=1)
    reduction_factor: float = Field(gt=1)


class WarmStartConfig(ConfigModel):
    """Trials before Optuna proposes.

    Attributes:
        default: the config as it is without a search; ASHA does not stop it, as the best trial
            is compared with it.
        best_run: the config of the best earlier run of the same architecture on the same data,
            as far as it lies in the space.
    """

    preset_at = ("tune", "tune.warm_start")
    default: bool
    best_run: bool


class TuneConfig(ConfigModel):
    """A search.

    Attributes:
        trials: in all; those of an earlier search of the same config, unfinished or shorter, count.
        seed: of the proposals; every trial trains with the command's own ``seed``.
        metric: validation metric that is minimised: a trial's value is that of its best epoch.
        parallel: trials at a time.
        output: directory for the best config; null: see ``conf/tune.yaml``.
        space: see :class:`qmend.tuning.space.SearchSpace`.
    """

    preset_at = ("tune", "tune")
    trials: int = Field(ge=1)
    seed: int = Field(ge=0)
    metric: Metric
    parallel: int = Field(ge=1, le=256)
    resources: ResourcesConfig
    asha: AshaConfig
    warm_start: WarmStartConfig
    output: Path | None
    space: dict[str, Any]
