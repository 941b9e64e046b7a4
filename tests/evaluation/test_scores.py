"""Scores of each circuit, their summary, and the shot-noise reference."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from qmend.evaluation.scores import FIGURES, Scores, Summary, reference, score, summarise
from qmend.metrics import Bootstrap
from qmend.types import QmendError


@pytest.fixture(scope="module")
def scored(tiny):
    return tiny.part("test")


def test_each_score_is_that_of_its_own_circuit(scored):
    rng = np.random.default_rng(0)
    mitigated = rng.dirichlet(np.ones(32), size=len(scored))
    found = score([scored], [mitigated])
    for k in range(len(scored)):
        ideal, noisy, ours = scored.ideal[k], scored.circuits.noisy[k], mitigated[k]
        before, after = np.abs(ideal - noisy).sum(), np.abs(ideal - ours).sum()
        assert found.l1rc[k] == pytest.approx((after - before) / before)
        assert found.tv[k] == pytest.approx(after / 2)
        overlap = np.sqrt(ideal * ours).sum()
        assert found.hellinger[k] == pytest.approx(np.sqrt(1 - overlap), rel=1e-6)
        seen = ideal > 0
        kl = (ideal[seen] * np.log(ideal[seen] / ours[seen])).sum()
        assert found.kl[k] == pytest.approx(kl, rel=1e-5)


def test_no_mitigation_changes_nothing_and_the_ideal_is_perfect(scored):
    assert (score([scored], [scored.circuits.noisy]).l1rc == 0).all()
    perfect = score([scored], [scored.ideal])
    assert (perfect.l1rc == -1).all()
    assert perfect.tv.max() == 0
    assert perfect.kl.max() < 1e-6


def test_a_network_that_diverged_is_not_scored(scored):
    """A NaN would be left out of L1RC like a circuit without noisy error."""
    diverged = np.full_like(scored.ideal, 1 / 32)
    diverged[3] = np.nan
    with pytest.raises(QmendError, match="mitigated distribution of circuit 3 is not finite"):
        score([scored], [diverged])


def test_a_summary_has_the_figures_of_the_run_contract():
    l1rc = np.array([-0.9, -0.5, 0.01, 0.2, np.nan])
    other, ids = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array(list("abcde"))
    summary = summarise(
        Scores(ids, ids, l1rc, other, other * 2, other * 4, other * 3),
        Bootstrap.over(np.arange(5)),
    )
    figures = {name: interval.value for name, interval in summary.figures.items()}
    assert figures == {
        "l1rc_median": pytest.approx((-0.5 + 0.01) / 2),
        "improved_pct": 50,
        "harmed_pct": 25,
        "tv": 3,
        "hellinger": 6,
        "rmse": 12,
        "kl": 9,
    }
    assert (summary.excluded, summary.unit) == (1, "circuits")
    flat = summary.metrics("test/")
    assert set(flat) == {"test/excluded"} | {
        f"test/{name}{end}" for name in figures for end in ("", "_lo", "_hi")
    }
    for name in figures:
        assert flat[f"test/{name}_lo"] <= flat[f"test/{name}"] <= flat[f"test/{name}_hi"]
    assert Summary.read({**flat, "val/l1rc_median": 1.0, "cost/x": 2.0}, "circuits") == summary


def test_scores_are_written_one_row_a_circuit(scored, tmp_path):
    mitigated = scored.circuits.noisy * 0.5 + 0.5 / 32
    found = score([scored], [mitigated])
    found.write(tmp_path / "scores.parquet", [scored])
    again = Scores.read(tmp_path / "scores.parquet")
    for name in ("circuit_id", "job_id", *FIGURES):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    table = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    assert table["circuit_id"] == scored.circuit_id.tolist()
    assert table["job_id"] == scored.job_id.tolist()
    assert table["n_two_qubit"] == scored.n_two_qubit.tolist()
    assert table["depth"] == scored.depth.tolist()
    for name in ("l1rc", "tv", "hellinger", "kl"):
        assert table[name] == getattr(found, name).tolist()


def test_the_reference_is_the_median_of_what_shots_leave(scored):
    noisy, exact = scored.circuits.noisy, scored.noisy_exact
    left = np.abs(noisy - exact).sum(axis=1) / np.abs(scored.ideal - noisy).sum(axis=1) - 1
    found = reference([scored])
    assert found.value == pytest.approx(np.median(left))
    assert -1 < found.lo < found.value < found.hi < 0
    hardware = replace(scored, noisy_exact=None)
    assert reference([hardware]) is None


def test_damaged_scores_are_one_sentence(tmp_path):
    (tmp_path / "scores.parquet").write_text("no Parquet")
    for name in ("scores.parquet", "none.parquet"):
        with pytest.raises(QmendError, match=rf"{name} are missing or damaged .*qmend evaluate"):
            Scores.read(tmp_path / name)
