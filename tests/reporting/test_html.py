"""The report: one self-contained page that shows every entry."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from qmend.metrics import interval_text
from qmend.reporting.demo_page import write_demo_page
from qmend.reporting.leaderboard import leaderboard_table
from qmend.runs.leaderboard import Leaderboard


class Page(HTMLParser):
    """Tags with their attributes, table rows and text of a page."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag  # well formed

    def handle_data(self, data) -> None:
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(board, tiny, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("reports") / "new" / "demo.html"
    write_demo_page(path, "A <title> & more", board, tiny)
    assert [p.name for p in path.parent.iterdir()] == ["demo.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written)


def test_every_entry_has_a_row_with_its_figures(page, board):
    rows = {row[0]: row[1:] for row in page.rows[1:]}
    assert set(rows) == {e.name for e in board.runs} | {"shot-noise reference"}
    table = leaderboard_table(board, ranked=False)
    assert page.rows == [table.headings, *(table.texts(row) for row in table.rows)]
    for entry in board.runs:
        figures = entry.figures
        assert rows[entry.name][0].startswith(f"{figures['l1rc_median'].value:.3f} [")
        assert float(rows[entry.name][1]) == pytest.approx(figures["improved_pct"].value, abs=5e-3)
        assert float(rows[entry.name][3]) == pytest.approx(figures["tv"].value, abs=5e-4)
    assert len({len(row) for row in page.rows}) == 1


def test_the_reference_is_last_and_no_entry(page, board):
    assert page.rows[-1][0] == "shot-noise reference"
    assert page.rows[-1][1] == interval_text(board.reference)


def test_only_the_best_row_stands_out(page, board):
    marked = [k for k, (tag, attrs) in enumerate(page.tags) if attrs.get("class") == "best"]
    assert len(marked) == 1
    before = [tag for tag, _ in page.tags[: marked[0]]].count("tr")
    assert page.rows[before][0] == board.ranked[0].name


def test_one_that_simulates_is_marked_and_never_best(board, tiny, tmp_path):
    """Even where no other model is left."""
    path = tmp_path / "report.html"
    marked = Leaderboard.of(
        [
            replace(e, tags={**e.tags, "simulates": str(e.kind == "train").lower()})
            for e in board.runs
        ],
        board.reference,
    )
    write_demo_page(path, "x", marked, tiny)
    page = Page(path.read_text(encoding="utf-8"))
    classes = [attrs["class"] for tag, attrs in page.tags if tag == "tr" and "class" in attrs]
    assert sorted(classes) == ["best", "reference", "simulates", "simulates"]
    assert "simulates its circuits" in page.text
    for model in board.models:
        assert f"{model.name} beats" not in page.text


def test_nothing_is_loaded_from_elsewhere(page, written):
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name, value in attributes.items():
            if name.split(":")[-1] in ("src", "href", "srcset", "data", "action"):
                assert value.startswith(("#", "data:")), (tag, name, value)
            assert not name.startswith("on")
    assert "@import" not in written
    assert not re.search(r"url\((?!#|&)", written)


def test_ids_are_unique_and_references_find_theirs(page, written):
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert ids
    assert max(ids.values()) == 1
    targets = {
        value[1:]
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name.split(":")[-1] == "href" and value.startswith("#")
    }
    targets |= set(re.findall(r"url\(#([^)]+)\)", written))
    assert targets
    assert targets <= set(ids)


def test_three_plots_with_labels_as_text(page, board):
    assert [tag for tag, _ in page.tags].count("svg") == 3
    for words in (
        "two-qubit gates in the compiled circuit",
        "Validation median L1RC",
        "epoch",
        "ideal",
        "noisy",
        "mitigated",
        "00000",
    ):
        assert words in page.text
    assert page.text.count("two-qubit gates: L1 error") == 4
    assert board.best.name in page.text


def test_what_the_data_are_is_said(page, tiny):
    for words in (
        "ibm_algiers, physical qubits [0, 1, 2, 3, 5]",
        "2024-02-28 13:32 UTC",
        tiny.rows.circuits.calibrations[0].calibration_id,
        "96 of the pauli family, 2,000 shots, simulated",
        f"tiny, hash {tiny.manifest.dataset_sha}",
        "20 test circuits",
    ):
        assert words in page.text


def test_names_are_text_never_markup(written, page):
    assert "A &lt;title&gt; &amp; more" in written
    assert "A <title> & more" in page.text


def test_verdicts_name_every_baseline(page, board):
    for entry in board.baselines:
        name = "no mitigation" if entry.name == "none" else entry.name
        pattern = rf"{board.best.name} (beats|does not beat) {name}: in pairs, median L1RC"
        assert re.search(pattern, page.text)


def test_hardware_data_have_no_reference(board, tiny, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("an older report")
    hardware = replace(board, reference=None)
    write_demo_page(path, "x", hardware, tiny)
    names = {row[0] for row in Page(path.read_text(encoding="utf-8")).rows[1:]}
    assert names == {e.name for e in board.runs}
