"""Bad input and faults: one clear sentence that names the thing and the way out."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commandline import Command, tracked

from qmend.circuits.instructions import InstructionTable
from qmend.datasets.circuits import CircuitBatch, check_distributions
from qmend.devices.calibration import Calibration
from qmend.types import QmendError

SHARD = "circuits-00001.parquet"


# The words of a command.


def test_an_unknown_command(shell: Command) -> None:
    shell("trian").refused("'trian'", "Did you mean 'train'?")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["data"], ["data generate", "data verify"]),
        (["data", "generat"], ["'data generat'", "Did you mean 'data generate'?"]),
        (["data", "verfy"], ["'data verfy'", "Did you mean 'data verify'?"]),
        (["--verison"], ["--verison"]),
        (["doctor", "now"], ["doctor", "no arguments", "'now'"]),
        (["train", "--multirn"], ["--multirn"]),
        (["train", "--config-dir", "nowhere"], ["nowhere"]),
    ],
)
def test_wrong_words(here: Command, arguments: list[str], parts: list[str]) -> None:
    here(*arguments).refused(*parts)


# Configs; their sentences are tested beside the configs, here is the command around them.


def test_an_unknown_key(shell: Command, tmp_path: Path) -> None:
    shell("train", "+model.widht=3").refused("model.widht", "width'?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "model.widht=3"], ["model.widht", "Did you mean 'model.width'?"]),
        (["train", "model.width=wide"], ["model.width", "integer", "'wide'"]),
        (["train", "model.width=-8"], ["model.width", "-8"]),
        (["train", "model=perciever"], ["perciever", "Did you mean 'perceiver'?"]),
        (["demo", "experiment=demo_tinny"], ["demo_tinny", "Did you mean 'demo_tiny'?"]),
        (["demo", "trainings.perceiver.trainer.max_epochs=0"], ["max_epochs", "0"]),
        (["demo", "dataset.measured_qubits=[1,4]"], ["dataset.measured_qubits=null"]),
        (["data", "verify", "sample=0"], ["sample", "0"]),
        (["data", "generate", "dataset.circuits=7"], ["circuits (7)", "job_size (50)"]),
        (["data", "generate", "dataset.family.name=pualid"], ["'pualid'", "pauli"]),
        (["data", "generate", "data.workers=0"], ["data.workers", "0"]),
        (["evaluate", "dataset=tiny"], ["needs a value"]),
    ],
)
def test_a_bad_config_ends_before_any_work(
    here: Command, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    result = here(*arguments)
    result.refused(*parts)
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


# Devices and layouts.


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("device.layout=[0,1,2,3,26]", ["device.layout", "not connected", "[26]", "neighbouring"]),
        ("device.layout=[0,1,2,1,3]", ["device.layout", "twice"]),
        ("device.layout=[0,1,2,3,99]", ["no qubit 99", "0..26"]),
        ("device.layout=[-1,0,1,2,3]", ["-1"]),
        ("device.layout=[0,1,2,3]", ["dataset.family.n_qubits", "device.layout", "5", "4"]),
        ("device.layout=[]", ["device.layout"]),
        ("device.backend=FakeAlgirs", ["'FakeAlgirs'", "Did you mean 'FakeAlgiers'?"]),
        ("device.provider=real", ["device.provider", "'real'", "fake"]),
    ],
)
def test_a_device_that_does_not_fit(
    here: Command, tmp_path: Path, override: str, parts: list[str]
) -> None:
    here("data", "generate", "dataset=tiny", override).refused(*parts)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("command", ["train", "demo"])
def test_other_commands_refuse_it_too(here: Command, tmp_path: Path, command: str) -> None:
    here(command, "dataset=tiny", "device.layout=[0,1,2,3,26]").refused("not connected", "[26]")
    assert not list(tmp_path.rglob("*.parquet"))


# Datasets that are damaged, and their repair.


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("command", [("data", "verify"), ("data", "generate"), ("train",)])
@pytest.mark.parametrize("damage", [_flip, _truncate, Path.unlink])
def test_a_damaged_shard_is_refused_by_name(
    here: Command, data: Path, command: tuple[str, ...], damage: Callable[[Path], None]
) -> None:
    damage(data / SHARD)
    state = "is missing" if damage is Path.unlink else "does not match its hash"
    here(*command, "dataset=tiny").refused(SHARD, state, "data.replace=true")


def test_the_way_out_repairs_just_that_shard(made: Path, here: Command, data: Path) -> None:
    _flip(data / SHARD)
    result = here("data", "generate", "dataset=tiny", "data.replace=true", "data.workers=1")
    assert "made 100 circuits" in result.succeeded().out
    for path in made.iterdir():
        assert (data / path.name).read_bytes() == path.read_bytes()


def test_a_damaged_calibrations_file(here: Command, data: Path) -> None:
    _flip(data / "calibrations.parquet")
    here("data", "verify", "dataset=tiny").refused("calibrations.parquet", "data.replace=true")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{", ["manifest.json", "damaged", "qmend data generate"]),
        ("[]", ["manifest.json", "damaged", "qmend data generate"]),
        ('{"schema_version": 3}', ["manifest.json", "damaged", "qmend data generate"]),
        ('{"schema_version": 99}', ["manifest.json", "schema version 99", "data.replace=true"]),
    ],
)
def test_a_damaged_manifest(here: Command, data: Path, text: str, parts: list[str]) -> None:
    (data / "manifest.json").write_text(text)
    here("data", "verify", "dataset=tiny").refused(*parts)


def test_no_dataset(here: Command) -> None:
    here("data", "verify", "dataset=tiny").refused("tiny_algiers", "qmend data generate")


@pytest.mark.parametrize("command", [("data", "generate"), ("train",), ("demo",)])
def test_a_dataset_of_another_config(here: Command, data: Path, command: tuple[str, ...]) -> None:
    before = {p.name: p.read_bytes() for p in data.iterdir()}
    here(*command, "dataset=tiny", "dataset.shots=77").refused(
        "tiny_algiers", "shots is 2000 there and 77 here", "dataset.name", "data.replace=true"
    )
    assert {p.name: p.read_bytes() for p in data.iterdir()} == before


def test_a_dataset_that_another_process_writes(here: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / ".tiny_algiers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        here("data", "generate", "dataset=tiny").refused("tiny_algiers", "wait")


# Disk and store.


def test_a_data_root_that_can_not_be_written(here: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    here("data", "generate", "dataset=tiny", "data.root=file/x").refused("file/x", "data.root")


@pytest.mark.parametrize("command", [("train",), ("demo",)])
def test_a_store_that_can_not_be_written(
    here: Command, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    here(*command, "dataset=tiny", "tracking.root=file/x").refused("file/x", "tracking.root")
    assert not (tmp_path / "data").exists()


def test_a_locked_store(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        here("train", "dataset=tiny").refused("mlflow.db", "locked", "tracking.root")
    assert not (tmp_path / "data").exists()


def test_a_store_that_is_no_database(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_text("no database " * 100)
    here("train", "dataset=tiny").refused("mlflow.db", "not a database", "tracking.root")


def test_a_report_that_can_not_be_written(here: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = here("demo", "experiment=demo_tiny", "output=file/demo.html")
    result.refused("file", "output")
    assert not (tmp_path / "data").exists()


def test_no_room_for_a_shard(shell: Command, tmp_path: Path) -> None:
    result = shell("data", "generate", "dataset=tiny", "data.workers=1", limit=20_000)
    result.refused("circuits-00000.parquet", "free some space", "same command again")
    left = [p.name for p in (tmp_path / "data" / "tiny_algiers").iterdir()]
    assert left == []


def test_no_room_for_a_model(shell: Command, data: Path, tmp_path: Path) -> None:
    wide = ("model=blind_mlp", "model.width=1024", "trainer.max_epochs=1")
    result = shell("train", "dataset=tiny", *wide, limit=3_000_000)
    assert result.code != 0
    (line,) = result.err.splitlines()
    assert line.startswith("qmend: ")
    assert "unexpected" not in line
    assert "space" in line
    (run,) = tracked(tmp_path, result).runs
    assert run.info.status == "FAILED"
    assert "large" in run.data.tags["error"]


# Through Python.


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ([1.2, -0.2, 0.0, 0.0], "circuit 1 is negative at outcome 1"),
        ([0.5, 0.5, np.nan, 0.0], "circuit 1 is not finite at outcome 2"),
        ([0.5, 0.5, 0.0, np.inf], "circuit 1 is not finite at outcome 3"),
        ([0.5, 0.4, 0.0, 0.0], "circuit 1 sums to 0.9"),
        ([2000.0, 0.0, 0.0, 0.0], "divide counts by their shots"),
    ],
)
def test_what_is_no_distribution(row: list[float], what: str) -> None:
    good = np.full((3, 4), 0.25)
    check_distributions(good, "noisy")
    bad = good.copy()
    bad[1] = row
    with pytest.raises(QmendError, match=what):
        check_distributions(bad, "noisy")
    batch(good)
    with pytest.raises(QmendError, match=what):
        batch(bad)


def batch(noisy: np.ndarray, layout: tuple[int, ...] = (0, 1)) -> CircuitBatch:
    """Three circuits on two qubits."""
    table = InstructionTable.from_circuits(2, [[("x", 0, -1, 0.0)]] * 3)
    snapshot = Calibration.parse(calibration(), "test")
    zeros = np.zeros(3, dtype=np.int64)
    measured = np.tile(np.arange(2), (3, 1))
    return CircuitBatch(table, noisy, zeros + 100, (layout,), (snapshot,), zeros, measured)


@pytest.mark.parametrize("shape", [(3, 8), (3, 2), (2, 4), (4, 4)])
def test_distributions_of_the_wrong_length(shape: tuple[int, int]) -> None:
    with pytest.raises(QmendError, match=r"need \(3, 4\); check the length of the bitstrings"):
        batch(np.full(shape, 1 / shape[1]))


def test_a_layout_of_the_wrong_length() -> None:
    with pytest.raises(QmendError, match=r"layout \[0, 1, 2\] names 3 qubits, .* have 2"):
        batch(np.full((3, 4), 0.25), layout=(0, 1, 2))


def test_a_gate_outside_the_native_set() -> None:
    with pytest.raises(QmendError, match=r"'ccx' is outside the native set; compile .* 'cx'"):
        InstructionTable.from_circuits(3, [[("x", 0, -1, 0.0)], [("ccx", 0, 1, 0.0)]])


@pytest.mark.parametrize(
    ("instruction", "what"),
    [
        (("x", 2, -1, 0.0), r"\(x\) acts on chain positions \(2, -1\)"),
        (("cx", 0, 5, 0.0), r"\(cx\) acts on chain positions \(0, 5\)"),
        (("cx", 1, 1, 0.0), "two different chain positions"),
        (("cx", 1, -1, 0.0), "two different chain positions"),
        (("x", 0, 1, 0.0), "a one-qubit gate just one"),
    ],
)
def test_a_gate_on_qubits_that_do_not_fit(
    instruction: tuple[str, int, int, float], what: str
) -> None:
    with pytest.raises(QmendError, match=what):
        InstructionTable.from_circuits(2, [[instruction]])


def calibration() -> dict[str, object]:
    """The smallest snapshot."""
    qubits = [{"qubit": k, "t1_us": 100.0, "t2_us": 250.0, "readout_error": 0.01} for k in (0, 1)]
    gates = [{"gate": "cx", "qubits": [0, 1], "error": 0.008, "length_ns": 300.0}]
    time = "2024-02-28T13:32:00+00:00"
    return {"device": "ibm_test", "time": time, "qubits": qubits, "gates": gates}


def test_a_good_calibration_is_read_with_t2_beyond_twice_t1(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(calibration()))
    snapshot = Calibration.read(path)
    assert snapshot.qubit(1).t2_us == 250.0
    assert snapshot.gate("cx", (0, 1)).error == 0.008


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("gates", "error", -0.1),
        ("gates", "error", float("nan")),
        ("gates", "error", 1.5),
        ("gates", "length_ns", -1.0),
        ("qubits", "readout_error", -0.1),
        ("qubits", "readout_error", float("nan")),
        ("qubits", "t1_us", 0.0),
        ("qubits", "t2_us", float("inf")),
        ("qubits", "frequency", 4.9),
    ],
)
def test_a_calibration_with_a_bad_value(
    tmp_path: Path, place: str, field: str, value: float
) -> None:
    data = calibration()
    data[place][0][field] = value  # type: ignore[index]
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(data))  # writes NaN as NaN
    with pytest.raises(QmendError, match=rf"snapshot\.json: {place}\.0\.{field} .*correct"):
        Calibration.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"device": "x"}'])
def test_what_is_no_calibration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    with pytest.raises(QmendError, match=r"snapshot\.json"):
        Calibration.read(path)


def test_a_calibration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(QmendError, match=r"none\.json does not exist; check the path"):
        Calibration.read(tmp_path / "none.json")


def test_a_calibration_without_a_time_zone(tmp_path: Path) -> None:
    with pytest.raises(QmendError, match="time zone"):
        Calibration.parse({**calibration(), "time": "2024-02-28T13:32:00"}, "test")


def test_a_calibration_that_lacks_a_value() -> None:
    snapshot = Calibration.parse(calibration(), "test")
    with pytest.raises(QmendError, match=r"ibm_test .*lacks frequency_ghz of qubit 1; add"):
        snapshot.value(snapshot.qubit(1), "frequency_ghz")
    with pytest.raises(QmendError, match=r"no gate 'ecr' on qubits \[0, 1\]"):
        snapshot.gate("ecr", (0, 1))
