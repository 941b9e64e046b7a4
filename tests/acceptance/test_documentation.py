"""README, docs and help do what they say: their commands run as they stand, in one clone.

The tables below state all that differs from the pages.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commandline import Command, Outcome, end_tree, environment, free_port, wait_until
from documentation import (
    PAGES,
    ROOT,
    Documented,
    Piece,
    help_examples,
    page_commands,
    pieces,
    repository_files,
)
from dvc.cli import main as dvc
from mlflow.db import commands as mlflow_db
from qiskit_ibm_runtime.fake_provider import FakeAlgiers
from test_ui_command import answer

from qmend.cli.command import PlainCommand
from qmend.cli.commands import COMMANDS
from qmend.tracking.store import open_store

#: Words of a command -> what it printed.
Run = Callable[[list[str]], str]

#: Added to the commands that a pattern matches: small sizes, and a port that is free.
SMALLER = {
    # Circuits are made in this process: a worker of its own would cost its start.
    r"qmend (data generate|train|tune|evaluate|study (yardstick|known_noise|twirling))"
    r"(?!.*=hardware_public)": "dataset.circuits=30 dataset.job_size=1 data.workers=1",
    r"qmend (train|tune|study published_noise)": "trainer.max_epochs=2",
    r"qmend .* (online=|experiment=worlds_operator)": """
        online.circuits=20 online.workers=0 trainer.batch_size=20
        """,
    r"qmend train dataset=hardware_public": "force=true",  # on a handful of circuits
    r"qmend .*launcher=joblib": "hydra.launcher.n_jobs=1",
    r"qmend tune": "tune.trials=2 tune.parallel=1",
    r"qmend study yardstick": """
        seeds=[0] train_circuits=20 baselines=[none] ~cells ~other_data
        '+cells.blind_mlp_l1=["model=blind_mlp","trainer.max_epochs=1"]'
        '+cells.walsh_operator_relative_l1=["experiment=walsh_operator","trainer.max_epochs=1"]'
        '+other_data.trotter=["dataset=small","dataset/family=trotter","dataset.circuits=30","dataset.job_size=1"]'
        """,
    r"qmend study known_noise": """
        train_circuits=20 'network=["experiment=walsh_operator","trainer.max_epochs=1"]'
        """,
    r"qmend study twirling": "randomizations=[0,2] baselines=[none]",
    r"qmend study architectures": """
        ~scale.models '+scale.models={m: ["model=blind_mlp","trainer=tiny"]}' models=[m]
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]' data.workers=1
        """,
    r"qmend study search": """
        ~searches '+searches.mlp=["model=blind_mlp","trainer.max_epochs=1","tune.trials=2"]'
        dataset.circuits=30 dataset.job_size=1 data.workers=1
        """,
    r"qmend study all": """
        ~studies data.workers=1
        '+studies.ablation=["models=[m]","~parts","+parts={}","ablations=[random_noise]"]'
        ~scale.models '+scale.models={m: ["model=blind_mlp","trainer=tiny"]}'
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]'
        """,
    r"qmend study ablation": """
        ~scale.models '+scale.models={m: ["model=blind_mlp","trainer=tiny"]}' models=[m]
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]' data.workers=1
        ablations=[random_noise] ~parts +parts={}
        """,
    r"qmend study labels": """
        ~scale.models '+scale.models={m: ["model=blind_mlp","trainer=tiny"]}' models=[m]
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]'
        baselines=[none] data.workers=1
        """,
    r"qmend study cross_family": """
        ~scale.models '+scale.models={m: ["model=walsh_operator","trainer=tiny"]}' models=[m]
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]'
        families=[pauli,vqe] expert_model=m train_circuits=20 one=[] expert=[]
        workers=1 data.workers=1
        """,
    r"qmend study transfer": """
        ~scale.models '+scale.models={m: ["model=blind_mlp","trainer=tiny"]}' models=[m]
        'scale.data=["dataset=small","dataset.circuits=30","dataset.job_size=1"]' data.workers=1
        ~circuits '+circuits={10: 1}'
        """,
    r"qmend study zero_shot": """
        families=[pauli] devices=[hanoi] baselines=[none] data.workers=1
        'recipe=["dataset=small","dataset.circuits=30","dataset.job_size=1"]'
        'trained=["experiment=walsh_operator","trainer.max_epochs=1"]'
        """,
    r"qmend study worlds": """
        ~cells +cells.whole=[] hardware=false data.workers=1
        'recipe=["dataset=worlds","device=algiers_line","dataset.circuits=30","dataset.job_size=1"]'
        'network=["experiment=worlds_operator","online.circuits=20","online.workers=0","trainer.batch_size=20","trainer.max_epochs=1"]'
        """,
    r"qmend guard": """
        worlds.fit=5 worlds.choose=20 worlds.measure=3 references=[0,1] degree=1 harmed_pct=90
        """,
    r"qmend study hardware": "left_out=false replicates=2 baselines=[none]",
    r"qmend study noise_fidelity": "iterations=1 replicates=40",
    r"qmend study published_noise": """
        dataset.circuits=100 fit_jobs=4 data.workers=1 ~hypotheses
        '+hypotheses.exact={gadgets:exact,value:3.0}'
        """,
    r"qmend data verify": "sample=3",
    r"qmend models promote": "--force",  # too few circuits to tell whether it simulates
    r"qmend data collect": "dataset.circuits=6 dataset.job_size=2",
    r"qmend ui": "--port PORT",
    r"mlflow server": "--port SERVER --workers 1",
    r"dvc repro( data/paper/dvc.yaml| pauli_twirled|$)": "--dry",  # hours of simulation
}
#: Not run: only the config is composed or the arguments parsed, the recipe or the name looked up.
NOT_RUN = {
    r"make": "installs packages first",
    r"pip install": "needs a network",
    r"qmend demo": "test_demo_command.py runs it with little data",
    r"qmend tune .* trainer.max_epochs=8$": "the README's search elsewhere; Ray starts once more",
    r"qmend bench": "test_bench_command.py runs each with few circuits",
}
#: Stands for the id of a training in the store: the newest, or the one before.
RUNS = {"RUN_ID": 0, "RUN_A": 0, "RUN_B": 1, "3fb03150": 0, "9a01c4": 1}
#: Stands for another word.
WORDS = {
    "COMMAND": "data generate",
    "<name>": "known_noise",
    "http://127.0.0.1:5000": "http://127.0.0.1:SERVER",
}
#: Measurements that the pages import: three qubits, as no network of one size is trained on here.
IMPORTED = ("results.jsonl", "measured.jsonl")
BELL_AND_ONE = """OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3];
    h q[0]; cx q[0],q[1]; ry(0.{}) q[2]; measure q -> c;"""
#: A circuit in native gates.
COMPILED = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];
    sx q[0]; rz(0.3) q[0]; sx q[0]; rz(0.4) q[0]; cx q[0],q[1]; rz(0.5) q[1]; measure q -> c;"""

#: Port of MLflow's server.
SERVER = free_port()
#: Commands that an earlier page has run.
DONE: set[tuple[str, ...]] = set()
EVERYTHING = [*(c for page in PAGES for c in page_commands(page)), *help_examples()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of this checkout, with files to import."""
    folder = tmp_path_factory.mktemp("clone")
    for file in repository_files():
        # Of the code, stages of dvc.yaml depend on one file.
        if file.parts[0] not in ("docs", "src", "tests") or file.name == "schema.py":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    counts = {"000": 450, "011": 440, "100": 50, "010": 20, "101": 40}
    common = {"circuit_stage": "submitted", "device": "lab", "counts": counts}
    lines = [json.dumps({**common, "qasm": BELL_AND_ONE.format(k)}) for k in range(1, 9)]
    for name in IMPORTED:
        (folder / name).write_text("\n".join(lines))
    (folder / "circuit.qasm").write_text(COMPILED)
    return folder


@pytest.fixture(scope="module")
def serve(clone: Path) -> Iterator[Callable[[list[str]], None]]:
    """Starts MLflow's server in the clone, as in another terminal."""
    started: list[subprocess.Popen[str]] = []

    def call(words: list[str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=clone,
            env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),  # they outlive the server
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        health = f"http://127.0.0.1:{SERVER}/health"
        wait_until(lambda: answer(health), "the server answers", process)

    yield call
    for process in started:
        end_tree(process)


@pytest.fixture
def run(
    serve: Callable[[list[str]], None],
    clone: Path,
    here: Command,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs a command in the clone; what it printed."""
    monkeypatch.chdir(clone)

    def call(words: list[str]) -> str:
        program, *rest = words
        if program == "dvc":
            capfd.readouterr()
            code = dvc(rest)
            outcome = Outcome(code, *capfd.readouterr())
            assert code == 0, outcome
            return outcome.out
        if program == "mlflow":
            serve(words)
            return ""
        outcome = here(*rest, folder=clone)
        if rest[0] == "ui":  # MLflow takes its place, which test_ui_command.py looks at
            assert "would have replaced the process" in outcome.err, outcome
            return outcome.out
        return outcome.succeeded().out

    if not (clone / "mlruns" / "mlflow.db").exists():  # whichever page comes first
        own = ("experiment=walsh_operator", "model.encoding=device_paths")
        call(completed(("qmend", "train", *own)))  # the oldest, which can be guarded
        call(completed(("qmend", "train", "-m", "experiment=walsh_operator", "seed=0,1")))
    return call


def completed(words: tuple[str, ...]) -> list[str]:
    """The words of a command with what is stated above added."""
    text = shlex.join(words)
    added = (more for pattern, more in SMALLER.items() if re.match(pattern, text))
    return [*words, *shlex.split(" ".join(added))]


def filled(words: list[str], clone: Path) -> list[str]:
    """Words with ids of the clone's store where something stands for them."""
    store = open_store(clone / "mlruns")
    query = "tags.kind = 'train' and tags.architecture = 'walsh_operator'"
    query += " and tags.source = 'simulated'"
    trained = store.runs(query)
    if words[1] == "guard":
        trained = store.runs(f"{query} and tags.encoding = 'device_paths'") * 2
    (parent, *_) = store.runs("tags.kind = 'multirun'")
    values = {
        "parent=RUN_ID": f"parent={parent.info.run_id}",
        **{name: trained[k].info.run_id for name, k in RUNS.items()},
        **WORDS,
        "PORT": str(free_port()),
        "SERVER": str(SERVER),
    }
    text = shlex.join(words)
    for name, value in values.items():
        text = text.replace(name, value)
    return shlex.split(text)


def check_name(command: Documented) -> None:
    """Find what a sentence names in the program's own list."""
    program, *rest = command.name or ("", "")
    if program == "make":
        check_recipe(command)
    elif program == "dvc":
        with pytest.raises(SystemExit, match=r"^0$"):
            dvc([*rest, "--help"])
    elif program == "mlflow":
        assert rest[0] == mlflow_db.name
        assert rest[1] in mlflow_db.commands
    else:
        assert program == "qmend", f"{command.place}: there is no {command.text}"


def check_recipe(command: Documented) -> None:
    """Let make print what it would do."""
    words = [command.words[0], "--dry-run", *command.words[1:]]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def check_parts(command: Documented, run: Run) -> None:
    """Look at a command that is not run."""
    if command.words[0] == "make":
        check_recipe(command)
    elif command.words[0] == "qmend":
        (described,) = [c for c in COMMANDS if ("qmend", *c.words.split()) == command.name]
        if isinstance(described, PlainCommand):
            described.parser.read(list(command.words[len(command.name) :]))
        else:
            run([*command.words, "--cfg", "job"])


def check_commands(commands: list[Documented], run: Run, clone: Path) -> None:
    remotes = clone / ".dvc" / "config"
    before = remotes.read_text()
    for command in commands:
        words = completed(command.words)
        if command.is_name:
            check_name(command)
        elif any(re.match(pattern, command.text) for pattern in NOT_RUN):
            check_parts(command, run)
        elif tuple(words) not in DONE:
            try:
                said = run(filled(words, clone))
            except AssertionError as error:
                error.add_note(f"{command.place}: {shlex.join(words)}")
                raise
            DONE.add(tuple(words))
            stated = re.findall(r"[\d,]+ circuits|\"[^\"]+\"", command.comment)
            for part in stated if words == [*command.words] else ():
                assert part.strip('"') in said, f"{command.place}: {said}"
            remotes.write_text(before)  # the pages' further remotes are each an example


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # in DVC
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run_in_order(page: Path, run: Run, clone: Path) -> None:
    check_commands(list(page_commands(page)), run, clone)


def test_the_examples_of_the_help_run(run: Run, clone: Path) -> None:
    check_commands(list(help_examples()), run, clone)


def test_nothing_is_stated_that_no_page_needs() -> None:
    texts = [command.text for command in EVERYTHING if not command.is_name]
    for pattern in (*SMALLER, *NOT_RUN):
        assert any(re.match(pattern, text) for text in texts), pattern
    for name in (*RUNS, *WORDS, *IMPORTED):
        assert any(name in text for text in texts), name


def test_the_python_of_the_pages_runs_and_prints_only_what_it_asks_for(
    run: Run, clone: Path, made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(clone / "data" / made.name, ignore_errors=True)  # an earlier page's is smaller
    shutil.copytree(made, clone / "data" / made.name)
    names: dict[str, object] = {}

    def said(block: Piece) -> str:
        capfd.readouterr()
        exec(compile(block.text, block.place, "exec"), names)
        return capfd.readouterr().out

    blocks = {page: [p for p in pieces(page) if p.language == "python"] for page in PAGES}
    readme, page = (blocks.pop(ROOT / name) for name in ("README.md", "docs/python.md"))
    assert not any(blocks.values())
    trained, evaluated, watched, asked, readout, zne, told = map(said, page)
    assert re.fullmatch(
        r"walsh_operator relative_l1 seed 0 [0-9a-f]{32}\nInterval\(.*\)\n", trained
    )
    assert "tiny_algiers 300" in evaluated
    assert re.search(r"^none 0\.0$", evaluated, re.MULTILINE)
    assert "data/tiny_algiers: reused; 300 rows" in watched
    for shown in (asked, readout, zne, told):
        assert re.match(r"\{'00000': 0\.\d+", shown)
    names.update(counts={"00000": 431, "11111": 391}, circuit=names["ghz"], backend=FakeAlgiers())
    assert [said(block) for block in readme] == [""]
    assert names["better"].probabilities.sum() == pytest.approx(1)
