"""Config errors as one sentence that names the key and the nearest valid one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from qmend.config.groups import command_groups, unknown_key
from qmend.config.paths import conf_dir, config_groups
from qmend.config.quoting import override_sentence, several_values_sentence
from qmend.config.spellings import present_key
from qmend.types import QmendError, nearest

Config = TypeVar("Config", bound=BaseModel)


#: Context of a first check, which looks at the outline of a model alone: its type imports torch.
OUTLINE = {"models": "outline"}


def validate(kind: type[Config], composed: DictConfig, name: str | None = None) -> Config:
    """Check a composed config against its schema before any work.

    Args:
        name: of the config, such as ``train``, for messages.

    Raises:
        QmendError: naming the first key that is unknown, missing or has a bad value.
    """
    missing = OmegaConf.missing_keys(composed)
    if missing:
        key = sorted(missing)[0]
        raise QmendError(f"{key} needs a value; give it as {key}=...")
    plain = OmegaConf.to_container(composed, resolve=True)
    try:
        kind.model_validate(plain, context=OUTLINE)
        return kind.model_validate(plain)
    except ValidationError as error:
        raise QmendError(validation_sentence(error, plain, name)) from None


def validation_sentence(error: ValidationError, config: Any, name: str | None = None) -> str:
    """Say the first problem that pydantic found in one sentence."""
    first = error.errors()[0]
    path = [str(p) for p in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        present = present_key(key)
        if present != key:
            return f"{key} is now {present}."
        known = [k for k in _siblings(config, path) if k != path[-1]]
        if name is not None and len(path) == 1:
            return unknown_key(key, str(first["input"]), known, name, conf_dir())
        return f"{key}: unknown key. {nearest(path[-1], known)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    value = first["input"]
    sentence = f"{key}: {message}" if key else message
    if isinstance(value, str | int | float | bool) or value is None:
        sentence += f" (it is {value!r})"
    if first["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", str(first["ctx"]["expected"]))
        return f"{sentence}. {nearest(str(value), valid)}"
    return f"{sentence}."


def _siblings(config: Any, path: list[str]) -> list[str]:
    at = config
    for part in path[:-1]:
        at = at.get(part, {}) if isinstance(at, Mapping) else {}
    return [str(k) for k in at] if isinstance(at, Mapping) else []


def unknown_space(override: str, options: Sequence[str]) -> str | None:
    """Return the sentence on an override that names a search space that is not there.

    Hydra ignores it, as an architecture needs no space of its own.
    """
    group, _, names = override.partition("=")
    for name in names.split(",") if group == "tune" else ():
        if name not in options:
            return f"{override}: there is no such config. {nearest(name, options)}"
    return None


def hydra_sentence(error: Exception, folder: Path, name: str) -> str:
    """Tell a Hydra or OmegaConf error in one sentence.

    Args:
        name: of the config, such as ``train``.
        folder: the config directory, whose sub-directories are the groups.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option}: there is no such config. {nearest(option, error.options)}"
    override = re.search(r"Could not override '([^']+)'", text)
    if override:
        value = re.search(r"\+[^=\s]+=(\S*)", text)
        key, composed = override.group(1), _composed(error.__cause__)
        return _unknown_key(key, value.group(1) if value else "", composed, name, folder)
    if isinstance(error, OverrideParseException):
        return override_sentence(error.override)
    ambiguous = re.match(
        r"Ambiguous value for argument '(.*)'\n1\. To use it as a list", text, re.S
    )
    if ambiguous:
        key = ambiguous.group(1).partition("=")[0].lstrip("+")
        if key.partition("@")[0] in config_groups(folder):
            return f"{ambiguous.group(1)} names several configs; add -m to run each of them."
        return several_values_sentence(ambiguous.group(1))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, Exception):
        lines.append(str(cause).splitlines()[0])
    return ": ".join(lines[:2]) + "."


def _composed(cause: BaseException | None) -> dict[str, Any]:
    """Return the config in which OmegaConf missed a key, as far as it was composed."""
    node = getattr(cause, "parent_node", None)
    if node is None:
        return {}
    plain = OmegaConf.to_container(node._get_root(), resolve=False)
    return {str(k): v for k, v in plain.items() if k != "hydra"} if isinstance(plain, dict) else {}


def _unknown_key(key: str, value: str, config: Mapping[str, Any], name: str, folder: Path) -> str:
    groups = command_groups(name, folder)
    group = key.partition(".")[0]
    if group != key and group in groups and group in config and not config[group]:
        choice = f"{group}={'|'.join(o for o in groups[group] if o != 'none')}"
        return f"{key}: there is no {group} here; choose one first, {choice}."
    return unknown_key(key, value, [*_keys(config)], name, folder)


def _keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


CONFIG_ERRORS = (HydraException, OmegaConfBaseException)
