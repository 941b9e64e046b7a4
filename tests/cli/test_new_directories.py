"""Another working directory gets its own data and runs, and that is said once."""

from contextlib import suppress

from qmend.cli.terminal import TerminalObserver, console
from qmend.types import QmendError
from qmend.workflows import evaluate, generate
from qmend.workflows.compose import compose


def said(work) -> str:
    with console.capture() as captured, suppress(QmendError):
        work()
    return captured.get().replace("\n", "")


def test_new_directories_are_named_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = ["dataset=tiny", "checkpoint=nowhere", "data.root=sets", "data.workers=1"]
    config = compose("evaluate", overrides)

    def ran() -> str:
        return said(lambda: evaluate.evaluate(config, TerminalObserver()))

    assert f"Runs are kept in {tmp_path / 'mlruns'}, a new directory." in ran()
    assert ran() == ""


def test_so_is_the_directory_of_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stopped(*_, **__):
        raise QmendError("stopped")

    monkeypatch.setattr(generate, "generate_dataset", stopped)
    config = compose("generate", ["dataset=tiny", "data.root=sets"])

    def ran() -> str:
        return said(lambda: generate.generate(config, TerminalObserver()))

    assert ran() == f"  Data are kept in {tmp_path / 'sets'}, a new directory."
    (tmp_path / "sets").mkdir()
    assert ran() == ""
