"""The whole config of each command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qmend.config.errors import OUTLINE
from qmend.config.model import CommandConfig, ConfigModel
from qmend.datasets.config import CollectionConfig, ImportedDatasetConfig
from qmend.training.config import FitConfig, TrainingConfig
from qmend.tuning.config import TuneConfig
from qmend.types import Ablation, QmendError, nearest
from qmend.workflows.data_config import CommonConfig, TrackingConfig


class GenerateConfig(CommonConfig):
    """``conf/generate.yaml``."""


class CollectConfig(CommonConfig):
    """``conf/collect.yaml``."""

    collect: CollectionConfig


class VerifyConfig(CommonConfig):
    """``conf/verify.yaml``.

    Attributes:
        folder: any dataset's directory; null: that of dataset and device.
    """

    folder: Path | None
    sample: int = Field(ge=1)


class ShowConfig(CommonConfig):
    """``conf/show.yaml``.

    Attributes:
        folder: any dataset's directory; null: that of dataset and device.
        output: page; null: see the config.
    """

    folder: Path | None
    output: Path | None


def each_once(checkpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Return the checkpoints.

    Raises:
        QmendError: if one is there twice.
    """
    twice = [name for name in checkpoints if checkpoints.count(name) > 1]
    if twice:
        raise QmendError(f"checkpoint names {twice[0]} more than once; name each model once.")
    return checkpoints


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


#: One checkpoint or several, each once.
Checkpoints = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(each_once)]


class EvaluateConfig(CommonConfig):
    """``conf/evaluate.yaml``.

    Attributes:
        checkpoint: one, several to be scored on the same circuits, or none.
        scored_split: what is scored; ``all`` only of data that the model can't have seen.
        baselines: names of those beside the models; ``all``: every one that can run.
        ensemble: score the average of the models too.
        n_qubits: of the rows of an imported dataset; null: any, among those that all models take.
        ablation: which part of a model's input comes from other circuits; baselines keep theirs.
        train_circuits: fit baselines to the first so many of the training split; null: all.
        resume: take over what a finished run has scored, by its config's and its data's hash.
    """

    checkpoint: Checkpoints
    scored_split: Literal["train", "val", "test", "all"]
    baselines: Literal["all"] | tuple[str, ...]
    ensemble: bool
    n_qubits: int | None = Field(ge=1)
    ablation: Ablation
    train_circuits: int | None = Field(ge=1)
    resume: bool

    @field_validator("baselines", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        names = (value,) if isinstance(value, str) else tuple(value or ())
        if names == ("all",):
            return "all"
        from qmend.mitigation.baselines import BASELINES

        for name in names:
            if name not in BASELINES:
                names_here = nearest(str(name), [*BASELINES, "all"])
                raise QmendError(f"baselines: unknown baseline {name!r}. {names_here}")
            if names.count(name) > 1:
                raise QmendError(f"baselines names {name} more than once; name each once.")
        return names

    @model_validator(mode="after")
    def _something_to_score(self) -> Self:
        if not self.checkpoint and not self.baselines:
            raise QmendError("checkpoint and baselines are empty: there is nothing to score.")
        return self

    @model_validator(mode="after")
    def _several_to_average(self) -> Self:
        if self.ensemble and len(self.checkpoint) < 2:
            raise QmendError(
                "ensemble=true averages several models; give them as checkpoint=[RUN_ID,RUN_ID]."
            )
        return self


class GuardWorldsConfig(ConfigModel):
    """Numbers of simulated worlds of a guard.

    Attributes:
        fit: that the probability of harm is fitted in.
        choose: that the threshold is chosen by.
        measure: that harm is measured in.
    """

    fit: int = Field(ge=1)
    choose: int = Field(ge=1)
    measure: int = Field(ge=1)


class GuardConfig(CommandConfig):
    """``conf/guard.yaml``.

    Attributes:
        checkpoint: of a network that reads numbers of the device.
        harmed_pct, confidence_pct: the promise.
        signals: that the probability of harm is computed from.
        degree: of the largest products of them.
        penalty: of the squared weights, beside the sum of log-losses.
        circuits: of each world that is fitted to.
        references: numbers of reference circuits, of which each world draws one.
        seed: of the worlds.
    """

    tracking: TrackingConfig
    checkpoint: str
    harmed_pct: float = Field(gt=0, lt=100)
    confidence_pct: float = Field(gt=0, lt=100)
    signals: tuple[str, ...] = Field(min_length=1)
    degree: int = Field(ge=1, le=3)
    penalty: float = Field(gt=0)
    worlds: GuardWorldsConfig
    circuits: int = Field(ge=1)
    references: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    seed: int = Field(ge=0)

    @field_validator("signals")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from qmend.mitigation.guard import SIGNALS

        for name in names:
            if name not in SIGNALS:
                raise QmendError(f"signals: unknown signal {name!r}. {nearest(name, SIGNALS)}")
            if names.count(name) > 1:
                raise QmendError(f"signals names {name} more than once; name each once.")
        return names


class FineTuneConfig(ConfigModel):
    """How a training that starts from a checkpoint differs.

    Attributes:
        lr_factor: the learning rate is this times the checkpoint's, unless ``optimizer.lr`` is
            given.
        replay: simulated circuits for each measured one of an imported dataset, in every epoch.
    """

    preset_at = ("train", "fine_tune")
    lr_factor: float = Field(gt=0)
    replay: int = Field(ge=0)


class TrainConfig(CommonConfig, TrainingConfig):
    """``conf/train.yaml``; ``experiment`` only overrides.

    Attributes:
        train_circuits: train on the first so many circuits of the training split; null: all.
        val_circuits: choose the epoch by the first so many of the validation split; null: all.
        checkpoint: id of a training run, or a folder, to fine-tune; null: from scratch.
        force: fine-tune on few measured circuits too.
        resume: skip a training that a finished run has, by its config's and its data's hash.
    """

    preset_at = ("train", "")
    seed: int = Field(ge=0)
    train_circuits: int | None = Field(ge=1)
    val_circuits: int | None = Field(ge=1)
    checkpoint: str | None
    fine_tune: FineTuneConfig
    force: bool
    resume: bool

    @model_validator(mode="after")
    def _can_be_trained_on(self) -> Self:
        if not isinstance(self.dataset, ImportedDatasetConfig):
            return self
        which = f"dataset={self.dataset.name} was imported from measurements"
        if self.checkpoint is None:
            raise QmendError(
                f"{which}, which are too few to train a network from scratch; fine-tune one on "
                "them with checkpoint=RUN_ID."
            )
        if self.online is not None:
            raise QmendError(
                f"{which}, whose recipe no config holds; leave out online: fine_tune.replay "
                "simulates circuits by the checkpoint's."
            )
        return self

    @model_validator(mode="after")
    def _can_be_simulated(self) -> Self:
        if self.online is not None:
            self.online.check(self.simulated.job_size, self.trainer.batch_size)
        return self


class TuneCommandConfig(CommonConfig, FitConfig):
    """``conf/tune.yaml``."""

    seed: int = Field(ge=0)
    tune: TuneConfig

    @model_validator(mode="after")
    def _can_be_searched(self, info: ValidationInfo) -> Self:
        if info.context == OUTLINE:  # a space varies the model's own fields
            return self
        from qmend.tuning.space import SearchSpace  # imports Optuna

        space = SearchSpace.parse(
            self.tune.space, self.model_dump(mode="json", serialize_as_any=True)
        )
        if self.tune.metric == "val/loss" and "loss" in space.parameters:
            raise QmendError(
                "tune.metric=val/loss compares nothing where tune.space varies the loss; take out "
                "the loss with ~tune.space.loss, or use tune.metric=val/l1rc_median."
            )
        return self


class DemoConfig(CommonConfig):
    """``conf/demo.yaml``."""

    seed: int = Field(ge=0)
    output: Path
    trainings: dict[str, FitConfig] = Field(min_length=1)


class ReportConfig(CommandConfig):
    """``conf/report.yaml``.

    Attributes:
        runs: which runs, see :func:`qmend.tracking.finding.select`.
        output: page.
    """

    tracking: TrackingConfig
    runs: str | tuple[str, ...]
    output: Path

    @field_validator("runs", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        # The first digits of an id may be a number to Hydra.
        return tuple(map(str, value)) if isinstance(value, list | tuple) else str(value)


class ReferencesConfig(ConfigModel):
    """References by design of a circuit.

    Attributes:
        seed: of their draws.
    """

    preset_at = ("references", "references")
    count: int = Field(ge=1, le=1000)
    seed: int = Field(ge=0)


class ReferencesCommandConfig(CommandConfig):
    """``conf/references.yaml``.

    Attributes:
        circuit: a file of OpenQASM.
        output: directory; null: see the config.
    """

    circuit: Path
    references: ReferencesConfig
    output: Path | None
