"""How a network is trained: the fields of ``conf/optimizer``, ``conf/loss``, ``conf/trainer``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from qmend.training.losses import build_loss


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LossConfig(_Frozen):
    """A loss by name, see :data:`qmend.training.losses.LOSSES`."""

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        build_loss(value)
        return value


class OptimizerConfig(_Frozen):
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


class TrainerConfig(_Frozen):
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
