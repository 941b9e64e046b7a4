"""Groups and keys that each command's config takes, by the files of ``conf``."""

from __future__ import annotations

import re
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from qmend.config.paths import conf_dir, config_groups
from qmend.types import nearest

#: Commands that a message names as the owners of a key.
_NAMED = 3
#: Group of configs that change any part of a command's.
_EXPERIMENT = "experiment"


def command_groups(name: str, folder: Path) -> dict[str, list[str]]:
    """Map each group that ``conf/<name>.yaml`` takes to its options.

    A group with a package, such as ``model@trainings.perceiver.model``, has it in its name. Of the
    experiments, those that change only what the command has.
    """
    options = config_groups(folder)
    groups: dict[str, list[str]] = {}
    root = _root(folder / f"{name}.yaml")
    for entry in root.get("defaults", []):
        for key in entry if isinstance(entry, dict) else ():
            group = re.sub(r"^(optional )?/?", "", key)
            path = group.partition("@")[0]
            if path in options:
                groups[group] = options[path]
                groups |= {g: options[g] for g in options if g.startswith(f"{path}/")}
    if _EXPERIMENT in groups:
        packages = {group.partition("@")[2].partition(".")[0] for group in groups}
        known = {*root, *groups, *packages}
        paths = {option: folder / _EXPERIMENT / f"{option}.yaml" for option in groups[_EXPERIMENT]}
        groups[_EXPERIMENT] = [o for o, path in paths.items() if _changed(path) <= known]
    return groups


def _changed(path: Path) -> set[str]:
    """List the keys and groups that an experiment changes."""
    experiment = _root(path)
    entries = experiment.get("defaults", [])
    overridden = (
        re.sub(r"^override /", "", key) for e in entries if isinstance(e, dict) for key in e
    )
    return {*experiment, *overridden} - {"defaults"}


def unknown_key(key: str, value: str, known: list[str], name: str, folder: Path) -> str:
    """Say that a command's config has no such key, with the one that was meant.

    Args:
        value: the override's, which may be that of a group.
        known: the keys that the config has.
        name: of the config, such as ``train`` or ``study/known_noise``.
    """
    groups = command_groups(name, folder)
    if key in groups:
        chosen = key.partition("/")[0]
        return f"{key}: the chosen {chosen} has no such part; choose another {chosen}."
    part = next((g for g in groups if re.split(r"[/@]", g)[-1] == key), None)
    part = part or next((g for g in groups if g.partition("@")[0] == key), None)
    if part is not None:
        form = f"{part}={value}" if value in groups[part] else part
        return f"{key}: unknown key. Did you mean {form!r}?"
    first = re.split(r"[./@]", key)[0]
    owners = [] if first in known else _owners(first, folder)
    if owners:
        named = ", ".join(f"`{_title(owner, folder)}`" for owner in owners[:_NAMED])
        verb = "has" if len(owners) == 1 else "have"
        more = ", ..." if len(owners) > _NAMED else ""
        return f"{key}: `{_title(name, folder)}` takes no {first}; {named}{more} {verb} it."
    return f"{key}: unknown key. {nearest(key, [*known, *groups])}"


def _owners(key: str, folder: Path) -> list[str]:
    """List the configs that have a key or group, studies last."""
    paths = sorted(p for p in folder.glob("*.yaml") if p.stem != "base")
    names = [p.stem for p in paths] + sorted(f"study/{p.stem}" for p in folder.glob("study/*.yaml"))
    taken = {
        name: {*_root(folder / f"{name}.yaml"), *command_groups(name, folder)} for name in names
    }
    return [name for name in names if key in taken[name] - {"defaults", "hydra"}]


def config_summary(name: str) -> str:
    """Return what the first comment of a command's config says of it, as one paragraph.

    Args:
        name: such as ``study/ablation``.
    """
    lines = (conf_dir() / f"{name}.yaml").read_text().splitlines()
    comment = takewhile(lambda line: line.startswith("#"), lines)
    words = [line.lstrip("# ") for line in comment]
    first, *others = [word for word in words if not word.startswith(("@package", "Example: "))]
    what = first.partition(": ")[2]
    return " ".join([f"{what[0].upper()}{what[1:]}.", *filter(None, others)])


def _title(name: str, folder: Path) -> str:
    """Return the words of a command, from the first lines of its config."""
    words = re.search(r"^# (qmend [\w ]+)", (folder / f"{name}.yaml").read_text(), re.MULTILINE)
    return words[1] if words else f"qmend {name}"


@cache
def _root(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded
