"""`qmend data import`, and a model scored on imported measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Command, Tracked, tracked

from imported_dataset import import_records, measured_records
from qmend.datasets.manifest import read_manifest
from qmend.datasets.table import load_dataset
from qmend.tracking.store import open_store

DATA = Path(__file__).parents[2] / "data"
BELL = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];
    x q[0]; ry(0.3) q[1]; cx q[0],q[1]; measure q -> c;"""


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Three runs of one circuit that looks the same in either bit order."""
    path = tmp_path / "given.jsonl"
    lines = [
        {
            "id": f"r{k}",
            "qasm": BELL,
            "circuit_stage": "submitted",
            "device": "lab",
            "counts": {"11": 950 + k, "10": 30, "01": 20},
        }
        for k in range(3)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_an_import_and_its_proof(here: Command, given: Path, tmp_path: Path) -> None:
    result = here("data", "import", "given.jsonl", "--name", "lab").succeeded()
    assert "3 rows, labels proven" in result.out
    assert "Bit order: 0 of 3 records can tell" in result.out
    assert (tmp_path / "data" / "lab" / "manifest.json").exists()
    again = here("data", "import", str(given), "--name", "lab").succeeded()
    assert "unchanged" in again.out
    proof = here("data", "verify", "dataset=hardware_public", "dataset.name=lab").succeeded()
    assert "3 labels proven" in proof.out


def test_a_wrong_bit_order_is_told_and_can_be_put_right(
    here: Command, given: Path, tmp_path: Path
) -> None:
    """X on the first qubit alone, written from left to right."""
    only = BELL.replace("cx q[0],q[1];", "").replace("ry(0.3) q[1];", "")
    lines = [json.loads(line) for line in given.read_text().splitlines()]
    for line in lines:
        line.update(qasm=only, counts={"10": 960, "00": 40})
    given.write_text("\n".join(json.dumps(line) for line in lines))
    told = here("data", "import", "given.jsonl", "--name", "lab").succeeded()
    assert "--bit-order reversed --replace" in " ".join(told.out.split())
    options = ("--name", "lab", "--bit-order", "reversed", "--replace")
    right = here("data", "import", "given.jsonl", *options).succeeded()
    assert "Warning" not in right.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("required: FILE, --name",)),
        (("given.jsonl",), ("required: --name",)),
        (("none.jsonl", "--name", "x"), ("none.jsonl", "check the path")),
        (("given.jsonl", "--name", "../x"), ("--name ../x",)),
        (("given.jsonl", "--name", "x", "--seed", "one"), ("--seed",)),
        (("given.jsonl", "--name", "x", "--bit-order", "left"), ("--bit-order left",)),
        (("given.jsonl", "--name", "x", "--bit-order", "2,1,0"), ("record r0", "3 bits")),
        (("given.jsonl", "--name", "x", "--fast"), ("'--fast'",)),
    ],
)
def test_bad_arguments(
    here: Command, given: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    here("data", "import", *arguments).refused(*parts)
    assert not (given.parent / "data").exists()


def test_a_network_is_fine_tuned_on_imported_measurements(
    demo: Tracked, data: Path, here: Command, tmp_path: Path
) -> None:
    records = measured_records(load_dataset(data))[:60]
    import_records(records, tmp_path / "data" / "mine")
    mine = ("dataset=hardware_public", "dataset.name=mine")
    quick = ("trainer=tiny", "trainer.threads=1", "trainer.max_epochs=1")
    start = f"checkpoint={model(demo, 'physics_perceiver')}"
    few = ("train_circuits=20",)
    here("train", *mine, *quick, start, *few).refused("has 20 different circuits", "force=true")
    here("train", *mine, *quick, start, "online=dataset").refused("leave out online")
    here("train", *mine, *quick).refused("too few to train", "checkpoint=RUN_ID")
    result = here("train", *mine, *quick, start).succeeded()
    (run,) = tracked(tmp_path, result).runs
    (parent,) = [r for r in demo.runs if r.info.run_name == "physics_perceiver"]
    count = sum(load_dataset(tmp_path / "data" / "mine").split == "train")
    assert f"{count} measured and {3 * count} simulated" in " ".join(result.out.split())
    assert run.data.tags["replayed"] == read_manifest(data).recipe_sha
    assert run.data.tags["checkpoint_run"] == parent.info.run_id
    assert run.data.params["fine_tune.replay"] == "3"
    rates = [float(r.data.params["optimizer.lr"]) for r in (run, parent)]
    assert rates[0] == pytest.approx(rates[1] / 10)

    tuned = f"checkpoint={run.info.run_id}"
    here("evaluate", *mine, tuned, "scored_split=all").refused("scored_split=test")
    here("evaluate", *mine, tuned, "baselines=[none]").succeeded()
    again = here("runs", "reproduce", run.info.run_id).succeeded()
    assert "The metrics agree" in again.out


def test_imported_data_are_not_generated(here: Command) -> None:
    for command in (("data", "generate"), ("train",), ("demo",)):
        here(*command, "dataset=hardware_public").refused("hardware_public", "imported")


def model(demo: Tracked, name: str) -> Path:
    (run,) = [r for r in demo.runs if r.info.run_name == name]
    return demo.artifacts(run, "model")


def test_a_model_of_one_size_is_scored_on_the_rows_that_it_can_take(
    demo: Tracked, here: Command, tmp_path: Path
) -> None:
    name = "physics_perceiver"
    result = here(
        "evaluate",
        f"checkpoint={model(demo, name)}",
        "dataset=hardware_public",
        f"data.root={DATA}",
        "scored_split=all",
    ).succeeded()
    said = " ".join(result.out.split())
    assert "18 circuits" in said
    assert "Skipped 1,277 rows: of another size, or not all qubits measured" in said
    assert "of 18 of 18 rows are not known: means of the model's training data" in said
    assert "fitted to the 18 measured circuits of the train split" in said
    assert "trained on other data" in said
    assert "shot-noise reference" not in said
    runs = tracked(tmp_path, result)
    (scored,) = [r for r in runs.runs if r.data.tags.get("architecture") == name]
    assert scored.info.status == "FINISHED"
    assert 0 < scored.data.metrics["all/tv"] < 1
    assert scored.data.tags["source"] == "hardware"
    assert len(runs.kind("baseline")) == 5


def test_a_model_of_another_size_is_refused(demo: Tracked, here: Command, given: Path) -> None:
    here("data", "import", "given.jsonl", "--name", "lab").succeeded()
    lab = ("dataset=hardware_public", "dataset.name=lab", "scored_split=all")
    network = model(demo, "blind_mlp")
    here("evaluate", f"checkpoint={network}", *lab).refused(
        "blind_mlp was trained on 5 qubits", "data/lab are on 2", "model=walsh_operator"
    )
    here("train", f"checkpoint={network}", *lab[:2]).refused("blind_mlp was trained on 5 qubits")


def test_baselines_that_lack_a_calibration_are_missing_or_refused(
    here: Command, given: Path, tmp_path: Path
) -> None:
    here("data", "import", "given.jsonl", "--name", "lab").succeeded()
    alone = ("evaluate", "checkpoint=[]", "dataset=hardware_public", "dataset.name=lab")
    lab = (*alone, "scored_split=all")
    here(*lab, "baselines=[readout_inversion]").refused(
        "There is nothing to score", "data/lab lack", "qmend study hardware", "checkpoint=RUN_ID"
    )
    assert not open_store(tmp_path / "mlruns").runs()
    scored = here(*lab, "baselines=[none,hammer_like,readout_inversion,qbeep_like]").succeeded()
    said = " ".join(scored.out.split())
    assert "readout_inversion, qbeep_like are missing: calibrations of data/lab lack" in said
    kinds = {
        run.data.tags.get("architecture") for run in tracked(tmp_path, scored).kind("baseline")
    }
    assert kinds == {"none", "hammer_like"}


def test_a_model_that_has_no_place_for_the_gates(demo: Tracked, here: Command) -> None:
    here(
        "evaluate",
        f"checkpoint={model(demo, 'perceiver')}",
        "dataset=hardware_public",
        f"data.root={DATA}",
        "scored_split=all",
    ).refused("paper encoding", "encoding=token")


def test_a_split_without_rows_of_the_size(demo: Tracked, here: Command) -> None:
    here(
        "evaluate",
        f"checkpoint={model(demo, 'blind_mlp')}",
        "dataset=hardware_public",
        f"data.root={DATA}",
        "scored_split=val",
    ).refused("val split")


def test_circuits_that_the_model_has_seen_are_not_scored(demo: Tracked, here: Command) -> None:
    here(
        "evaluate",
        f"checkpoint={model(demo, 'blind_mlp')}",
        "dataset=tiny",
        "scored_split=all",
        folder=demo.folder,
    ).refused("scored_split=all", "trained on", "scored_split=test")
