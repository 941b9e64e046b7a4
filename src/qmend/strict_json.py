"""JSON in which no key is given twice."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Parse JSON text as ``json.loads``, which would keep the last of two values in silence.

    Raises:
        ValueError: if the text is no JSON, or an object has a key twice.
    """
    return json.loads(text, object_pairs_hook=_each_key_once)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there more than once in one object")
    return values
