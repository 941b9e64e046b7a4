"""`qmend ui` in a real browser: prepared views, the compare page and parallel coordinates."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from commandline import DEADLINE, end_tree, free_port, start, wait_until
from mlflow.entities import Run
from test_ui_command import answer

from qmend.datasets.table import Dataset
from qmend.mitigation.baselines import STANDARD_BASELINES
from qmend.runs.scoring import Context, run_baseline
from qmend.runs.training import run_training
from qmend.tracking.run import start_run
from qmend.tracking.store import Store, open_store
from qmend.training.config import TrainingConfig

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium to look at the UI with; apt-get install chromium"
)

#: Width, learning rate and loss of the trainings that are compared.
CELLS = [(8, 1e-3, "l1"), (16, 3e-3, "kl"), (16, 1e-2, "l1")]
DIFFER = {"model.width", "optimizer.lr", "loss.name"}
#: Of the leaderboard, in the order in which they matter: tags, then metrics.
FIRST = ("L1RC", "architecture", "loss", "seed")
TAGS = (*FIRST, "improved", "harmed", "simulates", "head", "kind")
METRICS = (
    *(f"cost/{name}" for name in ("parameters", "seconds")),
    *(f"test/{name}" for name in ("l1rc_median", "l1rc_median_lo", "l1rc_median_hi", "tv", "kl")),
)


@dataclass(frozen=True)
class Served:
    """A store behind `qmend ui`, and the links that the command printed."""

    store: Store
    address: str
    leaderboard: str
    comparison: str

    def runs(self, *kinds: str) -> list[Run]:
        """Scored runs of those kinds, or of all; best first."""
        found = [
            run
            for run in self.store.runs("metrics.`test/l1rc_median` < 1000")
            if not kinds or run.data.tags["kind"] in kinds
        ]
        return sorted(found, key=lambda run: run.data.metrics["test/l1rc_median"])


@pytest.fixture(scope="module")
def compared(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two baselines, and three trainings under one parent."""
    store = open_store(tmp_path_factory.mktemp("ui") / "mlruns")
    with start_run(store, "widths and rates", {"kind": "multirun"}, {}) as parent:
        context = Context(store, tiny, parent=parent.run_id)
        for kind in STANDARD_BASELINES[:2]:
            run_baseline(context, kind(), {"seed": 0})
        for width, lr, loss in CELLS:
            config = {
                "model": {"name": "blind_mlp", "width": width},
                "loss": {"name": loss},
                "optimizer": {"lr": lr},
                "trainer": {"max_epochs": 2, "threads": 1},
                "seed": 0,
            }
            training = TrainingConfig(**config)
            run_training(context, f"width {width} lr {lr} {loss}", training, config)
    return store


@pytest.fixture(scope="module")
def served(compared: Store) -> Iterator[Served]:
    port = free_port()
    folder = compared.root.parent
    process = start("ui", "--port", str(port), "--root", str(compared.root), folder=folder)
    address = f"http://127.0.0.1:{port}"
    family: list[psutil.Process] = []
    try:
        wait_until(lambda: answer(f"{address}/health"), "the UI answers", process)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(6)]
        leaderboard, comparison = [line for line in lines if line.startswith(address)]
        yield Served(compared, address, leaderboard, comparison)
    finally:
        end_tree(process)
        _, left = psutil.wait_procs(family, timeout=DEADLINE)
    assert left == []


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """One browser for all tests; wide enough that the table leaves out no column."""
    before = set(psutil.Process().children(recursive=True))
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened.new_context(viewport={"width": 3600, "height": 1400})
        opened.close()
    started = set(psutil.Process().children(recursive=True)) - before
    _, left = psutil.wait_procs([p for p in started if "chrom" in p.name()], timeout=30)
    assert left == []


@pytest.fixture
def page(browser) -> Iterator[object]:
    opened = browser.new_page()
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


def cells(page, column: str) -> list[str]:
    """What a column of the table shows, from the top."""
    rows = page.locator(f'[role=row] [role=gridcell][col-id="{column}"]')
    shown = rows.evaluate_all(
        "found => found.map(e => [+e.closest('[role=row]').getAttribute('row-index'), e.innerText])"
    )
    return [text for _, text in sorted(shown)]


def open_table(page, served: Served) -> None:
    page.goto(served.leaderboard)
    page.locator('[role=gridcell][col-id="tags.`seed`"]').nth(len(served.runs()) - 1).wait_for()


def test_the_leaderboard_shows_the_figures_of_the_store_best_first(page, served: Served) -> None:
    open_table(page, served)
    runs = served.runs()
    assert len(runs) == 5
    names = [text.splitlines()[-1] for text in cells(page, "attributes.`Run Name`")]
    assert names == [run.info.run_name for run in runs]
    for metric in METRICS:
        shown = [float(text) for text in cells(page, f"metrics.`{metric}`")]
        assert shown == pytest.approx([run.data.metrics[metric] for run in runs])
    for tag in TAGS:
        assert cells(page, f"tags.`{tag}`") == [run.data.tags[tag] for run in runs]
    # In the order in which they matter, not in that of the alphabet.
    columns = [f"tags.`{tag}`" for tag in TAGS] + [f"metrics.`{metric}`" for metric in METRICS]
    places = [
        page.locator(f'[role=columnheader][col-id="{column}"]').bounding_box()["x"]
        for column in columns
    ]
    assert places == sorted(places)
    shown = page.locator("[role=gridcell][col-id^=tags], [role=gridcell][col-id^=metrics]")
    cut = shown.evaluate_all(
        "found => found.filter(e => [e, ...e.querySelectorAll('*')].some("
        "part => part.clientWidth && part.scrollWidth > part.clientWidth)).map(e => e.innerText)"
    )
    assert cut == []


def test_objective_and_method_are_on_a_screen_of_1600_pixels(page, served: Served) -> None:
    """Beside MLflow's assistant, which takes a quarter of it on the first visit."""
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(served.leaderboard)
    table = page.locator(".ag-center-cols-viewport, .ag-body-horizontal-scroll-viewport").first
    for tag in FIRST:
        cell = page.locator(f'[role=gridcell][col-id="tags.`{tag}`"]').first
        cell.wait_for()
        frame, box = table.bounding_box(), cell.bounding_box()
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    assert re.fullmatch(r"-?\d\.\d{3} \[.*\]", cells(page, "tags.`L1RC`")[0])


def test_the_views_are_in_mlflow_s_own_menu(page, served: Served) -> None:
    open_table(page, served)
    page.get_by_test_id("saved-views-trigger").click()
    menu = page.get_by_role("menu")
    assert menu.get_by_text("Leaderboard of tiny on ibm_algiers").is_visible()
    assert menu.get_by_text(re.compile("widths and rates, ")).is_visible()


def test_parallel_coordinates_have_an_axis_for_each_param_that_differs(
    page, served: Served
) -> None:
    page.goto(served.comparison)
    page.locator(".parcoords text.label").nth(len(DIFFER)).wait_for()
    axes = page.locator(".parcoords text.label").all_text_contents()
    # More is better on the last: the best line is red, no line among black axes.
    assert axes[-1] == "minus/test/l1rc_median"
    assert set(axes[:-1]) == DIFFER - {"optimizer.lr"} | {"log10/lr"}
    ticks = set(page.locator(".parcoords .tick text").all_text_contents())
    assert {"l1", "kl"} <= ticks
    listed = page.locator("a[href*='/runs/']").all_inner_texts()
    assert [text for text in listed if text] == [r.info.run_name for r in served.runs("train")]
    page.get_by_text("What differs").first.scroll_into_view_if_needed()
    page.get_by_text("Show differences only").wait_for()


def test_the_compare_page_shows_what_differs_and_the_figures(page, served: Served) -> None:
    """Three runs ticked in the leaderboard, as a person would."""
    open_table(page, served)
    trainings = served.runs("train")
    for run in trainings:
        row = page.locator(f"[role=row][row-id='{run.info.run_id}']").first
        row.locator("input[type=checkbox]").first.check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile(f"compare-runs.*{quote(trainings[0].info.run_id)}"))
    page.get_by_role("switch").first.click()  # Show diff only, of the parameters
    ids = [run.info.run_id for run in trainings]
    order = [next(k for k in ids if k in link) for link in _links(page)]
    by_id = {run.info.run_id: run.data for run in trainings}
    params = _table(page, "model.width")
    assert params == {name: [by_id[k].params[name] for k in order] for name in DIFFER}
    figures = _drawn_metrics(page)
    assert "cost/parameters" in figures
    for name, values in figures.items():
        assert values == pytest.approx([by_id[k].metrics[name] for k in order], rel=1e-2, abs=1e-3)


def _table(page, row: str) -> dict[str, list[str]]:
    """The compare page's table that has such a row: first column -> others."""
    table = page.locator(".mlflow-compare-run-table").filter(has_text=row)
    texts = [found.locator("th, td").all_inner_texts() for found in table.locator("tr").all()]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in texts}


def _drawn_metrics(page) -> dict[str, list[float]]:
    """Those that fit into their box, four digits each; drawn cell by cell, in place of a table."""
    cells = page.locator(".ReactVirtualized__Grid__innerScrollContainer > *").evaluate_all(
        "found => found.map(e => [e.getBoundingClientRect().y, e.getBoundingClientRect().x,"
        " e.innerText])"
    )
    rows: dict[float, list[str]] = {}
    for y, _, text in sorted(cells):
        rows.setdefault(y, []).append(text)
    return {texts[0]: [float(text) for text in texts[1:]] for texts in rows.values()}


def _links(page) -> list[str]:
    """Targets of the compare page's links to runs, from the left."""
    links = page.locator("a[href*='/runs/']")
    return [href for href in links.evaluate_all("found => found.map(e => e.href)") if href]


def test_a_run_carries_its_plots(served: Served) -> None:
    client = served.store.client
    for run in served.runs():
        found = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
        learned = {"figures/learning.png"} if run.data.tags["kind"] == "train" else set()
        assert found == {"figures/l1rc_test.png"} | learned
        for name in found:
            head = Path(client.download_artifacts(run.info.run_id, name)).read_bytes()[:8]
            assert head == b"\x89PNG\r\n\x1a\n"
