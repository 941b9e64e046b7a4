"""Directories of datasets: one holds one dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qmend.config.nested import flatten
from qmend.reporting.numbers import listing
from qmend.types import QmendError
from qmend.workflows.data_config import dataset_folder


def check_directories(configs: Sequence[Mapping[str, Any]]) -> None:
    """Check that no two configs make different datasets in one directory.

    Args:
        configs: whole ones, of which the data are looked at.

    Raises:
        QmendError: naming the values that differ, and a ``dataset.name`` that keeps them apart.
    """
    by_folder: dict[Path, list[dict[str, Any]]] = {}
    for config in configs:
        recipe = flatten({name: config[name] for name in ("dataset", "device")})
        recipes = by_folder.setdefault(dataset_folder(config), [])
        if recipe not in recipes:
            recipes.append(recipe)
    for folder, recipes in by_folder.items():
        if len(recipes) > 1:
            raise QmendError(_sentence(folder, recipes))


def _sentence(folder: Path, recipes: Sequence[Mapping[str, Any]]) -> str:
    keys = [k for k in {**recipes[0], **recipes[1]} if len({str(r.get(k)) for r in recipes}) > 1]
    named = listing(keys[:3]) if len(keys) <= 3 else f"{', '.join(keys[:3])} and others"
    base = recipes[0]["dataset.name"]
    reference = _distinguishing(keys, recipes)
    way_out = (
        f"give each a name: 'dataset.name={base}{reference}'"
        if reference
        else ("run them one at a time, each with a dataset.name of its own")
    )
    return f"Cells that differ in {named} would replace each other's data in {folder}; {way_out}."


def _distinguishing(keys: Sequence[str], recipes: Sequence[Mapping[str, Any]]) -> str:
    """Refer to the first values that tell all recipes apart in a name; empty: none do."""
    chosen: list[str] = []
    for key in keys:
        if all(re.fullmatch(r"[A-Za-z0-9_-]+", str(recipe.get(key))) for recipe in recipes):
            chosen.append(key)
        if len({tuple(str(r[k]) for k in chosen) for r in recipes}) == len(recipes):
            return "".join(f"_${{{key}}}" for key in chosen)
    return ""
