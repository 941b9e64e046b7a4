"""`qmend data show`, and making a dataset again from nothing but its card."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from commandline import Command

from qmend.datasets.manifest import read_manifest


def test_a_folder_is_enough(here: Command, tiny_folder: Path, tmp_path: Path) -> None:
    out = here("data", "show", str(tiny_folder)).succeeded().out
    manifest = read_manifest(tiny_folder)
    for words in ("tiny", "ibm_algiers", "two-qubit gates", "signal", "noise", "95 %"):
        assert words in out
    assert manifest.dataset_sha in out
    page = tmp_path / "reports" / "data_tiny.html"
    assert f"Page: {page}" in out.replace("\n", "")
    assert manifest.dataset_sha in page.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["reports"]


def test_a_config_names_a_folder_and_the_page_goes_where_it_is_told(
    here: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "mine" / "tiny_algiers")
    out = here(
        "data",
        "show",
        "dataset=tiny",
        "data.root=mine",
        "output=pages/mine.html",
    )
    assert "Page:" in out.succeeded().out
    assert (tmp_path / "pages" / "mine.html").exists()


def test_a_folder_with_odd_characters(here: Command, tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "it's, {mine}")
    assert "Page:" in here("data", "show", folder.name).succeeded().out


def test_nothing_is_generated(here: Command, tmp_path: Path) -> None:
    here("data", "show", "dataset=tiny").refused("data/tiny_algiers", "qmend data generate")
    here("data", "show", "nowhere").refused("nowhere", "no complete dataset")
    assert not (tmp_path / "data").exists()


def test_damage_is_told_before_anything_is_shown(here: Command, tiny_copy: Path) -> None:
    shard = tiny_copy / "circuits-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    result = here("data", "show", str(tiny_copy))
    result.refused(shard.name, "does not match its hash")
    assert result.out == ""


def test_a_page_that_can_not_be_written_is_refused(
    here: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    here("data", "show", str(tiny_folder), "output=taken/page.html").refused("taken")


def test_a_card_is_enough_to_make_the_dataset_again(
    here: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    """Its two files and its command, as a reader would copy them."""
    card = (tiny_folder / "README.md").read_text(encoding="utf-8")
    for name, body in re.findall(r"`(again/\w+/recipe\.yaml)`\n\n```yaml\n(.*?)```", card, re.S):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(body)
    (command,) = re.findall(r"```\nqmend (data generate .*)\n```", card)
    here(*command.split(), "data.workers=1").succeeded()
    made = tmp_path / "data" / "tiny_algiers"
    assert read_manifest(made).dataset_sha == read_manifest(tiny_folder).dataset_sha
    assert (made / "README.md").read_text(encoding="utf-8") == card
