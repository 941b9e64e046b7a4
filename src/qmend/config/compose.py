"""Compose a command's config outside a Hydra application."""

from __future__ import annotations

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from qmend.config.errors import CONFIG_ERRORS, hydra_sentence, unknown_space
from qmend.config.paths import conf_dir, config_groups
from qmend.config.spellings import spelling_sentence
from qmend.types import QmendError


def compose_config(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``conf/<name>.yaml`` with overrides, interpolations not resolved.

    A Hydra application that runs meanwhile is left as it is.

    Raises:
        QmendError: if an override is wrong, or no config has the name.
    """
    spaces = config_groups(conf_dir())["tune"]
    for override in overrides:
        sentence = spelling_sentence(override) or unknown_space(override, spaces)
        if sentence is not None:
            raise QmendError(sentence)
    try:
        return _compose(name, overrides)
    except CONFIG_ERRORS as error:
        raise QmendError(hydra_sentence(error, conf_dir())) from None


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            return compose(name, list(overrides))
    finally:
        GlobalHydra.instance().hydra = running
