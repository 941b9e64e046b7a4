"""Compose a command's config outside a Hydra application."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from qmend.config.errors import CONFIG_ERRORS, hydra_sentence, unknown_space
from qmend.config.paths import conf_dir, config_groups
from qmend.config.spellings import spelling_sentence
from qmend.types import QmendError


def compose_config(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``conf/<name>.yaml`` with overrides, interpolations not resolved.

    Raises:
        QmendError: if an override is wrong, or no config has the name.
    """
    return compose_choices(name, overrides)[0]


def expand_sweep(overrides: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Expand overrides as ``-m`` does, with Hydra's sweeper.

    Returns:
        The overrides of each combination, and those of the given overrides that vary.

    Raises:
        QmendError: if one is not of the form key=value.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except CONFIG_ERRORS as error:
        raise QmendError(hydra_sentence(error, conf_dir(), "train")) from None
    (cells,) = BasicSweeper.split_arguments(parsed, None)
    return cells, [str(each.input_line) for each in parsed if each.is_sweep_override()]


def compose_choices(name: str, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """Compose as :func:`compose_config`, with the name of the config of each group.

    A Hydra application that runs meanwhile is left as it is.
    """
    spaces = config_groups(conf_dir())["tune"]
    for override in overrides:
        sentence = spelling_sentence(override) or unknown_space(override, spaces)
        if sentence is not None:
            raise QmendError(sentence)
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            whole = compose(name, list(overrides), return_hydra_config=True)
    except CONFIG_ERRORS as error:
        raise QmendError(hydra_sentence(error, conf_dir(), name)) from None
    finally:
        GlobalHydra.instance().hydra = running
    choices = {str(group): str(option) for group, option in whole.hydra.runtime.choices.items()}
    with open_dict(whole):
        del whole["hydra"]
    return whole, choices


@cache
def preset_values(command: str, key: str) -> dict[str, Any]:
    """Return the default values below a key of a command's config.

    Args:
        command: name and overrides, with blanks between: ``train model=rnn``.
        key: dotted, such as ``dataset.split``; empty: the whole config.
    """
    name, *overrides = command.split()
    composed = compose_config(name, overrides)
    values = OmegaConf.to_container(OmegaConf.select(composed, key) if key else composed)
    assert isinstance(values, dict)
    return {str(field): value for field, value in values.items() if value != "???"}
