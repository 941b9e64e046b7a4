"""Check a model's name and keys by the files of ``conf/model``, without torch.

The types of the fields stand in the architecture's own file, which imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from qmend.config.model import ConfigModel
from qmend.config.paths import conf_dir
from qmend.types import QmendError, nearest


def check_outline(config: object) -> None:
    """Check that a model's config names an architecture, and only keys of it.

    Raises:
        QmendError: if it is no mapping, or the architecture is unknown.
        pydantic.ValidationError: if a key is unknown.
    """
    if not isinstance(config, Mapping):
        raise QmendError(
            f"A model is a config with fields, not {config!r}; see `qmend train --help`."
        )
    keys = architecture_keys()
    name = str(config.get("name"))
    if name not in keys:
        raise QmendError(f"model.name: unknown architecture {name!r}. {nearest(name, keys)}")
    fields: dict[str, Any] = dict.fromkeys(keys[name], (Any, None))
    create_model("Outline", __base__=ConfigModel, **fields).model_validate(dict(config))


def architecture_keys() -> dict[str, set[str]]:
    """Return the keys of each architecture, by its name."""
    keys: dict[str, set[str]] = {}
    for path in (conf_dir() / "model").glob("*.yaml"):
        values = dict(re.findall(r"^(\w+): *(\w*)", path.read_text(), re.MULTILINE))
        keys.setdefault(values["name"], set()).update(values)
    return keys
