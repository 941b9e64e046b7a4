"""Every config key that was renamed or added: one table for stored configs, hashes and messages.

A run, a checkpoint and a dataset keep the config that they were made with, and are identified by
its hash. Both must outlive a rename. So hashes are computed from :func:`stable_form`, which uses
the first name that a key ever had, and :func:`current_form` reads what was stored under any name.

To rename a key, add a line to ``RENAMED`` or ``RENAMED_VALUES``. To add a key, add a line to
``ADDED`` with the value that stands for how things were before it. Hashes then stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qmend.config.nested import flatten

#: (section by its present name, first name of the key) -> present name. The section is the key
#: that the mapping lies under, at any depth; "" is a config's top level or any other section.
RENAMED: dict[tuple[str, str], str] = {
    ("", "fresh"): "online",
    ("online", "every"): "epochs_per_draw",
    ("online", "redraw"): "resample",
    ("model", "output"): "head",
    ("dataset", "executor"): "simulator",
}
#: (section, present name of the key) -> first value -> present value.
RENAMED_VALUES: dict[tuple[str, str], dict[str, str]] = {
    ("loss", "name"): {"improved": "not_improved"},
    ("online", "noise"): {"worlds": "randomized"},
}
#: Group -> first name of an option -> present name.
RENAMED_OPTIONS: dict[str, dict[str, str]] = {
    "loss": {"improved": "not_improved"},
    "online": {"worlds": "randomized"},
}
#: (section, key) -> the value that means the same as the key's absence. A section ``noise/aer`` is
#: one whose ``name`` is ``aer``.
ADDED: dict[tuple[str, str], Any] = {
    ("", "train_circuits"): None,
    ("", "val_circuits"): None,
    ("", "force"): False,
    ("", "ablation"): "standard",
    ("fine_tune", "replay"): 3,
    ("model/physics_perceiver", "without"): [],
    ("model/walsh_operator", "without"): [],
    ("dataset", "twirling"): {"randomizations": 0},
    ("dataset", "measured_qubits"): None,
    ("dataset", "qubits"): None,
    ("noise/surrogate_hardware", "asymmetric_readout"): False,
    ("noise/surrogate_hardware", "hidden_gates"): 0.0,
    ("noise/surrogate_twirled", "asymmetric_readout"): False,
    ("noise/surrogate_twirled", "hidden_gates"): 0.0,
    ("calibrations/randomized", "reported"): {
        "exact": 1.0,
        "perturbed": 0.0,
        "stale": 0.0,
        "missing": 0.0,
        "perturbed_sigma": 0.2,
        "stale_sigma": 0.5,
    },
}
#: First way to choose a config of a group -> the present way.
RENAMED_GROUPS: dict[str, str] = {
    "family@dataset.family": "dataset/family",
    "noise@dataset.noise": "dataset/noise",
    "calibrations@dataset.calibrations": "dataset/calibrations",
    "split@dataset.split": "dataset/split",
}
#: Keys that moved from one section to another, for messages only: they are in no hash.
MOVED: dict[str, str] = {
    "data.ray_address": "ray.address",
    "tune.address": "ray.address",
    "report": "output",
    "report.runs": "runs",
    "show.folder": "folder",
    "show.page": "output",
    "checkpoints": "checkpoint",
}

_FIRST_NAMES = {(section, new): old for (section, old), new in RENAMED.items()}


def current_form(config: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Translate a stored config to present names and values.

    Args:
        section: the present name of the key that the config lay under.
    """
    translated: dict[str, Any] = {}
    for name, value in config.items():
        key = RENAMED.get((section, name), name)
        if isinstance(value, Mapping):
            translated[key] = current_form(value, key)
        else:
            values = RENAMED_VALUES.get((section, key), {})
            translated[key] = values.get(value, value) if isinstance(value, str) else value
    for (place, key), before in ADDED.items():
        if place in _places(section, config):
            translated.setdefault(key, before)
    return translated


def current_params(params: Mapping[str, str]) -> dict[str, str]:
    """Translate the logged params of a run, as :func:`current_form` translates its config."""
    translated = {}
    for name, value in params.items():
        key = present_key(name)
        translated[key] = _renamed_values(key).get(value, value)
    sections = {"", *(key.rpartition(".")[0] for key in translated)}
    for (place, key), before in ADDED.items():
        for section in sections:
            last, kind = section.rpartition(".")[2], {"name": translated.get(f"{section}.name")}
            if place in _places(last, kind):
                for name, value in flatten({key: before}).items():
                    translated.setdefault(f"{section}.{name}".lstrip("."), str(value))
    return translated


def stable_form(config: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Translate a present config to first names, keys left out where they change nothing.

    Args:
        section: the present name of the key that the config lies under.
    """
    translated: dict[str, Any] = {}
    for key, value in config.items():
        places = _places(section, config)
        if any((place, key) in ADDED and ADDED[place, key] == value for place in places):
            continue
        name = _FIRST_NAMES.get((section, key), key)
        if isinstance(value, Mapping):
            translated[name] = stable_form(value, key)
        else:
            values = {new: old for old, new in RENAMED_VALUES.get((section, key), {}).items()}
            translated[name] = values.get(value, value) if isinstance(value, str) else value
    return translated


def _places(section: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the sections of ``ADDED`` that a config under a key belongs to."""
    return section, f"{section}/{config.get('name')}"


def present_key(key: str) -> str:
    """Translate a dotted key to its present spelling, unchanged where it has not changed."""
    for old, new in MOVED.items():
        if key == old:
            return new
    section, parts = "", []
    for name in key.split("."):
        section = RENAMED.get((section, name), name)
        parts.append(section)
    return ".".join(parts)


def _renamed_values(key: str) -> dict[str, str]:
    """Return first value -> present value of a dotted key in its present spelling."""
    section, _, last = key.rpartition(".")
    return RENAMED_VALUES.get((section.rpartition(".")[2], last), {})


def spelling_sentence(override: str) -> str | None:
    """Return one sentence on an override in an old spelling, or None if its spelling holds.

    Args:
        override: as typed, such as ``fresh.every=2``.
    """
    match = re.fullmatch(r"(\+\+|\+|~)?([^=]+?)(=(.*))?", override, re.DOTALL)
    if match is None:
        return None
    prefix, key, assigned, value = (part or "" for part in match.groups())
    new = RENAMED_GROUPS[key] if key in RENAMED_GROUPS else present_key(key)
    values = _renamed_values(new) if "." in new else RENAMED_OPTIONS.get(new, {})
    present = ",".join(values.get(part, part) for part in value.split(","))
    if (new, present) == (key, value):
        return None
    return f"{override} is now {prefix}{new}{'=' if assigned else ''}{present}."
