"""README and docs: links lead somewhere, paths are there, quoted sizes are those of the files."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from commandline import Tracked
from documentation import PAGES, ROOT, inline_code, pieces, repository_files

from qmend.config.compose import compose_config
from qmend.config.paths import conf_dir, config_groups
from qmend.datasets.manifest import read_manifest
from qmend.datasets.stored_rows import read_rows


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / file for file in repository_files("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if not target.startswith("http"):
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                assert file.exists(), f"{page}: {target}"
                assert not anchor or anchor in anchors(file), f"{page}: {target}"


#: Paths that pages name and the demo does not leave.
MADE = {".venv/bin/qmend", "ledger.jsonl", "sweeps/"}
_PATH = re.compile(
    r"\.?[a-z][\w.-]*/[\w./-]*|[\w-]+\.(py|yaml|toml|lock|md|jsonl?|txt|safetensors)"
)


def test_every_path_is_a_file_or_a_metric(demo: Tracked) -> None:
    """In the repository, or left by the demo."""
    files = [*repository_files(), *(p.relative_to(demo.folder) for p in demo.folder.rglob("*"))]
    known = {f"/{path}" for file in files for path in (file, *file.parents)}
    metrics = {name for run in demo.runs for name in run.data.metrics}
    for page in PAGES:
        for piece in pieces(page):
            codes = inline_code(piece) if piece.language == "prose" else []
            for code in filter(_PATH.fullmatch, codes):
                if re.search(r"\.\.\.|/[A-Z_]+$", code):  # stands for others
                    continue
                there = any(path.endswith(f"/{code.rstrip('/')}") for path in known)
                assert there or code in metrics or code in MADE, f"{piece.place}: {code}"


def text(name: str) -> str:
    return " ".join((ROOT / name).read_text().split())


def rows(name: str) -> list[list[str]]:
    """The cells of all tables of a page."""
    lines = (ROOT / name).read_text().splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


@pytest.mark.parametrize("name", ["hardware_public", "algiers_trotter"])
def test_figures_of_measured_data_are_those_of_the_files(name: str) -> None:
    manifest = read_manifest(ROOT / "data" / name)
    table = read_rows(ROOT / "data" / name, manifest.shards)
    split = Counter(table["split"].to_pylist())
    jobs = len(set(table["job_id"].to_pylist()))
    page = text("docs/datasets/hardware_public.md")
    assert f"train {split['train']}" in page
    assert f"validation {split['val']}, test {split['test']}" in page
    assert f"{jobs} jobs" in page
    for place in ("docs/datasets/hardware_public.md", "docs/data.md", "dvc.yaml"):
        assert f"{manifest.rows:,} " in text(place)


def test_kinds_of_measured_circuits_are_as_many_as_the_page_says() -> None:
    folder = ROOT / "data" / "hardware_public"
    table = read_rows(folder, read_manifest(folder).shards)
    sizes = zip(table["n_qubits"].to_pylist(), map(len, table["measured"].to_pylist()), strict=True)
    by_size = Counter(sizes)
    page = rows("docs/datasets/hardware_public.md")
    assert Counter(
        {(int(r[0][0]), int(r[0][-1])): int(r[1]) for r in page if " / " in r[0][:4]}
    ) == (by_size)
    families = Counter(table["family"].to_pylist())
    assert {row[0]: int(row[1]) for row in page if row[0] in families} == {
        name: count for name, count in families.items() if not name.startswith("walker")
    }
    assert f"on all {sum(by_size.values()):,} circuits" in text("docs/datasets/hardware_public.md")
    assert f"{by_size[5, 5]} of five" in text("docs/datasets/hardware_public.md")


def test_presets_are_as_large_as_the_page_says() -> None:
    presets = {path.stem for path in (conf_dir() / "dataset").glob("*.yaml")}
    sizes = {row[0].strip("`"): row[1] for row in rows("docs/data.md")}
    assert presets <= sizes.keys()
    for name in presets - {"hardware_public", "algiers_trotter"}:
        circuits = compose_config("generate", [f"dataset={name}"])["dataset"]["circuits"]
        if sizes[name][0].isdigit():  # others are the same circuits
            assert sizes[name].startswith(f"{circuits:,}"), name


def test_every_choice_of_a_dataset_s_parts_is_named() -> None:
    groups = config_groups(conf_dir())
    for row in rows("docs/data.md"):
        for choice in groups.get(row[1].strip("`"), []):
            assert f"`{choice}`" in row[2], f"{row[1]}={choice}"


def test_the_table_of_rooms_has_every_part_of_the_package() -> None:
    first = " ".join(row[0] for row in rows("docs/architecture.md"))
    named = set(re.findall(r"`(\w+)`", first))
    parts = {path.stem for path in (ROOT / "src" / "qmend").iterdir() if path.suffix in ("", ".py")}
    assert parts - {"__init__", "__pycache__", "version"} <= named
