"""Names of searches, which tell searches of one architecture on one dataset apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlflow.entities import Run as MlflowRun

from qmend.config.nested import flatten
from qmend.config.spellings import current_params
from qmend.runs.scoring import Context
from qmend.tracking.finding import name_of
from qmend.tuning.search import SearchPlan, stem_of

#: Differences in a name, and in a sentence.
_SHOWN = 3
_LONGEST_VALUE = 24
#: MLflow's params are cut there.
_MAX_PARAM = 500


@dataclass(frozen=True)
class NewSearch:
    """The name of a search that begins.

    Attributes:
        sentence: how it differs from the nearest earlier one; empty where there is none.
    """

    name: str
    sentence: str


def name_search(context: Context, plan: SearchPlan, free: Callable[[str], bool]) -> NewSearch:
    """Name a new search by how it differs from the first of its architecture and dataset.

    Args:
        free: tells whether a name's directory is free.
    """
    stem, here = stem_of(plan, context), _logged(context, plan)
    tagged = context.store.runs("tags.kind = 'tune'")
    earlier = [run for run in reversed(tagged) if f"{name_of(run)} ".startswith(f"{stem} ")]
    differences = [_differences(run, here) for run in earlier]
    name = stem
    if differences and differences[0]:
        name = f"{stem} {_short(differences[0])}"
    base, number, taken = name, 1, {name_of(run) for run in earlier}
    while name in taken or not free(name):
        number += 1
        name = f"{base} {number}"
    if not earlier:
        return NewSearch(name, "")
    nearest = min(range(len(earlier)), key=lambda k: (len(differences[k]), -k))
    run, listed = earlier[nearest], differences[nearest]
    parts = [f"{key} is {there} there and {now} here" for key, (there, now) in listed.items()]
    more = f", and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    why = f"{', '.join(parts[:_SHOWN])}{more}" if parts else "it began on other data"
    return NewSearch(
        name, f"Not the search of run {run.info.run_id[:12]}: {why}. A new one begins, {name!r}."
    )


def _logged(context: Context, plan: SearchPlan) -> dict[str, str]:
    """Return what a search logs of its config and data."""
    params = {key: str(value)[:_MAX_PARAM] for key, value in flatten(plan.identity).items()}
    return {**params, "dataset hash": context.dataset.manifest.dataset_sha}


def _differences(run: MlflowRun, here: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Map each key whose value differs to its value there and here."""
    there = current_params(run.data.params)
    there["dataset hash"] = run.data.tags.get("dataset_sha", "?")
    keys = [key for key in here if there.get(key) != here[key]]
    # A key that only the earlier one has may be of no search: a config has grown since.
    keys += [
        key
        for key in there
        if key.startswith("tune.space.") and not any(f"{key}.".startswith(f"{k}.") for k in here)
    ]
    return {key: (there.get(key, "absent"), here.get(key, "absent")) for key in keys}


def _short(differences: Mapping[str, tuple[str, str]]) -> str:
    """Write the values of a search that differ, in few words."""
    parts = []
    for key, (_, value) in differences.items():
        words = key.split(".")
        name = ".".join(words[-2:] if key.startswith("tune.space.") else words[-1:])
        value = re.sub(r"[^A-Za-z0-9.+-]+", ",", value).strip(",")
        parts.append(f"{name.replace(' ', '_')}={value[:_LONGEST_VALUE]}")
    more = [f"+{len(parts) - _SHOWN}"] if len(parts) > _SHOWN else []
    return " ".join([*parts[:_SHOWN], *more])
