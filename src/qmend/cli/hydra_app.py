"""Runs a command as a Hydra application, its config checked before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from qmend.config.errors import CONFIG_ERRORS, hydra_sentence, validate
from qmend.config.paths import conf_dir
from qmend.types import QmendError


@dataclass(frozen=True)
class FailedJob:
    """What a job returns in place of raising, so that the other jobs of a multirun go on."""

    error: Exception


Config = TypeVar("Config", bound=BaseModel)
#: (validated config, the same as plain values) -> result.
Task = Callable[[Config, dict[str, Any]], Any]


def run_hydra(name: str, kind: type[Config], task: Task[Config], arguments: list[str]) -> None:
    """Compose ``conf/<name>.yaml`` with the arguments, validate it, run the task.

    Raises:
        QmendError: if the config is wrong.
    """

    failed: list[FailedJob] = []

    def job(composed: DictConfig) -> Any:
        try:
            config = validate(kind, composed)
            plain = OmegaConf.to_container(composed, resolve=True)
            assert isinstance(plain, dict)
            return task(config, {str(k): v for k, v in plain.items()})
        except Exception as error:
            # Hydra would print a line of its own; the first error is raised below instead.
            failed.append(FailedJob(error))
            return failed[-1]

    folder = conf_dir()
    # Errors come to us as they are, to be told in one sentence.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["qmend", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(job)()
    except CONFIG_ERRORS as error:
        raise QmendError(hydra_sentence(error, folder, compose_config(name))) from None
    if failed:
        raise failed[0].error


def compose_config(name: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """The composed config as plain values, outside a Hydra application."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        composed = compose(name, overrides or [])
    plain = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}
