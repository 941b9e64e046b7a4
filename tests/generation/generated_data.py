"""Hashes of small datasets of every kind; prints them as JSON when run as a script."""

import json
import sys
import tempfile
from pathlib import Path

from qmend.generation.generate import generate
from qmend.workflows.compose import compose

_CONF = Path(__file__).parents[2] / "conf" / "dataset"
#: What may be chosen for simulated data, one after the other in place of the default.
CHOICES = {
    "pauli": [],
    **{
        f"family {path.stem}": [f"dataset/family={path.stem}"]
        for path in sorted((_CONF / "family").glob("*.yaml"))
        if path.stem != "pauli"
    },
    **{
        f"noise {path.stem}": [f"dataset/noise={path.stem}"]
        for path in sorted((_CONF / "noise").glob("*.yaml"))
        if path.stem != "aer"
    },
    "compiler direct": ["dataset.compiler.name=direct"],
    "compiler qiskit, level 0": ["dataset.compiler.optimization_level=0"],
    "simulator aer": ["dataset.simulator=aer"],
    "twirling": ["dataset/noise=surrogate_hardware", "dataset.twirling.randomizations=3"],
    "calibrations drift": ["dataset/calibrations=drift"],
    "calibrations randomized": ["dataset/calibrations=randomized"],
    "measured qubits": ["dataset.measured_qubits=[1,4]"],
    "worlds": [
        "dataset/noise=worlds",
        "dataset/calibrations=worlds",
        "dataset.calibrations.devices=3",
        "dataset.qubits=[3,5]",
        "dataset.shots=[100,900]",
    ],
    "gates ecr": ["device=sherbrooke", "dataset/family=random"],
    "gates cz": ["device=torino", "dataset/family=random"],
}
_SMALL = ["dataset=tiny", "dataset.circuits=30", "dataset.job_size=10", "dataset.shots=500"]


def hashes() -> dict[str, str]:
    """Content hash of each dataset."""
    out = {}
    with tempfile.TemporaryDirectory() as root:
        for name, choice in CHOICES.items():
            config = compose("generate", [*_SMALL, *choice])
            folder = Path(root) / name
            out[name] = generate(config.dataset, config.device, folder).manifest.dataset_sha
    return out


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hashes()))
