"""Experts of families and one network: equal weights and data, and which expert is compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qmend.models.base import Dimensions, build_model, count_parameters, model_config
from qmend.noise.paths import FEATURES
from qmend.runs.configurations import Configuration
from qmend.studies import compose_study
from qmend.studies.cross_family import (
    Config,
    compose_rivals,
    count_weights,
    with_sources,
    with_weights,
)
from qmend.studies.family_experts import (
    MIXED,
    compare_experts,
    expert_name,
    join_scores,
    one_name,
    verdicts,
)
from qmend.types import QmendError
from tracked_runs import made_up_scores, unstored_run

FAMILIES = ("pauli", "qaoa", "vqe")


@pytest.fixture(scope="module")
def config() -> Config:
    composed = compose_study("cross_family", [f"families=[{','.join(FAMILIES)}]"])
    assert isinstance(composed, Config)
    return with_sources(composed)


def operator(**sizes: int):
    return model_config({"name": "walsh_operator", "encoding": "paths", **sizes})


def test_weights_are_counted_as_a_real_network_has_them() -> None:
    model = operator(channels=5, blocks=2)
    network = build_model(model, Dimensions(3, len(FEATURES), 3))
    assert count_weights(model) == count_parameters(network)
    with pytest.raises(QmendError, match="blind_mlp has no channels"):
        count_weights(model_config({"name": "blind_mlp"}))


@pytest.mark.parametrize("weights", [1, 6576, 5 * 6576, 1_000_000])
def test_no_other_width_is_nearer_to_equal_weights(weights: int) -> None:
    model = operator(channels=12, blocks=4)
    chosen = with_weights(model, weights)
    assert chosen.model_copy(update={"channels": 12}) == model
    nearby = range(max(chosen.channels - 3, 1), chosen.channels + 4)
    misses = [abs(count_weights(operator(channels=c, blocks=4)) - weights) for c in nearby]
    assert abs(count_weights(chosen) - weights) == min(misses)


def test_both_sides_have_equal_weights_and_training_circuits(config: Config) -> None:
    networks = {name: n.training for name, n in compose_rivals(config).items()}
    experts = [networks.pop(expert_name(family)) for family in FAMILIES]
    share, weights = experts[0].train_circuits, count_weights(experts[0].model)
    assert {(e.train_circuits, count_weights(e.model)) for e in experts} == {(share, weights)}
    assert [e.simulated.family.name for e in experts] == list(FAMILIES)
    assert set(networks) == {one_name(), *map(one_name, FAMILIES)}
    for left_out in (None, *FAMILIES):
        one = networks[one_name(left_out)]
        trained_on = sorted(set(FAMILIES) - {left_out})
        assert list(one.simulated.family.families) == trained_on
        assert one.train_circuits == len(trained_on) * share
        assert count_weights(one.model) == pytest.approx(len(trained_on) * weights, rel=0.1)
        assert one.trainer.max_epochs == experts[0].trainer.max_epochs
        # No circuit of a mixture is one that a family is tested on.
        assert one.simulated.seed != experts[0].simulated.seed


def test_the_data_of_a_family_are_those_of_other_studies(config: Config) -> None:
    other = compose_study("architectures")
    assert set(other.source["surrogate_pauli"]) == set(config.source["surrogate_pauli"])


def row(name: str, mean: float, seed: int) -> Configuration:
    scores = made_up_scores(mean, seed)
    return Configuration(name, (unstored_run(name, scores),))


def test_an_expert_takes_its_own_family_or_the_nearest_of_a_left_out_one() -> None:
    means = {
        "pauli": {expert_name("pauli"): -0.8, expert_name("vqe"): -0.3, one_name(): -0.7},
        "vqe": {expert_name("vqe"): -0.6, expert_name("pauli"): -0.5, one_name(): -0.7},
    }
    for family, rows in means.items():
        rows[one_name(family)] = -0.4
    scored = {
        family: {name: row(name, mean, k) for k, (name, mean) in enumerate(rows.items())}
        for family, rows in means.items()
    }
    pairs = compare_experts(scored, {"pauli": "vqe", "vqe": "pauli"})
    assert [(p.setting, p.family, p.routed, p.comparison.word) for p in pairs] == [
        ("known", "pauli", "pauli", "better"),
        ("known", "vqe", "vqe", "worse"),
        ("known", "all", "each", "even"),
        ("left out", "pauli", "vqe", "worse"),
        ("left out", "vqe", "pauli", "better"),
        ("left out", "all", "each", "even"),
    ]
    known, gate, left_out = verdicts(pairs)
    assert "does not beat one network on all families" in known
    assert known.endswith("By family it is better on 1, worse on 1, even on 0.")
    assert gate.startswith("A learned gate could do no better")
    assert "the expert of the nearest family does not beat" in left_out
    # A network that failed leaves its pairs out.
    del scored["vqe"][one_name()]
    alone = compare_experts(scored, {"pauli": "vqe"})
    assert [(p.setting, p.family) for p in alone] == [
        ("known", "pauli"),
        ("known", "all"),
        ("left out", "pauli"),
        ("left out", "all"),
    ]
    assert verdicts(alone)[1].startswith("A small learned gate")


def test_scores_of_all_families_are_joined_in_order() -> None:
    first, second = made_up_scores(-0.5, 0), made_up_scores(0.5, 1)
    joined = join_scores([first, replace(second, job_id=second.circuit_id)])
    assert len(joined) == len(first) + len(second)
    assert joined.l1rc.tolist() == [*first.l1rc, *second.l1rc]
    assert set(joined.job_id) == {*first.job_id, *second.circuit_id}


def test_a_family_that_no_mixture_has_is_refused() -> None:
    composed = compose_study("cross_family", ["families=[pauli,walk]"])
    assert isinstance(composed, Config)
    with pytest.raises(QmendError, match="unknown family 'walk'"):
        with_sources(composed)
    assert MIXED not in composed.families
