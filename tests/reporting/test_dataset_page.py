"""A dataset's page: one self-contained file whose figures are those of the data."""

import re
from collections import Counter

import numpy as np
import pytest
from test_html import Page

from mixed_dataset import drifting, mixed_rows, write_mixed
from qmend.datasets.description import describe, distances
from qmend.datasets.manifest import read_manifest
from qmend.gates import TWO_QUBIT
from qmend.reporting.circuit_drawing import MAX_COLUMNS, circuit_svg, columns, left_out
from qmend.reporting.dataset_figures import calibrations
from qmend.reporting.dataset_page import drawn_circuits, typical_circuits, write_dataset_page
from qmend.reporting.dataset_table import summarise


@pytest.fixture(scope="module")
def mixed_folder(algiers, tmp_path_factory):
    snapshots = drifting(algiers.calibration, 4)
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    write_mixed(folder, mixed_rows(snapshots), snapshots)
    return folder


@pytest.fixture(scope="module", params=["tiny_folder", "mixed_folder"])
def written(request, tmp_path_factory):
    """(description, distances, summary, text of the page)."""
    folder = request.getfixturevalue(request.param)
    manifest = read_manifest(folder)
    found, far = describe(folder, manifest), distances(folder, manifest)
    summary = summarise(found, far)
    path = tmp_path_factory.mktemp("page") / "new" / "data.html"
    write_dataset_page(path, found, far, summary)
    assert [p.name for p in path.parent.iterdir()] == ["data.html"]
    first = path.read_bytes()
    write_dataset_page(path, found, far, summary)
    assert path.read_bytes() == first  # equal data, equal page
    return found, far, summary, first.decode()


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written[3])


def test_the_tables_hold_the_figures_of_the_data(page, written):
    found, far, summary, _ = written
    rows = {row[0]: row[1:] for row in page.rows if row}
    for name, values, digits in (
        ("depth", found.column("depth"), 0),
        ("two-qubit gates", found.column("n_two_qubit"), 0),
        ("shots", found.column("shots"), 0),
        ("signal", far.signal, 3),
        ("noise", far.noise, 3),
    ):
        shown = [float(cell.replace(",", "")) for cell in rows[name]]
        expected = np.percentile(values, [5, 25, 50, 75, 95])
        np.testing.assert_allclose(shown, expected, atol=0.51 * 10.0**-digits)
    for label, value in summary.facts:
        assert label in page.text
        assert value in page.text
    for label, members in found.groups if len(found.groups) > 1 else []:
        assert rows[label][0] == str(len(members))
        assert float(rows[label][-1]) == pytest.approx(np.median(far.noise[members]), abs=6e-4)


def test_nothing_is_loaded_from_elsewhere(page, written):
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name, value in attributes.items():
            if name.split(":")[-1] in ("src", "href", "srcset", "data", "action"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert "@import" not in written[3]
    assert not re.search(r"url\((?!#|&)", written[3])


def test_ids_are_unique(page):
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert max(ids.values()) == 1


def test_three_plots_and_four_circuits(page):
    drawings = [a for tag, a in page.tags if tag == "svg"]
    assert len(drawings) == 7
    assert sum(a.get("class") == "circuit" for a in drawings) == 4
    for words in ("Simple", "Median", "Deep", "Low signal", "T1 (µs)", "readout error (%)"):
        assert words in page.text


def test_the_other_table_is_named_and_the_page_goes_on(mixed_folder):
    manifest = read_manifest(mixed_folder)
    found = describe(mixed_folder, manifest)
    facts = dict(summarise(found, distances(mixed_folder, manifest)).facts)
    assert facts["other tables, not shown"] == "expectations.parquet"


# Which circuits


def test_the_four_are_what_they_are_called(written):
    found, far, _, _ = written
    rows = np.arange(len(found))
    depth, gates = found.column("depth"), found.column("n_two_qubit")
    kinds = typical_circuits(rows, depth, gates, far.signal)
    assert len(set(kinds.values())) == 4
    assert gates[kinds["simple"]] == gates.min()
    assert depth[kinds["deep"]] == depth.max()
    assert far.signal[kinds["low signal"]] == far.signal.min()
    for values in (depth, gates, far.signal):
        assert (values <= values[kinds["median"]]).mean() > 0.25
        assert (values < values[kinds["median"]]).mean() < 0.75


def test_few_circuits_are_taken_once_each():
    one = np.array([7])
    assert list(typical_circuits(one, one, one, np.array([0.5])).values()) == [7]
    none = np.array([], dtype=int)
    assert typical_circuits(none, none, none, np.array([])) == {}


def test_wide_circuits_are_left_out_of_the_drawings(mixed_folder):
    manifest = read_manifest(mixed_folder)
    found, far = describe(mixed_folder, manifest), distances(mixed_folder, manifest)
    drawn = drawn_circuits(found, far)
    assert len(drawn) == 4
    assert not any("14 qubits" in d.caption for d in drawn)


# Drawing


def random_circuit(seed: int, n: int = 5, gates: int = 60) -> list[tuple[str, int, int, float]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(gates):
        a, b = (int(q) for q in rng.choice(n, 2, replace=False))
        gate = str(rng.choice(["id", "x", "sx", "rz", "cx", "ecr", "cz"]))
        two = gate in TWO_QUBIT
        found.append((gate, a, b if two else -1, float(rng.normal()) if gate == "rz" else 0.0))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_symbols_never_cross_and_keep_the_order_of_each_wire(seed):
    circuit = random_circuit(seed)
    taken: dict[int, int] = {}
    crossed = set()
    for (_, first, second, _), column in zip(circuit, columns(circuit), strict=True):
        low, high = sorted((first, second if second >= 0 else first))
        for wire in range(low, high + 1):
            assert (column, wire) not in crossed
            crossed.add((column, wire))
            assert column > taken.get(wire, -1)
            taken[wire] = column


@pytest.mark.parametrize("seed", range(3))
def test_every_gate_has_its_symbol(seed):
    circuit = random_circuit(seed)
    count = Counter(gate for gate, *_ in circuit)
    drawing = circuit_svg(circuit, [0, 1, 2, 3, 5], [0, 1, 2, 3, 4], "a <title>")
    page = Page(drawing)
    tags = Counter(tag for tag, _ in page.tags)
    single = sum(count[g] for g in ("id", "x", "sx", "rz"))
    assert tags["rect"] == single + 2 * count["ecr"]
    assert tags["circle"] == 2 * count["cx"] + 2 * count["cz"]
    assert page.words.count("RZ") == count["rz"]
    assert page.words.count("√X") == count["sx"]
    assert page.words.count("X") == count["x"]
    assert page.words.count("c3") == 1
    assert "a <title>" in page.tags[0][1]["aria-label"]


def test_the_control_is_the_dot_and_measured_bits_stand_on_their_wires():
    drawing = Page(circuit_svg([("cx", 0, 2, 0.0)], [4, 7, 9], [2, 0], "x"))
    dot, target = (a for tag, a in drawing.tags if tag == "circle")
    heights = {}
    words = iter(w for w in drawing.words if w.strip())
    for tag, attributes in drawing.tags:
        if tag == "text":
            heights[next(words)] = float(attributes["y"])
    assert dot["fill"] != "#fff"
    assert float(dot["cy"]) == pytest.approx(heights["q4"], abs=4)
    assert float(target["cy"]) == pytest.approx(heights["q9"], abs=4)
    assert heights["q9"] < heights["q7"] < heights["q4"]  # position 0 at the bottom
    assert heights["c0"] == heights["q9"]
    assert heights["c1"] == heights["q4"]
    assert "c2" not in heights


def test_angles_are_in_units_of_pi_modulo_two():
    angles = [np.pi / 2, -np.pi / 2, 5 * np.pi, 2 * np.pi - 1e-9]
    drawing = Page(circuit_svg([("rz", 0, -1, a) for a in angles], [0], [0], "x"))
    assert [w for w in drawing.words if re.fullmatch(r"\d\.\d\d", w)] == [
        "0.50",
        "1.50",
        "1.00",
        "0.00",
    ]


def test_a_very_deep_circuit_is_cut_and_says_so():
    circuit = [("sx", 0, -1, 0.0)] * (MAX_COLUMNS + 5)
    assert left_out(circuit) == 5
    drawing = Page(circuit_svg(circuit, [0], [0], "x"))
    assert [tag for tag, _ in drawing.tags].count("rect") == MAX_COLUMNS
    assert "c0" not in drawing.words
    assert left_out(circuit[:3]) == 0


# Calibrations


def test_one_date_is_shown_by_qubit_and_several_as_lines(tiny_folder, mixed_folder):
    one = calibrations(describe(tiny_folder, read_manifest(tiny_folder)))
    t1 = one.axes[0]
    assert [label.get_text() for label in t1.get_xticklabels()] == ["0", "1", "2", "3", "5"]
    assert len(t1.patches) == 5
    found = describe(mixed_folder, read_manifest(mixed_folder))
    over_time = calibrations(found)
    lines = {line.get_label(): line for line in over_time.axes[0].lines}
    assert set(lines) == {"0", "1", "2", "3", "5"}
    snapshots = sorted(found.calibrations.values(), key=lambda c: c.time)
    np.testing.assert_allclose(
        lines["3"].get_ydata(), [c.qubit(3).t1_us for c in snapshots], rtol=1e-12
    )
    t2 = {line.get_label(): line for line in over_time.axes[1].lines}
    assert set(t2) == {"0", "2", "3", "5"}  # the snapshots lack qubit 1's
    for qubit, line in t2.items():
        assert line.get_color() == lines[qubit].get_color()


def test_pairs_are_means_of_both_directions(tiny_folder, algiers):
    figure = calibrations(describe(tiny_folder, read_manifest(tiny_folder)))
    axes = figure.axes[2]
    shown = {
        label.get_text(): bar.get_height()
        for label, bar in zip(axes.get_xticklabels(), axes.patches, strict=True)
    }
    calibration = algiers.calibration
    for pair in ((0, 1), (1, 2), (2, 3), (3, 5)):
        errors = [calibration.gate("cx", p).error for p in (pair, pair[::-1])]
        assert shown[f"{pair[0]}-{pair[1]}"] == pytest.approx(100 * np.mean(errors))


def test_no_snapshot_no_plot(algiers, tmp_path):
    rows = [
        {**row, "calibration_id": None}
        for row in mixed_rows(drifting(algiers.calibration, 1), count=9)
    ]
    manifest = write_mixed(tmp_path / "bare", rows, [])
    found, far = describe(tmp_path / "bare", manifest), distances(tmp_path / "bare", manifest)
    assert calibrations(found) is None
    path = tmp_path / "bare.html"
    write_dataset_page(path, found, far, summarise(found, far))
    assert "no calibration snapshot" in Page(path.read_text(encoding="utf-8")).text
