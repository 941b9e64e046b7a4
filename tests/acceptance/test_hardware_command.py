"""``qmend study hardware``, on a few circuits whose noise is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commandline import Command
from qiskit import qasm2
from qiskit.quantum_info import Statevector

from example_models import example_config
from qmend.datasets.table import Dataset
from qmend.importing.importer import import_file
from qmend.importing.rows import ImportOptions
from qmend.tracking.store import open_store
from qmend.training.checkpoint import save_checkpoint
from qmend.training.config import TrainingConfig
from qmend.training.data import encode
from qmend.training.train import train

STUDY = ("study", "hardware", "dataset.name=made", "replicates=20")
#: Loss of signal of all gates together, whatever the circuit.
LOSS = {"slow": 0.5, "quick": 0.1}
#: ... of ``quick`` on the device ``worn``.
WORN = 2.0
SHOTS = 10**7


def program(family: str, k: int) -> str:
    """Two CX more for each k; ``slow`` measures two of its three qubits."""
    angles = f"ry({0.4 + 0.2 * k}) q[0]; ry(0.9) q[1];"
    gates = "cx q[0],q[1]; rz(0.3) q[1]; " * (2 * k + 1)
    if family == "slow":
        measured = "measure q[0] -> c[0]; measure q[2] -> c[1];"
        body = f"{angles} {gates} cx q[1],q[2]; {measured}"
        return f'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[2]; {body}'
    body = f"{angles} {gates} measure q -> c;"
    if k == 3:
        body = "x q[0]; cx q[0],q[1]; measure q -> c;"  # a point mass
    return f'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; {body}'


def records() -> list[dict[str, object]]:
    """Each of four circuits of two families on two devices, twice."""
    made = []
    devices = {"slow": ("old", "worn"), "quick": ("new", "worn")}
    for family, places in devices.items():
        for k in range(4):
            qasm = program(family, k)
            circuit = qasm2.loads(qasm)
            circuit.remove_final_measurements()
            ideal = Statevector(circuit).probabilities([0, 2] if family == "slow" else [0, 1])
            for device in places:
                loss = WORN if (family, device) == ("quick", "worn") else LOSS[family]
                kept = np.exp(-loss)
                noisy = np.round(SHOTS * (kept * ideal + (1 - kept) / len(ideal))).astype(int)
                made += [
                    {
                        "id": f"{family}-{k}-{device}-{repeat}",
                        "qasm": qasm,
                        "circuit_stage": "submitted",
                        "device": device,
                        "family": family,
                        "job_id": f"{device}-{repeat}",
                        "counts": {f"{x:02b}": int(n) for x, n in enumerate(noisy) if n},
                    }
                    for repeat in range(2)
                ]
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the imported measurements."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "given.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records()))
    import_file(folder / "given.jsonl", folder / "data" / "made", ImportOptions("made"))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes any number of qubits, after one epoch."""
    config = TrainingConfig(
        model=example_config("walsh_operator"),
        loss={"name": "l1"},
        optimizer={"lr": 3e-3},
        trainer={"max_epochs": 1, "threads": 1},
    )
    folder = tmp_path_factory.mktemp("network")
    save_checkpoint(folder, train(config, encode(config, tiny)).model, {})
    return folder


def uncorrected(loss: float, fitted: float) -> float:
    """L1RC of an inversion by another loss, where no probability falls below zero."""
    kept = np.exp(-loss)
    return float(abs(kept / np.exp(-fitted) - 1) / (1 - kept) - 1)


def test_each_family_and_device_is_judged_by_fits_to_others(here: Command, folder: Path) -> None:
    names = "baselines=[none,depolarizing_inversion]"
    out = here(*STUDY, names, folder=folder).succeeded().out
    figures = json.loads(out.splitlines()[-1])
    none, inversion = figures["none"], figures["depolarizing_inversion"]
    assert none["all"] == none["families"]["slow"] == [0, 0, 0]
    assert none["applied_pct"] == inversion["applied_pct"] == [100, 100, 100]
    assert none["left_out"] is None
    assert none["own_slope"] is None  # four circuits of a size
    # On ``old``, fitted to ``quick`` on ``new`` and ``worn``; on ``worn``, to ``quick`` on ``new``.
    # The fit to two losses follows the one that costs less.
    cells = json.loads((folder / "reports" / "hardware" / "cells.json").read_text())
    assert len(cells) == 16
    assert [cell["spread"] for cell in cells].count(False) == 2
    by_place = {
        (family, device): [
            cell["l1rc"]["depolarizing_inversion"]
            for cell in cells
            if (cell["family"], cell["device"]) == (family, device) and cell["spread"]
        ]
        for family, device in (("slow", "worn"), ("quick", "worn"), ("quick", "new"))
    }
    expected = uncorrected(LOSS["slow"], LOSS["quick"])
    np.testing.assert_allclose(by_place["slow", "worn"], expected, atol=0.01)
    expected = uncorrected(WORN, LOSS["slow"])
    np.testing.assert_allclose(by_place["quick", "worn"], expected, atol=0.01)
    assert min(by_place["quick", "new"]) > 1  # undoes five times what was lost
    assert inversion["left_out"][0] <= inversion["all"][0] <= inversion["left_out"][1]
    store = open_store(folder / "mlruns")
    (run,) = store.runs("tags.kind = 'study'", limit=1)
    logged = run.data.metrics["test/depolarizing_inversion/all"]
    assert logged == pytest.approx(inversion["all"][0], abs=1e-4)
    files = {file.path for file in store.client.list_artifacts(run.info.run_id, "tables")}
    assert files >= {"tables/table.md", "tables/figures.json", "tables/cells.json"}


def test_a_network_stands_beside_itself_without_the_circuit(
    here: Command, folder: Path, checkpoint: Path
) -> None:
    words = (f"checkpoint={checkpoint}", "baselines=[]")
    out = here(*STUDY, *words, folder=folder).succeeded().out
    figures = json.loads(out.splitlines()[-1])
    network, random = figures["walsh_operator"], figures["walsh_operator, other circuits"]
    assert network["applied_pct"][0] == random["applied_pct"][0] == 100
    of_network, of_random = network["families"], random["families"]
    for family in ("slow", "quick"):  # one measures all of its qubits, the other some
        assert of_network[family] != of_random[family] != [0, 0, 0]
    assert "are not taken" not in out
    assert "other circuits: 32 rows have features of their own family" in out


def test_bad_input_is_refused_before_any_work(here: Command, folder: Path) -> None:
    here(*STUDY, "baselines=[zne_linear]", folder=folder).refused("needs further circuits")
    here(*STUDY, "+missing.t1=3", folder=folder).refused("'t1'", "t1_us")
    here(*STUDY, "max_bits=1", folder=folder).refused("at most 1 measured bits")
    here(*STUDY, "dataset.name=none", folder=folder).refused("none")
