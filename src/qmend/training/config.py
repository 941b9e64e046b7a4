"""Configs of a training: model, loss, optimizer, trainer and online simulation.

Importable without torch; only the config of a model imports its architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from qmend.config.errors import OUTLINE
from qmend.config.model import ConfigModel
from qmend.config.paths import conf_dir
from qmend.models.config import ModelConfig
from qmend.models.outline import check_outline
from qmend.types import QmendError, nearest


class LossConfig(ConfigModel):
    """A loss of :mod:`qmend.training.losses` by name; each has a file in ``conf/loss``."""

    name: str

    @field_validator("name")
    @classmethod
    def _exists(cls, value: str) -> str:
        names = {path.stem for path in (conf_dir() / "loss").glob("*.yaml")}
        if value not in names:
            raise QmendError(f"loss.name: unknown loss {value!r}. {nearest(value, names)}")
        return value


class OptimizerConfig(ConfigModel):
    """AdamW and its learning rate schedule.

    Attributes:
        lr: the highest learning rate; ``constant`` and ``plateau`` start with it.
        schedule: ``one_cycle`` rises to ``lr`` in the first tenth and falls to zero by the last
            epoch; ``plateau`` halves after 10 epochs without a better ``val/loss``, whatever
            ``trainer.monitor`` is; ``constant`` stays.
    """

    preset_at = ("train", "optimizer")
    name: Literal["adamw"] = "adamw"
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    schedule: Literal["one_cycle", "plateau", "constant"]


class TrainerConfig(ConfigModel):
    """Length, shape and place of a training.

    Attributes:
        gradient_clip: the gradient of all weights together is scaled down to this 2-norm.
        patience: epochs without a better ``monitor`` after which training stops; null: never.
        monitor: the validation metric whose best epoch's weights are kept.
        ema: decay d of the exponential moving average of the weights, a <- d a + (1 - d) w after
            each step; null: none. The averaged weights are the ones that are validated, kept and
            saved. Step t uses min(d, (1 + t) / (10 + t)), so that the start is soon forgotten.
        threads: processors torch may use; results are equal only for an equal number. One unless
            asked for: two take 1.4 to 2.5 times the CPU seconds of one.
        accelerator: ``gpu`` is CUDA; ``auto`` takes it where there is one.
        precision: Lightning's; the mixed ones multiply matrices in 16 bits, keep the weights in
            32 and compute the loss in 32. ``16-mixed`` needs a GPU. Whatever is chosen, the
            trained network is scored in 32 bits.
        deterministic: only operations that give the same bits each time; the slower ones of a GPU.
        save_every_seconds: the state of a training that can be resumed is written after an epoch,
            if this long has passed since it was last written, and at an interrupt.
    """

    preset_at = ("train", "trainer")
    max_epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    gradient_clip: float = Field(gt=0)
    patience: int | None = Field(ge=1)
    monitor: Literal["val/loss", "val/l1rc_median"]
    ema: float | None = Field(gt=0, lt=1)
    threads: int = Field(ge=1)
    accelerator: Literal["cpu", "gpu", "auto"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    deterministic: bool
    save_every_seconds: float = Field(ge=0)


class OnlineConfig(ConfigModel):
    """Online simulation: circuits that are simulated while the network trains.

    Attributes:
        circuits: new ones in each draw, a multiple of ``dataset.job_size``.
        epochs_per_draw: epochs that a draw serves; each shuffles it in another order.
        resample: ``circuits``: new ones; ``noise``: the stored training circuits, one after the
            other, measured again under new noise, which costs a tenth or less.
        noise: ``dataset``: the dataset's own, only where the calibration alone decides it;
            ``randomized``: surrogate hardware with other random constants for each job (domain
            randomization); or the path of a noise config that was fitted to training circuits.
        strength: range of the uniform distribution of a device's strength.
        with_stored: the stored training circuits take part in each epoch, among the new ones.
        workers: processes that simulate the next draw meanwhile; 0: it is simulated when it is
            needed. The circuits are the same.
    """

    preset_at = ("train online=dataset", "online")
    circuits: int = Field(ge=1)
    epochs_per_draw: int = Field(ge=1)
    noise: Literal["dataset", "randomized"] | Path
    resample: Literal["circuits", "noise"]
    strength: tuple[float, float]
    with_stored: bool
    workers: int = Field(ge=0, le=256)

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        low, high = self.strength
        if not 0 <= low <= high < float("inf"):
            raise ValueError(f"strength must be two numbers, 0 <= low <= high, not [{low}, {high}]")
        return self

    def check(self, job_size: int, batch_size: int) -> None:
        """Refuse numbers that don't fit the dataset and the trainer.

        Raises:
            QmendError: if a draw fills no batch, or makes no whole jobs.
        """
        if self.circuits < batch_size:
            raise QmendError(
                f"online.circuits ({self.circuits}) must fill one batch of trainer.batch_size "
                f"({batch_size}); draw more, or take smaller batches."
            )
        if self.circuits % job_size:
            near = max(job_size, self.circuits // job_size * job_size)
            raise QmendError(
                f"online.circuits ({self.circuits}) must be a multiple of dataset.job_size "
                f"({job_size}); use {near} or {near + job_size}."
            )

    def simulated(self, epochs: int) -> int:
        """Return how many circuits so many epochs simulate."""
        return self.circuits * -(-epochs // self.epochs_per_draw)


class FitConfig(ConfigModel):
    """A network and how it is fitted, for any seed."""

    model: ModelConfig = Field()
    loss: LossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_architecture(cls, value: Any, info: ValidationInfo) -> ModelConfig:
        if isinstance(value, ModelConfig):
            return value
        if info.context == OUTLINE:
            check_outline(value)
            return ModelConfig.model_construct(**value)
        from qmend.models.base import model_config  # imports torch

        return model_config(value)

    def training(self, seed: int) -> TrainingConfig:
        """Return the config of one training on stored circuits."""
        parts = {name: getattr(self, name) for name in FitConfig.model_fields}
        return TrainingConfig(**parts, seed=seed)


class TrainingConfig(FitConfig):
    """All that decides one training beside the data.

    Attributes:
        seed: of the initial weights, the order of the batches, dropout and simulated circuits.
        online: simulation meanwhile; None: the stored circuits only.
    """

    seed: int = Field(0, ge=0)
    online: OnlineConfig | None = None
