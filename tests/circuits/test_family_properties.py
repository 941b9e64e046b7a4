"""What every circuit family must keep: each one of the registry, with each preset and option."""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError
from qiskit.quantum_info import Operator, Statevector

from qmend.circuits.compilation import QiskitCompiler, build_compiler
from qmend.circuits.families import FAMILIES, SourceCircuit, build_family
from qmend.circuits.instructions import InstructionTable
from qmend.config.paths import conf_dir
from qmend.datasets.schema import instruction_table, instructions_column
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.gates import TWO_QUBIT
from reference import measured_probabilities, move_bits, qiskit_circuit

FILES: dict[str, Path] = {
    p.stem: p for p in sorted((conf_dir() / "dataset" / "family").glob("*.yaml"))
}


def read_preset(path: Path) -> dict[str, Any]:
    """The values of a file, and those of the families that it lists."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    for item in values.pop("defaults", []):
        name, _, key = item.partition("@families.")
        values.setdefault("families", {})[key] = read_preset(path.with_stem(name))
    return values


PRESETS = {name: read_preset(path) for name, path in FILES.items()}


def options() -> dict[str, dict[str, Any]]:
    """The presets, and every family's defaults with one choice changed at a time."""
    cases = dict(PRESETS)
    for kind, family in FAMILIES.items():
        for name, field in family.model_fields.items():
            values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            values = (False, True) if field.annotation is bool else values
            for value in values:
                if value in (field.default, kind):
                    continue
                cases[f"{kind} {name}={value}"] = {"name": kind, name: value}
    return cases


CASES = options()
#: Sizes for which a family has no circuit, and why.
IMPOSSIBLE = {
    ("vqe_h2", 2): "needs n_qubits of at least 4",
    ("vqe_h2", 3): "needs n_qubits of at least 4",
    ("qaoa_regular", 2): "must be below n_qubits",
}


@pytest.fixture(scope="module", params=["FakeAlgiers", "FakeSherbrooke", "FakeTorino"])
def device(request) -> Device:
    """Five qubits along a line, coupled by CX, by one-way ECR and by CZ."""
    layout = (0, 1, 2, 3, 5) if request.param == "FakeAlgiers" else (0, 1, 2, 3, 4)
    return load_device(DeviceConfig(name="x", backend=request.param, layout=layout))


def drawn(case: str, seed: int, **fields: Any) -> SourceCircuit:
    return build_family({**CASES[case], **fields}).draw(np.random.default_rng([seed, 5]))


def compiler(device: Device, level: int = 1) -> QiskitCompiler:
    return QiskitCompiler(device.n_qubits, device.native_gates, device.edges, level)


def compiled(case: str, device: Device, count: int) -> tuple[InstructionTable, np.ndarray]:
    compile_one = compiler(device)
    done = [compile_one(drawn(case, seed).circuit) for seed in range(count)]
    table = InstructionTable.from_circuits(5, [c.instructions for c in done])
    return table, np.array([c.measured for c in done])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """|Tr(A^dagger B)| / d: 1 exactly where the unitaries agree up to a phase."""
    return float(abs(np.trace(a.conj().T @ b)) / len(a))


def test_every_family_has_a_preset():
    assert {preset["name"] for preset in PRESETS.values()} == set(FAMILIES)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_writes_every_field_and_says_what_it_is(preset):
    """A field that is off unless set (None) may be left out."""
    fields = FAMILIES[PRESETS[preset]["name"]].model_fields
    off = {name for name, field in fields.items() if field.default is None}
    assert set(PRESETS[preset]) | off == set(fields)
    assert FILES[preset].read_text().startswith("# ")


@pytest.mark.parametrize("case", CASES)
def test_compiled_circuits_are_the_sources(case, device):
    """Distribution: ours without compiling, Qiskit's statevector of the native gates after it,
    read through ``measured``. Unitary: equal up to a phase after the final permutation."""
    compile_one = compiler(device)
    for seed in range(2):
        source = drawn(case, seed)
        ideal = source.probabilities()
        assert ideal.shape == (32,)
        assert (ideal >= 0).all()
        assert ideal.sum() == pytest.approx(1, abs=1e-12)
        done = compile_one(source.circuit)
        for gate, first, second, _ in done.instructions:
            assert gate in device.native_gates
            assert (gate in TWO_QUBIT) == (second >= 0)
            assert second < 0 or (first, second) in device.edges
        native = qiskit_circuit(done.instructions, 5)
        np.testing.assert_allclose(
            measured_probabilities(native, done.measured), ideal, atol=1e-10, rtol=0
        )
        assert source.circuit.num_clbits == 0
    permutation = np.zeros((32, 32))
    permutation[move_bits(5, done.measured), np.arange(32)] = 1
    unitary = permutation @ Operator(source.circuit).data
    assert overlap(unitary, Operator(native).data) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_labels_equal_a_statevector_that_shares_no_code(case):
    for seed in range(3):
        source = drawn(case, seed)
        expected = Statevector(source.circuit.decompose(reps=2)).probabilities()
        np.testing.assert_allclose(source.probabilities(), expected, atol=1e-12, rtol=0)
        np.testing.assert_allclose(np.abs(source.state()) ** 2, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_gadgets_are_the_very_circuit(case, algiers):
    """Where a family offers gadgets, the direct compiler gives the circuit's own unitary."""
    source = drawn(case, 0)
    if source.gadgets is None:
        assert build_family(CASES[case]).name not in ("pauli", "qaoa", "trotter")
        return
    direct = build_compiler("direct", 5, algiers.native_gates, algiers.edges, 1)(source)
    ours = Operator(qiskit_circuit(direct.instructions, 5)).data
    assert overlap(Operator(source.circuit).data, ours) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_gives_the_same_bytes_and_another_seed_another_circuit(preset, algiers):
    table, measured = compiled(preset, algiers, 25)
    ids = table.circuit_ids(measured)
    again, measured_again = compiled(preset, algiers, 25)
    assert again.angle.tobytes() == table.angle.tobytes()
    assert again.circuit_ids(measured_again) == ids
    assert len(set(ids)) >= 24  # a shallow random circuit may come twice; datasets redraw it
    first, second = drawn(preset, 3), drawn(preset, 3)
    assert first.params == second.params
    assert first.probabilities().tobytes() == second.probabilities().tobytes()


@pytest.mark.parametrize("preset", PRESETS)
def test_stored_circuits_come_back(preset, device):
    table, measured = compiled(preset, device, 5)
    column = instructions_column(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema([("instructions", column.type)])) as writer:
        writer.write_batch(pa.record_batch([column], names=["instructions"]))
    stored = pa.ipc.open_file(sink.getvalue()).read_all()["instructions"]
    back = instruction_table(stored, 5)
    assert [back.circuit(k) for k in range(5)] == [table.circuit(k) for k in range(5)]
    assert back.circuit_ids(measured) == table.circuit_ids(measured)


@pytest.mark.parametrize("case", CASES)
def test_params_are_small_json(case):
    for seed in range(5):
        params = drawn(case, seed).params
        text = json.dumps(params, sort_keys=True)
        assert json.loads(text) == params
        assert len(text) < 400


@pytest.mark.parametrize("n", [2, 3, 4, 7, 10])
@pytest.mark.parametrize("preset", PRESETS)
def test_registers_from_two_to_ten_qubits(preset, n):
    if (preset, n) in IMPOSSIBLE:
        with pytest.raises(ValidationError, match=IMPOSSIBLE[preset, n]):
            drawn(preset, 1, n_qubits=n)
        return
    source = drawn(preset, 1, n_qubits=n)
    assert source.circuit.num_qubits == n
    expected = Statevector(source.circuit.decompose(reps=2)).probabilities()
    np.testing.assert_allclose(source.probabilities(), expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind != "mixed"])
def test_no_range_may_be_empty(kind):
    fields = FAMILIES[kind].model_fields
    lows = [name for name in fields if name.endswith("_min")]
    for low in lows:
        high = low.removesuffix("_min") + "_max"
        bounds = {type(m).__name__: m for m in fields[low].metadata}
        least, most = bounds["Ge"].ge, bounds["Le"].le
        with pytest.raises(ValidationError, match=rf"{low} \({most}.*\) exceeds {high} \({least}"):
            build_family({"name": kind, low: most, high: least})
        with pytest.raises(ValidationError, match="greater than or equal"):
            build_family({"name": kind, low: least - 1})
    assert lows
