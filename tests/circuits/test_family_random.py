"""Random circuits: the recipe, gate by gate, and the depths that the presets say."""

import numpy as np
import pytest
import yaml
from scipy import stats

from qmend.circuits.compilation import QiskitCompiler
from qmend.circuits.families import build_family
from qmend.circuits.families.random import _STANDARD, RandomFamily
from qmend.circuits.instructions import InstructionTable
from qmend.config.paths import conf_dir


def family(**fields) -> RandomFamily:
    return RandomFamily(name="random", **fields)


def gates(source) -> list[tuple[str, tuple[float, ...], list[int]]]:
    circuit = source.circuit
    return [
        (i.operation.name, tuple(i.operation.params), [circuit.find_bit(q).index for q in i.qubits])
        for i in circuit.data
    ]


def draws(count: int, **fields) -> list:
    one = family(**fields)
    return [one.draw(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("gate_set", ["native", "standard"])
@pytest.mark.parametrize("operands", [1, 3])
def test_every_qubit_has_one_gate_a_layer(gate_set, operands):
    for source in draws(20, gate_set=gate_set, depth_max=6, max_operands=operands):
        depth = source.params["depth"]
        touched = np.zeros(5, dtype=int)
        for _, _, qubits in gates(source):
            assert len(set(touched[qubits])) == 1  # gates of one layer stand together
            touched[qubits] += 1
        assert (touched == depth).all()
        assert source.circuit.depth() == depth


def test_depth_is_uniform():
    depths = [s.params["depth"] for s in draws(600, depth_min=3, depth_max=8, n_qubits=1)]
    assert set(depths) == set(range(3, 9))
    assert stats.chisquare(np.bincount(depths)[3:]).pvalue > 1e-3


def test_standard_gates_are_uniform_among_those_of_their_size():
    drawn = [g for s in draws(60, depth_min=20, depth_max=20, max_operands=3) for g in gates(s)]
    for size, choices in enumerate(_STANDARD, start=1):
        names = [name for name, _, qubits in drawn if len(qubits) == size]
        counts = [names.count(name) for name, _ in choices]
        assert sum(counts) == len(names) > 500
        assert stats.chisquare(counts).pvalue > 1e-3
    turns = [a / (2 * np.pi) for _, angles, _ in drawn for a in angles]
    assert stats.kstest(turns, "uniform").pvalue > 1e-3
    pairs = {tuple(qubits) for _, _, qubits in drawn if len(qubits) == 2}
    assert len(pairs) == 20  # any qubit with any other, in both orders


def test_native_gates_are_the_chains():
    drawn = [g for s in draws(60, gate_set="native", depth_min=20, depth_max=20) for g in gates(s)]
    counts = [sum(name == wanted for name, *_ in drawn) for wanted in ("rz", "sx", "x")]
    assert stats.chisquare(counts).pvalue > 1e-3
    coupled = [tuple(qubits) for name, _, qubits in drawn if name == "cx"]
    assert set(coupled) == {(a, b) for a in range(5) for b in range(5) if abs(a - b) == 1}
    # the first qubit of the chain starts a pair in each layer with the probability given
    starts = sum(0 in pair for pair in coupled)
    assert stats.binomtest(starts, 60 * 20, 0.3).pvalue > 1e-3
    assert not any(g[0] == "cx" for s in draws(5, gate_set="native", cx_probability=0) for g in
                   gates(s))  # fmt: skip


def test_what_a_seed_draws_is_fixed():
    """Datasets name circuits by their seed: neither we nor a library may change this."""
    source = family(n_qubits=3, depth_min=2, depth_max=2).draw(np.random.default_rng(1))
    drawn = [(name, tuple(round(a, 6) for a in angles), q) for name, angles, q in gates(source)]
    assert drawn == [
        ("y", (), [0]),
        ("rzx", (1.959295,), [1, 2]),
        ("rz", (2.571074,), [2]),
        ("crx", (0.173159,), [1, 0]),
    ]


@pytest.mark.parametrize(
    ("preset", "level", "deepest"),
    [
        ("random", 0, 120),
        ("random", 1, 100),
        ("random_native", 0, 115),
        ("random_native", 1, 100),
    ],
)
def test_compiled_depth_spreads_to_about_120_layers(algiers, preset, level, deepest):
    one = build_family(
        yaml.safe_load((conf_dir() / "dataset" / "family" / f"{preset}.yaml").read_text())
    )
    compile_one = QiskitCompiler(5, algiers.native_gates, algiers.edges, level)
    circuits = [
        compile_one(one.draw(np.random.default_rng(seed)).circuit).instructions
        for seed in range(120)
    ]
    depth = InstructionTable.from_circuits(5, circuits).depth()
    assert deepest < depth.max() < 180
    quarters = np.histogram(depth, bins=[0, 30, 60, 90, 180])[0]
    assert (quarters > 5).all()  # of 120 circuits: every range of depths is there


@pytest.mark.parametrize("operands", [0, 4])
def test_gates_of_other_sizes_are_refused(operands):
    with pytest.raises(ValueError, match="max_operands"):
        family(max_operands=operands)
