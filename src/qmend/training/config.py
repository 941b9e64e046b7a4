"""How a network is trained: the fields of ``conf/optimizer``, ``conf/loss``, ``conf/trainer``,
``conf/fresh``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from qmend.config.model import ConfigModel
from qmend.training.losses import build_loss


class LossConfig(ConfigModel):
    """A loss by name, see :data:`qmend.training.losses.LOSSES`."""

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        build_loss(value)
        return value


class OptimizerConfig(ConfigModel):
    """AdamW and its schedule.

    Attributes:
        lr: the highest learning rate; ``constant`` and ``plateau`` start with it.
        schedule: ``one_cycle`` rises to ``lr`` in the first tenth and falls to zero by the last
            epoch; ``plateau`` halves after 10 epochs without a better ``val/loss``, whatever
            ``trainer.monitor`` is; ``constant`` stays.
    """

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(1e-4, ge=0, allow_inf_nan=False)
    schedule: Literal["one_cycle", "plateau", "constant"] = "one_cycle"


class TrainerConfig(ConfigModel):
    """Length, shape and place of a training.

    Attributes:
        gradient_clip: the gradient of all weights together is scaled down to this 2-norm.
        patience: epochs without a better ``monitor`` after which training stops; null: never.
        monitor: the validation metric whose best epoch's weights are kept.
        ema: decay d of the exponential moving average of the weights, a <- d a + (1 - d) w after
            each step; null: none. The averaged weights are the ones that are validated, kept and
            saved. Step t uses min(d, (1 + t) / (10 + t)), so that the start is soon forgotten.
        threads: processors torch may use; results are equal only for an equal number.
        accelerator: ``gpu`` is CUDA; ``auto`` takes it where there is one.
        precision: Lightning's; the mixed ones multiply matrices in 16 bits, keep the weights in
            32 and compute the loss in 32. ``16-mixed`` needs a GPU. Whatever is chosen, the
            trained network is scored in 32 bits.
        deterministic: only operations that give the same bits each time; the slower ones of a GPU.
        save_every_seconds: the state of a training that can be resumed is written after an epoch,
            if this long has passed since it was last written.
    """

    max_epochs: int = Field(30, ge=1)
    batch_size: int = Field(256, ge=1)
    gradient_clip: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1)
    monitor: Literal["val/loss", "val/l1rc_median"] = "val/loss"
    ema: float | None = Field(None, gt=0, lt=1)
    threads: int = Field(2, ge=1)
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    deterministic: bool = True
    save_every_seconds: float = Field(30.0, ge=0, allow_inf_nan=False)


class FreshConfig(ConfigModel):
    """Training circuits that are simulated while the network trains, by the dataset's recipe.

    Attributes:
        circuits: fresh ones an epoch, a multiple of ``dataset.job_size``.
        every: epochs that a draw is used for, each time in another order.
        redraw: ``circuits``: new ones; ``noise``: the stored training circuits, one after the
            other, measured again under fresh noise, which costs a tenth and less.
        noise: ``dataset``: the dataset's own, only where the calibration alone decides it;
            ``worlds``: surrogate hardware with other random constants for each job; or the path
            of a noise config that was fitted to training circuits.
        strength: range of the uniform distribution that a world's strength is drawn from.
        with_stored: the stored training circuits take part in each epoch, among the fresh ones.
        workers: processes that draw the next epoch's circuits meanwhile; 0: none, they are drawn
            when they are needed. The circuits are the same.
    """

    circuits: int = Field(9000, ge=1)
    every: int = Field(1, ge=1)
    noise: Literal["dataset", "worlds"] | Path
    redraw: Literal["circuits", "noise"] = "circuits"
    strength: tuple[float, float] = (0.5, 2.0)
    with_stored: bool = False
    workers: int = Field(1, ge=0, le=256)

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        low, high = self.strength
        if not 0 <= low <= high < float("inf"):
            raise ValueError(f"strength must be two numbers, 0 <= low <= high, not [{low}, {high}]")
        return self

    def seen(self, epochs: int) -> int:
        """Fresh circuits that so many epochs train on."""
        return self.circuits * -(-epochs // self.every)
