"""Write a dataset's card: ``README.md`` for people, ``croissant.json`` for machines.

Both follow from the manifest and the files it names, so equal data have equal cards. They are
not part of the dataset's hash: a missing or edited card is no damage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from qmend.config.spellings import current_form
from qmend.datasets.config import recipe_noise
from qmend.datasets.croissant import croissant
from qmend.datasets.description import Description, describe
from qmend.datasets.manifest import Manifest
from qmend.datasets.schema import MAX_DENSE_QUBITS, SCHEMA
from qmend.files import write_text
from qmend.noise.config import OTHER_NOISE

CARD = "README.md"
CROISSANT = "croissant.json"

#: Column -> meaning.
COLUMNS = {
    "circuit_id": "SHA-256 (32 hex digits) of the instructions and the measurement order",
    "family": "family of circuits that it was drawn from",
    "family_params": "what was drawn, as JSON",
    "seed": "seed of the drawing and of the shots; null if unknown",
    "n_qubits": "register size",
    "device": "processor",
    "calibration_id": "snapshot in `calibrations.parquet`; null if unknown",
    "layout": "physical qubit at each chain position",
    "instructions": "native gates in order: gate, chain position of the (first) qubit, of the "
    "second or -1, angle in radians",
    "measured": "chain position behind each classical bit",
    "circuit_stage": "`executed`: as it ran; `submitted`: before an unknown compilation",
    "depth": "as-soon-as-possible layers, RZ included",
    "n_two_qubit": "two-qubit gates",
    "shots": "measurements",
    "outcomes": f"outcomes of a sparse row (more than {MAX_DENSE_QUBITS} bits); null where all "
    "are listed",
    "counts": "measured counts of each outcome",
    "noisy_exact": "noisy distribution without shot noise; null for hardware",
    "ideal": "noiseless distribution of the measured bits",
    "source": "`simulated` or `hardware`",
    "job": "number of the job, from 0: circuits that ran together",
    "job_id": "name of the job",
    "executed_at": "when the job ran, UTC; of a simulated job, its snapshot's time",
    "split": "train, val or test; no job or circuit is in two. reference: for conditioning alone",
}


@dataclass(frozen=True)
class Provenance:
    """Licence, authors and origin of a dataset, which no file of it holds.

    Attributes:
        licence: SPDX identifier.
        licence_url: its text.
        creator: who made the data.
        origin: one paragraph on where they come from; empty for what qmend generates.
    """

    licence: str = "Apache-2.0"
    licence_url: str = "https://spdx.org/licenses/Apache-2.0"
    creator: str = "The qmend authors"
    origin: str = ""


GENERATED = Provenance()


def write_card(folder: Path, manifest: Manifest, provenance: Provenance = GENERATED) -> None:
    """Write both files from a dataset's shards and the manifest that names them.

    Raises:
        QmendError: if a file can't be read, or the disk is full.
    """
    described = describe(folder, manifest)
    machine = croissant(
        described,
        COLUMNS,
        description=_summary(described),
        licence=provenance.licence_url,
        creator=provenance.creator,
        page=CARD,
    )
    texts = {
        CARD: card(described, provenance),
        CROISSANT: json.dumps(machine, indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)


def card(described: Description, provenance: Provenance = GENERATED) -> str:
    """Write the text of the card."""
    manifest = described.manifest
    sections = [
        f"# {manifest.name}",
        _summary(described),
        provenance.origin,
        "## How it was made",
        _list(_making(described)),
        _command(manifest.recipe),
        "## Sizes",
        _list(_sizes(described)),
        "## Files",
        _files(described),
        "## Columns",
        "Distributions and counts are in the source circuit's bit order (bit 0 is the least "
        "significant bit of an outcome), instructions and layout in chain order; `measured` joins "
        "the two.",
        "\n".join(["| column | meaning |", "|---|---|", *_columns()]),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(described)),
        "## Licence and identity",
        _list(
            [
                ("licence", provenance.licence),
                ("creator", provenance.creator),
                (
                    "dataset hash",
                    f"`{manifest.dataset_sha}` (over the hashes of all Parquet files)",
                ),
                ("recipe hash", f"`{manifest.recipe_sha}`"),
                ("made with", ", ".join(f"{k} {v}" for k, v in sorted(manifest.packages.items()))),
            ]
        ),
        f"`qmend data verify` checks the files and the labels of generated data; `{CROISSANT}` "
        "says the same to machines. This page is no part of the hash.",
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def _summary(described: Description) -> str:
    families = _names(described.counts("family"))
    devices = _names(described.counts("device"))
    sizes = _range(described.column("n_qubits"))
    return (
        f"{len(described):,} quantum circuits ({families}; {sizes} qubits) run on {devices} "
        f"({_names(described.counts('source'))}): compiled instructions, measured counts and the "
        "noiseless distribution of each."
    )


def _making(described: Description) -> list[tuple[str, str]]:
    recipe = described.manifest.recipe
    dataset: dict[str, Any] = recipe.get("dataset") or {}
    facts = [("circuits", _names(described.counts("family")))]
    if isinstance(dataset.get("family"), dict):
        facts[0] = ("circuits", _inline(dataset["family"]))
    facts += [
        ("processor", _names(described.counts("device"))),
        ("physical qubits", _layouts(described)),
        ("calibration", calibration_text(described)),
    ]
    for key in ("calibrations", "noise", "compiler", "twirling", "split"):
        if isinstance(dataset.get(key), dict):
            facts.append((key, _inline(dataset[key])))
    if dataset.get("measured_qubits"):
        least, most = dataset["measured_qubits"]
        facts.append(("measured qubits", f"{least} to {most} of each circuit, drawn for each job"))
    for label, key in (("simulator", "executor"), ("seed", "seed")):
        if key in dataset:
            facts.append((label, str(dataset[key])))
    return [*facts, ("shots", f"{_range(described.column('shots'))} a circuit")]


def _command(recipe: dict[str, Any]) -> str:
    """Say how to make the same data again: the recipe as two configs."""
    if not isinstance(recipe.get("dataset"), dict) or not isinstance(recipe.get("device"), dict):
        return ""
    if "collection" in recipe:  # of jobs that really ran
        return ""
    blocks = []
    configs = current_form({group: recipe[group] for group in ("dataset", "device")})
    for group in ("dataset", "device"):
        text = yaml.safe_dump(
            _portable(configs[group]), sort_keys=True, default_flow_style=None, width=90
        )
        blocks.append(f"`again/{group}/recipe.yaml`\n\n```yaml\n{text}```")
    command = "qmend data generate --config-dir again dataset=recipe device=recipe"
    return "\n\n".join(
        ["With these two files, one command makes the same data:", *blocks, f"```\n{command}\n```"]
    )


def _portable(value: Any) -> Any:
    """A recipe without this machine's folders: of an absolute path, the file's name."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value


def _sizes(described: Description) -> list[tuple[str, str]]:
    splits = ", ".join(f"{name} {rows:,}" for name, rows in described.splits.items())
    gates, depth = described.column("n_two_qubit"), described.column("depth")
    return [
        ("circuits", f"{len(described):,} ({splits})"),
        ("jobs", f"{described.jobs:,}"),
        ("qubits", _range(described.column("n_qubits"))),
        (
            "depth",
            f"{_range(depth)}, median {_median(depth)}",
        ),
        ("two-qubit gates", f"{_range(gates)}, median {_median(gates)}"),
        ("bytes", f"{described.size_bytes:,}"),
    ]


def _files(described: Description) -> str:
    lines = ["| file | rows | SHA-256 |", "|---|---|---|"]
    for entry in [*described.manifest.shards, described.manifest.calibrations]:
        lines.append(f"| `{entry.file}` | {entry.rows:,} | `{entry.sha256}` |")
    return "\n".join(lines)


def _columns() -> list[str]:
    return [f"| `{f.name}` ({_type(f.type)}) | {COLUMNS[f.name]} |" for f in SCHEMA]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(f"{part.name} {_type(part.type)}" for part in kind) + ")"
    if pa.types.is_dictionary(kind):
        return _type(kind.value_type)
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)


def _limits(described: Description) -> list[str]:
    limits = []
    sources = described.counts("source")
    if "simulated" in sources:
        noise = recipe_noise(described.manifest.recipe)
        limits.append(noise.description if noise else OTHER_NOISE)
        limits.append(
            "What holds on these data need not hold on the processor whose calibration they use."
        )
    if "hardware" in sources:
        limits.append(
            "Hardware drifts: counts hold for the time at which they were taken. The noiseless "
            "distributions are computed, not measured."
        )
    randomizations = (described.manifest.recipe.get("dataset") or {}).get("twirling")
    if randomizations:
        limits.append(
            "Each circuit was measured in random compilations that share its shots. "
            "`instructions`, `depth` and `n_two_qubit` are those as compiled without random "
            "Paulis; `counts` are the sum over all compilations, `noisy_exact` is their mean, "
            "weighted by shots."
        )
    if "submitted" in described.counts("circuit_stage"):
        limits.append("Some rows hold the circuit as it was submitted: which gates ran is unknown.")
    limits.append(f"{_range(described.column('n_qubits'))} qubits: no evidence on larger circuits.")
    return limits


def calibration_text(described: Description) -> str:
    """Say how many snapshots there are, and of which dates."""
    snapshots = sorted(described.calibrations.values(), key=lambda c: (c.time, c.calibration_id))
    missing = sum(rows for (name, _), rows in described.chains.items() if name is None)
    unknown = f"unknown for {missing:,} circuits" if missing else ""
    if not snapshots:
        return unknown or "none"
    if len(snapshots) == 1:
        one = snapshots[0]
        text = f"snapshot of {one.time:%Y-%m-%d %H:%M} UTC ({one.calibration_id})"
    else:
        first, last = snapshots[0].time, snapshots[-1].time
        span = f"{first:%Y-%m-%d}" if first == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        text = f"{len(snapshots)} snapshots, {span}"
    return f"{text}; {unknown}" if unknown else text


def _layouts(described: Description) -> str:
    layouts = list(dict.fromkeys(layout for _, layout in described.chains))
    shown = ", ".join(str(list(x)) if x else "unknown" for x in layouts[:4])
    return shown + (f" and {len(layouts) - 4} more" if len(layouts) > 4 else "")


def _inline(plain: dict[str, Any]) -> str:
    """Format as ``pauli (n_qubits 5, gadgets exact)``, null values left out."""
    rest = ", ".join(
        f"{k} {v}" for k, v in sorted(_portable(plain).items()) if k != "name" and v is not None
    )
    if "name" not in plain:
        return rest
    return f"{plain['name']} ({rest})" if rest else str(plain["name"])


def _names(counts: dict[object, int]) -> str:
    names = [str(name) for name in counts]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _range(values: np.ndarray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):g}"


def _list(facts: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {label}: {value}" for label, value in facts)
