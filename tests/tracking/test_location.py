"""Where a store is: a directory, or a server."""

from pathlib import Path

import pytest

from qmend.tracking.location import local_folder, store_root
from qmend.types import QmendError


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("mlruns", Path("mlruns")),
        (Path("a/b"), Path("a/b")),
        ("./with:colon", Path("./with:colon")),
        ("file:///srv/my%20runs", Path("/srv/my runs")),
        ("sqlite:////srv/runs/mlflow.db", Path("/srv/runs")),
        ("sqlite:///mlflow.db", Path()),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("https://lab.example/mlflow", "https://lab.example/mlflow"),
    ],
)
def test_directories_and_servers(text, root):
    assert store_root(text) == root


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("postgresql://db/mlflow", "MLflow server"),
        ("sqlite:////srv/other.db", "no tracking store"),
        ("databricks://profile", "no tracking store"),
        ("http:/127.0.0.1:5000", "no tracking store"),
        ("http://", "names no host"),
        ("http://host:port", "no address"),
        ("https://me:secret@lab.example", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_what_is_neither_is_refused(text, part):
    with pytest.raises(QmendError, match=part) as caught:
        store_root(text)
    assert "secret" not in str(caught.value)


def test_mlflows_variable_names_the_default(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store_root() == Path("mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert store_root() == Path("mlruns")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab:5000")
    assert store_root() == "http://lab:5000"


def test_servers_have_local_files_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {local_folder(root) for root in ("http://a:1", "http://a:2", "https://b/mlflow")}
    assert len(folders) == 3
    assert all(folder.parent == tmp_path / "mlruns" for folder in folders)
    assert local_folder(tmp_path) == tmp_path
