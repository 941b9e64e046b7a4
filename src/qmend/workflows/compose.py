"""Compose and check the config of a command, as its command line does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from omegaconf import open_dict

from qmend.config.compose import compose_choices
from qmend.config.errors import validate
from qmend.config.model import CommandConfig
from qmend.config.quoting import quoted_ids
from qmend.types import QmendError, nearest
from qmend.workflows import configs

Config = TypeVar("Config", bound=CommandConfig)

#: Name of a config in ``conf`` -> its type. A study brings its own.
COMMAND_CONFIGS: dict[str, type[CommandConfig]] = {
    "generate": configs.GenerateConfig,
    "collect": configs.CollectConfig,
    "verify": configs.VerifyConfig,
    "show": configs.ShowConfig,
    "train": configs.TrainConfig,
    "evaluate": configs.EvaluateConfig,
    "guard": configs.GuardConfig,
    "tune": configs.TuneCommandConfig,
    "demo": configs.DemoConfig,
    "report": configs.ReportConfig,
    "references": configs.ReferencesCommandConfig,
}


def compose(command: str, overrides: Sequence[str] = ()) -> Any:
    """Compose the config of a command, such as ``compose("train", ["model=rnn", "seed=1"])``.

    Args:
        command: ``train``, ``tune``, ``evaluate``, ``generate``, ...: the name of a config.
        overrides: as on the command line.

    Returns:
        The typed config, such as :class:`qmend.workflows.configs.TrainConfig`.

    Raises:
        QmendError: naming the key or value that is wrong.
    """
    if command not in COMMAND_CONFIGS:
        raise QmendError(
            f"No command {command!r} has a config. {nearest(command, COMMAND_CONFIGS)}"
        )
    return compose_as(COMMAND_CONFIGS[command], command, overrides)


def compose_as(
    kind: type[Config],
    command: str,
    overrides: Sequence[str] = (),
    sections: Mapping[str, Any] | None = None,
) -> Config:
    """Compose ``conf/<command>.yaml`` as a config of a type.

    Args:
        sections: plain values of keys that take the place of the composed ones, such as the
            dataset and device of another command's config.

    Raises:
        QmendError: naming the key or value that is wrong.
    """
    overrides = quoted_ids(overrides)
    composed, choices = compose_choices(command, overrides)
    with open_dict(composed):
        for key, value in (sections or {}).items():
            composed[key] = value
    return validate(kind, composed, command).composed(overrides, choices)
