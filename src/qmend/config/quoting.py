"""Overrides whose values need quotes, as a shell takes them."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Characters that Hydra reads as they are, in any place of a list.
_PLAIN = re.compile(r"[\w.+-]+", re.ASCII)
#: A text that is one without quotes, but for some words.
_NAME = re.compile(r"[A-Za-z/._][\w/.-]*", re.ASCII)
_WORDS = ("null", "true", "false", "nan", "inf")


def quoted(value: str) -> str:
    """Put a text into Hydra's quotes, in which backslashes count before a quote alone."""
    inner = re.sub(r'(\\*)("|$)', lambda at: at[1] * 2 + (r"\"" if at[2] else ""), value)
    return f'"{inner}"'


def quoted_ids(overrides: Sequence[str]) -> list[str]:
    """Put ``runs=parent=ID`` and ``checkpoint=[ID,ID]`` into quotes: an id is no number."""
    override = re.compile(r"(\+*(?:runs|checkpoints?)=)([^'\"]+)")
    text = re.compile(r"(?<![^\[,])(\w+=[^\[\],]+|[0-9a-f]+)(?![^\],])")
    prepared = []
    for each in overrides:
        match = override.fullmatch(each)
        prepared.append(match[1] + text.sub(r"'\1'", match[2]) if match else each)
    return prepared


def path_first(key: str, arguments: list[str]) -> list[str]:
    """Write a path in the first place as an override: ``qmend data show DIRECTORY``.

    A word with ``=`` is an override, unless there is such a path or it begins as one.
    """
    first = arguments[0] if arguments else "-"
    is_override = "=" in first or first.startswith(("~", "+"))
    is_path = first.startswith(("/", "./", "../")) or Path(first).exists()
    if first.startswith("-") or (is_override and not is_path):
        return arguments
    return [f"{key}={quoted(first)}", *arguments[1:]]


def written(value: Any) -> str:
    """Write a plain value as Hydra reads it in an override."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}: {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, str):
        return value if _NAME.fullmatch(value) and value.lower() not in _WORDS else quoted(value)
    return repr(value) if isinstance(value, float) else json.dumps(value)


def quoted_override(override: str) -> str | None:
    """Put the value of ``key=value`` into quotes, and all of it into those of a shell.

    Of a list each text gets its own.

    Returns:
        None where that is no override either.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    texts: Sequence[str] | str = value
    written = quoted(value)
    if not key:
        return None
    if value[:1] in ("[", "{"):
        texts = [text.strip() for text in value[1:-1].split(",")]
        if re.search(r"[\[\]{}'\"]", "".join(texts)) or (value[0], value[-1:]) != ("[", "]"):
            return None
        written = ",".join(t if _PLAIN.fullmatch(t) else quoted(t) for t in texts)
        written = f"[{written}]"
    try:
        read = OverridesParser.create().parse_override(f"{key}={written}").value()
    except HydraException:
        return None
    same = list(map(str, read)) == texts if isinstance(read, list) else read == value
    return shlex.quote(f"{key}={written}") if same else None


def override_sentence(override: str) -> str:
    """Say why an override can't be read, with the form that can."""
    if "=" not in override:
        return f"The override {override!r} is not of the form key=value."
    key, _, value = override.partition("=")
    form = quoted_override(f"{key}={os.path.expanduser(value)}")  # quotes would keep a ~
    if form is None:
        return (
            f"The override {override!r} is not of the form key=value; a text with other characters "
            "than letters and digits needs quotes, such as 'key=\"a#b\"'."
        )
    return f"{override}: put the value in quotes, {form}."


def several_values_sentence(override: str) -> str:
    """Say what may be done with a value that has commas, outside a multirun."""
    key, _, value = override.partition("=")
    form = quoted_override(override)
    last = "" if form is None else f", or put the value in quotes, {form}"
    return (
        f"{override} has commas: run each of its values with --multirun (-m), make them a list "
        f"with {shlex.quote(f'{key}=[{value}]')}{last}."
    )


def words_sentence(overrides: Sequence[str]) -> str | None:
    """Say that words without ``=`` may belong to the value before them, as a shell splits it."""
    for k, override in enumerate(overrides):
        if "=" in override or override.startswith("~"):
            continue
        before = [each for each in overrides[:k] if "=" in each][-1:]
        if not before:
            return override_sentence(override)
        rest = overrides[k:]
        words = rest[: next((i for i, each in enumerate(rest) if "=" in each), len(rest))]
        form = quoted_override(" ".join([*before, *words]))
        return (
            f"The override {override!r} is not of the form key=value; if it belongs to the value "
            f"before it, put that in quotes, {form}."
        )
    return None
