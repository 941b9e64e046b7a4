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
        schedule: ``one_cycle`` rises to ``lr`` in the first tenth and falls to zero by the last
            epoch; ``plateau`` halves after 10 epochs without a better validation loss.
    """

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(1e-4, ge=0, allow_inf_nan=False)
    schedule: Literal["one_cycle", "plateau", "constant"] = "one_cycle"


class TrainerConfig(_Frozen):
    """Length and shape of a training.

    Attributes:
        patience: epochs without a better ``monitor`` after which training stops; null: never.
        monitor: the validation metric whose best epoch's weights are kept.
        threads: processors torch may use; results are equal only for an equal number.
    """

    max_epochs: int = Field(30, ge=1)
    batch_size: int = Field(256, ge=1)
    gradient_clip: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1)
    monitor: Literal["val/loss", "val/l1rc_median"] = "val/loss"
    threads: int = Field(2, ge=1)
