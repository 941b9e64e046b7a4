"""A wrong config is told in one sentence that names the key and the nearest valid one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import BaseModel

from qmend.cli.command import HydraCommand
from qmend.cli.commands import COMMANDS
from qmend.cli.hydra_app import run_hydra
from qmend.config.compose import compose_choices
from qmend.config.quoting import quoted
from qmend.types import QmendError, nearest
from qmend.workflows import configs

ROOTS: dict[str, type[BaseModel]] = {
    "generate": configs.GenerateConfig,
    "verify": configs.VerifyConfig,
    "train": configs.TrainConfig,
    "evaluate": configs.EvaluateConfig,
    "demo": configs.DemoConfig,
    "tune": configs.TuneCommandConfig,
    "report": configs.ReportConfig,
}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["qmend"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def sentence(root: str, *overrides: str) -> str:
    """The error of a command with these overrides; the command's work must not begin."""

    def work(_: Any) -> None:
        pytest.fail("the work began")

    with pytest.raises(QmendError) as caught:
        run_hydra(root, ROOTS[root], work, list(overrides))
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "?"))
    assert ". ." not in text
    return text


@pytest.mark.parametrize(
    ("overrides", "form"),
    [
        (["data.root=a#b"], """'data.root="a#b"'"""),
        (["data.root=runs/lr=0.1"], """'data.root="runs/lr=0.1"'"""),
        (["data.root=a,b#c"], """'data.root="a,b#c"'"""),
        (
            ["seed=1", "tracking.root=my", "own", "runs", "model=rnn"],
            """'tracking.root="my own runs"'""",
        ),
        (["tracking.root=my #1", "dir"], """'tracking.root="my #1 dir"'"""),
        (["data.root=ä"], """'data.root="ä"'"""),
        (['data.root=a"b#'], """'data.root="a\\"b#"'"""),
        (["~model.width", "+data.root=(x)"], """'+data.root="(x)"'"""),
        (["checkpoint=[a#1, models:/qmend/2,c]"], """'checkpoint=["a#1","models:/qmend/2",c]'"""),
    ],
)
def test_a_value_that_needs_quotes_is_given_with_them(overrides: list[str], form: str) -> None:
    """The form, pasted into a shell, is the value that was meant."""
    text = sentence("train", *overrides)
    assert f"quotes, {form}." in text
    (word,) = shlex.split(form)
    value = OverridesParser.create().parse_override(word).value()
    meant = [" ".join(overrides).partition("=")[2], *(o.partition("=")[2] for o in overrides)]
    assert value in (*meant, "my own runs", ["a#1", "models:/qmend/2", "c"])


def test_the_home_directory_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell does not expand it behind ``=``, and quotes would make a directory named ~."""
    monkeypatch.setenv("HOME", "/home/me")
    assert """quotes, 'data.root="/home/me/x"'.""" in sentence("train", "data.root=~/x")


def test_commas_outside_a_multirun_have_three_ways_out() -> None:
    text = sentence("train", "data.root=a,b")
    assert text == (
        "data.root=a,b has commas: run each of its values with --multirun (-m), make them a list "
        "with 'data.root=[a,b]', or put the value in quotes, 'data.root=\"a,b\"'."
    )
    assert "requires --multirun" in sentence("train", "model=choice(rnn,mlp)")


@pytest.mark.parametrize(
    "override", ["model=rnn,mlp", "dataset/family=qaoa,vqe", "+experiment=demo_tiny,walsh_operator"]
)
def test_several_configs_of_a_group_need_a_multirun(override: str) -> None:
    """A list of configs would be merged, and no config has a comma in its name."""
    assert sentence("train", override) == (
        f"{override} names several configs; add -m to run each of them."
    )


@pytest.mark.parametrize("override", ["seed", "#x", "x={a:b#c}", "da ta=1", "x=[[a#b]]"])
def test_what_no_quotes_can_mend_is_said(override: str) -> None:
    assert "is not of the form key=value" in sentence("train", "model=rnn", override)


@pytest.mark.parametrize(
    "value", ["a#b", "a\\", 'a\\"b', "\\\\", "it's", "", "null", "1e3", " a ", 'ü = "x" \\\' #']
)
def test_quotes_keep_any_text(value: str) -> None:
    override = OverridesParser.create().parse_override(f"data.root={quoted(value)}")
    assert override.value() == value


@pytest.mark.parametrize("words", ["train", "evaluate", "report"])
def test_first_digits_of_a_run_are_no_number(words: str) -> None:
    key = "runs" if words == "report" else "checkpoint"
    (command,) = [c for c in COMMANDS if c.words == words]
    assert isinstance(command, HydraCommand)

    def read(value: str) -> Any:
        (override,) = command.prepare([f"{key}={value}"])
        return OverridesParser.create().parse_override(override).value()

    for head in ("12345678", "12e34567", "00123456", "1e5", "abc", "3fb0"):
        assert read(head) == head
        assert read(f"[{head},models:/qmend/2]") == [head, "models:/qmend/2"]
        assert read(f"parent={head}") == f"parent={head}"
        assert read(f"'{head}'") == head
    assert [read(text) for text in ("null", "[]", "a/b.c")] == [None, [], "a/b.c"]
    sweep = OverridesParser.create().parse_override(command.prepare([f"{key}=1e5,2e5"])[0])
    assert list(sweep.sweep_string_iterator()) == ["'1e5'", "'2e5'"]


@pytest.mark.parametrize("words", ["data show", "data verify"])
@pytest.mark.parametrize(
    ("first", "is_folder"),
    [
        ("data/demo", True),
        ("runs/lr=0.1/tiny", True),
        ("dataset=demo", False),
        ("dataset/family=qaoa", False),
        ("/absent/x=1", True),
        ("../x=1", True),
        ("it's here, #1 = a\\b", True),
        ("+folder=x", False),
        ("--cfg", False),
    ],
)
def test_the_folder_of_a_command_may_hold_an_equals_sign(
    first: str, is_folder: bool, words: str
) -> None:
    for folder in ("runs/lr=0.1/tiny", "it's here, #1 = a\\b"):
        Path(folder).mkdir(parents=True)
    (command,) = [c for c in COMMANDS if c.words == words]
    assert isinstance(command, HydraCommand)
    override, *rest = command.prepare([first, "dataset=tiny"])
    assert rest == ["dataset=tiny"]
    if is_folder:
        read = OverridesParser.create().parse_override(override)
        assert (read.key_or_group, read.value()) == ("folder", first)
    else:
        assert override == first


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("dataset.noise.strength=inf", "strength"),
        ("dataset.noise.strength=nan", "strength"),
        ("dataset.split.train=nan", "train"),
    ],
)
def test_numbers_are_finite(override: str, key: str) -> None:
    text = sentence("generate", "dataset/noise=surrogate_twirled", override)
    assert key in text
    assert "finite number" in text


def test_a_good_config_reaches_the_work() -> None:
    seen: list[Any] = []
    run_hydra(
        "train",
        configs.TrainConfig,
        seen.append,
        ["model.width=64", "seed=3"],
    )
    (config,) = seen
    assert (config.model.width, config.seed) == (64, 3)
    assert config.plain()["model"]["width"] == 64
    assert config.overridden == {"model.width", "seed"}
    assert config.choices["loss"] == "l1"


@pytest.mark.parametrize(
    ("root", "key", "near"),
    [
        ("train", "model.widht", "width"),
        ("train", "trainer.max_epoch", "max_epochs"),
        ("train", "optimizer.lrate", "lr"),
        ("train", "data.worker", "workers"),
        ("train", "sead", "seed"),
        ("train", "dataset.shot", "shots"),
        ("train", "dataset.family.gadget_max", "gadgets_max"),
        ("train", "dataset.split.trian", "train"),
        ("train", "device.layuot", "layout"),
        ("train", "tracking.rot", "root"),
        ("demo", "trainings.perceiver.model.widht", "width"),
        ("demo", "ouput", "output"),
        ("generate", "dataset.compiler.optimisation_level", "optimization_level"),
        ("verify", "sampel", "sample"),
    ],
)
@pytest.mark.parametrize("plus", ["", "+"])
def test_an_unknown_key(root: str, key: str, near: str, plus: str) -> None:
    text = sentence(root, f"{plus}{key}=3")
    assert text.startswith(f"{key}: unknown key. ")
    assert f"{near}'?" in text or f", {near}" in text or f" {near}," in text


def test_a_key_of_a_group_that_is_not_chosen() -> None:
    text = sentence("train", "online.circuits=30")
    assert text == (
        "online.circuits: there is no online here; choose one first, "
        "online=dataset|fitted|randomized."
    )


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        # type
        ("model.width=wide", ["model.width", "integer", "'wide'"]),
        ("model.width=1.5", ["model.width", "integer", "1.5"]),
        ("model.width=null", ["model.width", "None"]),
        ("optimizer.lr=fast", ["optimizer.lr", "number", "'fast'"]),
        ("data.replace=maybe", ["data.replace", "boolean", "'maybe'"]),
        ("device.layout=all", ["device.layout", "'all'"]),
        ("device.layout=[0,one]", ["device.layout.1", "integer", "'one'"]),
        ("model=null", ["model"]),
        ("trainer=null", ["trainer"]),
        ("dataset.family=pauli", ["dataset.family"]),
        ("dataset.split=0.5", ["dataset.split"]),
        # value
        ("model.width=0", ["model.width", "greater than", "0"]),
        ("model.width=30", ["model", "width (30)", "multiple of heads (4)"]),
        ("optimizer.lr=-1", ["optimizer.lr", "greater than 0", "-1"]),
        ("optimizer.lr=nan", ["optimizer.lr", "nan"]),
        ("optimizer.lr=inf", ["optimizer.lr", "inf"]),
        ("trainer.max_epochs=0", ["trainer.max_epochs", "0"]),
        ("seed=-1", ["seed", "-1"]),
        ("data.workers=10000", ["data.workers", "256", "10000"]),
        ("dataset.name=../up", ["dataset.name", "../up"]),
        ("dataset.circuits=8001", ["circuits (8001)", "job_size (50)"]),
        ("dataset.circuits=100", ["2 jobs", "3"]),
        ("dataset.split.train=0.9", ["dataset.split", "must be 1"]),
        ("dataset.family.gadgets_min=12", ["gadgets_min (12)", "gadgets_max (9)"]),
        ("dataset.shots=0", ["dataset.shots", "0"]),
        ("device.layout=[0,1,2,3,4,5,6,7,8,9,10]", ["device.layout", "10"]),
        # one of few
        ("optimizer.schedule=plataeu", ["optimizer.schedule", "Did you mean 'plateau'?"]),
        ("trainer.monitor=val/los", ["trainer.monitor", "Did you mean 'val/loss'?"]),
        ("model.basis=paritty", ["model.basis", "Did you mean 'parity'?"]),
        ("dataset.simulator=ear", ["dataset.simulator", "Did you mean 'aer'?"]),
        ("dataset.family.gadgets=exactly", ["gadgets", "Did you mean 'exact'?"]),
        ("loss.name=k1", ["loss.name", "'k1'", "Did you mean"]),
        ("model.name=percever", ["model.name", "'percever'", "Did you mean 'perceiver'?"]),
        ("model.encoding=papers", ["model.encoding", "papers"]),
        ("dataset.family.name=pualids", ["dataset.family.name", "'pualids'", "pauli"]),
    ],
)
def test_a_bad_value(override: str, parts: list[str]) -> None:
    text = sentence("train", override)
    for part in parts:
        assert part in text


def test_an_encoding_that_is_not_known() -> None:
    text = sentence("train", "model=blind_mlp", "model.encoding=tokne")
    assert "model.encoding" in text
    assert "Did you mean 'token'?" in text


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("model=percever", "perceiver"),
        ("loss=relativ_l1", "relative_l1"),
        ("dataset=tinny", "tiny"),
        ("device=hannoi", "hanoi"),
        ("trainer=dafault", "default"),
        ("optimizer=adam", "adamw"),
        ("experiment=pauli_preceiver", "pauli_perceiver"),
    ],
)
def test_a_misspelled_option(override: str, near: str) -> None:
    text = sentence("train", override)
    assert override in text
    assert f"Did you mean {near!r}?" in text


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("modle=perceiver", "model"),
        ("los=kl", "loss"),
        ("experimet=pauli_perceiver", "experiment"),
    ],
)
def test_a_misspelled_group(override: str, near: str) -> None:
    text = sentence("train", override)
    assert text.startswith(f"{override.partition('=')[0]}: ")
    assert f"Did you mean {near!r}?" in text


def test_an_option_of_a_training_in_the_demo() -> None:
    text = sentence("demo", "model@trainings.perceiver.model=percever")
    assert "percever" in text
    assert "Did you mean 'perceiver'?" in text


def test_a_training_of_the_demo_given_as_a_name() -> None:
    assert "blind_mlp" in sentence("demo", "trainings.perceiver.model=blind_mlp")


@pytest.mark.parametrize(
    ("root", "override", "answer"),
    [
        ("train", "family=qaoa", "unknown key. Did you mean 'dataset/family=qaoa'?"),
        ("train", "noise=surrogate_algiers", "Did you mean 'dataset/noise=surrogate_algiers'?"),
        ("train", "split=0.5", "unknown key. Did you mean 'dataset/split'?"),
        ("tune", "calibrations=drift", "Did you mean 'dataset/calibrations=drift'?"),
        ("demo", "model=tf", "Did you mean 'model@trainings.blind_mlp.model=tf'?"),
        ("generate", "loss=kl", "`qmend data generate` takes no loss; `qmend train`, `qmend tune`"),
        ("report", "model=tf", "`qmend report` takes no model; `qmend train`, `qmend tune`"),
        ("report", "seed=3", "`qmend report` takes no seed; `qmend demo`, `qmend guard`"),
        ("report", "loss.name=kl", "`qmend report` takes no loss; `qmend train`, `qmend tune`"),
        ("train", "tune=rnn", "`qmend train` takes no tune; `qmend tune` has it."),
        ("train", "tune.trials=3", "`qmend train` takes no tune; `qmend tune` has it."),
        ("evaluate", "sample=3", "`qmend evaluate` takes no sample; `qmend data verify` has it."),
        ("tune", "tune.space.loss.typ=x", "Did you mean 'tune.space.loss.type'?"),
        ("report", "outptu=x.html", "unknown key. Did you mean 'output'?"),
    ],
)
def test_a_key_of_another_group_or_command(root: str, override: str, answer: str) -> None:
    """The sentence names where it belongs, and nothing that the command does not take."""
    checkpoint = ["checkpoint=[]"] if root == "evaluate" else []
    text = sentence(root, *checkpoint, override)
    assert text.startswith(f"{override.partition('=')[0]}: ")
    assert answer in text


@pytest.mark.parametrize(
    ("root", "override", "answer"),
    [
        ("train", "+family=qaoa", "family: unknown key. Did you mean 'dataset/family=qaoa'?"),
        ("report", "+model=tf", "model: `qmend report` takes no model; `qmend train`, "),
        ("train", "+tune.space.x=3", "tune: `qmend train` takes no tune; `qmend tune` has it."),
    ],
)
def test_a_key_that_is_added_but_belongs_elsewhere(root: str, override: str, answer: str) -> None:
    assert sentence(root, override).startswith(answer)


def test_a_part_that_the_chosen_dataset_lacks() -> None:
    text = sentence("train", "dataset=hardware_public", "dataset/family=qaoa")
    assert text == ("dataset/family: the chosen dataset has no such part; choose another dataset.")


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if isinstance(c, HydraCommand)], ids=lambda c: c.words
)
def test_the_help_lists_the_groups_that_the_command_takes(command: HydraCommand) -> None:
    listed = command.help().partition("Groups:\n")[2]
    groups = {line.split(": ")[0].strip() for line in listed.splitlines()}
    overrides = [] if command.config in ("guard", "report", "references") else ["dataset=tiny"]
    _, choices = compose_choices(command.config, overrides)
    assert groups == {group for group in choices if not group.startswith("hydra/")}


@pytest.mark.parametrize(
    "override",
    ["model.width", "model.width=[1", "model.width={", "=3", "model width=3"],
)
def test_an_override_that_can_not_be_read(override: str) -> None:
    assert repr(override) in sentence("train", override)


def test_a_reference_to_nothing() -> None:
    text = sentence("train", "model.width=${model.widht}")
    assert "model.widht" in text


def test_a_key_given_twice_over_takes_the_last() -> None:
    seen: list[int] = []
    run_hydra(
        "train",
        configs.TrainConfig,
        lambda config: seen.append(config.seed),
        ["seed=1", "seed=2"],
    )
    assert seen == [2]


def test_a_missing_mandatory_value() -> None:
    text = sentence("evaluate")
    key = text.split()[0]
    assert f"{key} needs a value; give it as {key}=..." in text


def test_the_nearest_word() -> None:
    assert nearest("widht", ["width", "depth"]) == "Did you mean 'width'?"
    assert nearest("zzz", ["width", "depth"]) == "Valid: depth, width."
