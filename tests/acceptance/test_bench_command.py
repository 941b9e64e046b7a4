"""`qmend bench`: a table, and as the last line one JSON object with the promised keys."""

from __future__ import annotations

import json

import pytest

from qmend.benchmarks import shared_cores, startup, training, tuning, worlds
from qmend.cli.main import run

KEYS = {
    "simulator": {
        "bench",
        "ratio",
        "ratio_lo",
        "ratio_hi",
        "ratio_counts",
        "circuits",
        "max_abs_diff",
    },
    "datagen": {"bench", "ratio", "ratio_lo", "ratio_hi", "ratio_qiskit_compiler", "circuits"},
    "data": {
        "bench",
        "ratio_paper",
        "ratio_token",
        "ratio_load",
        "paper_per_second",
        "token_per_second",
        "load_per_second",
        "paths_per_second",
        "max_abs_diff",
        "circuits",
    },
    "training": {
        "bench",
        "ratio",
        "ratio_lo",
        "ratio_hi",
        "ms_a_step",
        "ms_a_step_bare",
        "max_abs_diff",
        "load",
        "circuits",
        "competitors",
        "cpu_ms_a_step_1_thread",
        "cpu_ms_a_step_1_thread_shared",
        "shared_ratio_1_thread",
    },
    "tuning": {
        "bench",
        "ratio",
        "ratio_lo",
        "ratio_hi",
        "ratio_trials",
        "overhead_s",
        "overhead_s_a_trial",
        "trials",
        "max_abs_diff",
        "load",
        "circuits",
    },
    "worlds": {
        "bench",
        "examples_a_second_two_processes",
        "examples_a_second_one_core",
        "ratio",
        "by_qubits",
        "job_size",
    },
    "scaling": {"bench", "ms_by_qubits", "ms_by_cx", "ms_by_batch", "plot"},
}


@pytest.mark.parametrize("what", KEYS)
def test_the_last_line_is_one_json_object(what, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_THREADS", (1,))  # this process may have threads that spin
    monkeypatch.setattr(shared_cores, "PER_CORE", 1)
    monkeypatch.setattr(tuning, "_TRIALS", 2)
    monkeypatch.setattr(worlds, "_CONFIG", f"{worlds._CONFIG} dataset.qubits=[2,8]")
    assert run(["bench", what, "--circuits", "9", "--repeats", "1"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert KEYS[what] <= found.keys()
    assert found["bench"] == what
    if what == "simulator":
        assert found["max_abs_diff"] <= 1e-9
        assert 0 < found["ratio_lo"] <= found["ratio"] <= found["ratio_hi"]
    if what == "data":
        assert found["max_abs_diff"] <= 1e-6
        assert min(found[f"{name}_per_second"] for name in ("paper", "token", "paths", "load")) > 0
    if what == "training":
        assert found["max_abs_diff"] <= 1e-6
        assert 0 < found["ratio_lo"] <= found["ratio"] <= found["ratio_hi"]
        assert 0 < found["cpu_ms_a_step_1_thread"] < 10_000
        assert found["shared_ratio_1_thread"] > 0
    if what == "tuning":
        assert found["max_abs_diff"] == 0
        assert 1 < found["ratio_lo"] <= found["ratio"] <= found["ratio_hi"]
    if what == "scaling":
        assert "<svg" in (tmp_path / found["plot"]).read_text()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["bench"], ["required: simulator|"]),
        (["bench", "simulater"], ["'simulater'", "Did you mean 'simulator'?"]),
        (["bench", "simulator", "--circuits", "0"], ["at least 1"]),
        (["bench", "simulator", "--circuits", "many"], ["--circuits", "many"]),
        (["bench", "simulator", "--fast"], ["--fast"]),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, parts, capsys):
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("qmend: ")
    assert error.count("\n") == 1
    for part in parts:
        assert part in error


def test_startup_compares_commands_with_bare_imports(monkeypatch, capsys):
    words = (
        startup.FirstWord("--version"),
        startup.FirstWord("trian", status=2),
        startup.FirstWord("--help", needs="mlflow", goal=0.0),
    )
    monkeypatch.setattr(startup, "FIRST_WORDS", words)
    monkeypatch.setattr(startup, "_BARE", {"config": "import re", "mlflow": "pass"})
    assert run(["bench", "startup", "--repeats", "1"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["seconds"].keys() == {"qmend --version", "qmend trian", "qmend --help"}
    assert all(0 < low <= middle <= high for low, middle, high in found["seconds"].values())
    assert found["missed"] == ["qmend --help"]


def test_a_first_word_that_is_another_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(startup, "FIRST_WORDS", (startup.FirstWord("trian"),))
    monkeypatch.setattr(startup, "_BARE", {})
    assert run(["bench", "startup", "--repeats", "1"]) == 2
    assert "qmend trian ended with status 2, not 0" in capsys.readouterr().err


def test_a_wheel_has_no_benchmarks(monkeypatch, capsys):
    monkeypatch.setattr("qmend.cli.bench.has_benchmarks", lambda: False)
    monkeypatch.setattr("qmend.cli.main.has_benchmarks", lambda: False)
    assert run(["bench", "simulator"]) == 2
    assert "needs a checkout" in capsys.readouterr().err
    assert run(["--help"]) == 0
    assert "bench" not in capsys.readouterr().out
