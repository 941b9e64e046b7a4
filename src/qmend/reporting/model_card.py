"""The card of an exported network: README.md beside its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qmend.metrics import Interval, interval_text
from qmend.mitigation.guard import Guard
from qmend.models.trained import TrainedModel

#: Figures of the test split: key of the provenance's metrics -> name and digits.
_FIGURES = {
    "test/l1rc_median": ("median L1RC", 3),
    "test/improved_pct": ("improved %", 1),
    "test/harmed_pct": ("harmed % (L1RC > 0.05)", 1),
}


def model_card(
    model: TrainedModel, provenance: Mapping[str, Any], guard: Guard | None, kilobytes: float
) -> str:
    """Write a network's card in Markdown: what it is, how it was trained, how well it does.

    Args:
        provenance: of its checkpoint.
        kilobytes: of its weights.
    """
    metrics = provenance.get("metrics", {})
    figures = {name: Interval.read(metrics, name) for name in _FIGURES}
    rows = [
        f"| {title} | {interval_text(figure, digits)} |"
        for (name, (title, digits)) in _FIGURES.items()
        if (figure := figures[name]) is not None
    ]
    optimizer, fresh = provenance.get("optimizer", {}), provenance.get("fresh", {})
    seen = f", {fresh['circuits']:,} circuits simulated meanwhile" if fresh else ""
    lines = [
        f"# {model.config.name}",
        "",
        "A network of qmend that undoes hardware noise in the measured output distribution of a "
        "quantum circuit.",
        "",
        f"- Network: {model.parameters:,} parameters, encoding {model.encoding.name}, "
        f"{kilobytes:,.0f} kB (`model.safetensors`; `model.json` has config, encoding and "
        "provenance).",
        f"- Training: run {provenance.get('run_id', 'unknown')}, dataset "
        f"{provenance.get('dataset', 'unknown')} (hash {provenance.get('dataset_sha', 'unknown')})"
        f"{seen}; loss {provenance.get('loss', 'unknown')}, {optimizer.get('name', 'optimizer')} "
        f"at {optimizer.get('lr', 'unknown')}, seed {provenance.get('seed', 'unknown')}. The "
        "recipe of the data stands in `model.json`.",
        f"- Guard: {'none.' if guard is None else guard.sentence + ' (`guard.json`)'}",
        "- Licence: Apache-2.0, as the package.",
        "",
    ]
    if rows:
        lines += ["| on the test split of that dataset | [95 %] |", "|---|---|", *rows, ""]
    return "\n".join(lines)
