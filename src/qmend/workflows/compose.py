"""Compose and check the config of a command, as its command line does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qmend.config.compose import compose_choices
from qmend.config.errors import validate
from qmend.config.model import CommandConfig
from qmend.types import QmendError, nearest
from qmend.workflows import configs

#: Name of a config in ``conf`` -> its type.
COMMAND_CONFIGS: dict[str, type[CommandConfig]] = {
    "generate": configs.GenerateConfig,
    "collect": configs.CollectConfig,
    "verify": configs.VerifyConfig,
    "show": configs.ShowConfig,
    "train": configs.TrainConfig,
    "evaluate": configs.EvaluateConfig,
    "tune": configs.TuneCommandConfig,
    "demo": configs.DemoConfig,
    "report": configs.ReportConfig,
    "study/architectures": configs.ArchitecturesStudyConfig,
    "study/known_noise": configs.KnownNoiseStudyConfig,
    "study/noise_fidelity": configs.NoiseFidelityStudyConfig,
    "study/published_noise": configs.PublishedNoiseStudyConfig,
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
    composed, choices = compose_choices(command, overrides)
    return validate(COMMAND_CONFIGS[command], composed).composed(overrides, choices)
