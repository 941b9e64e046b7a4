"""Counts of Qiskit circuits reach a mitigator as the same circuits of a dataset do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, transpile
from qiskit.circuit import ClassicalRegister, Clbit, QuantumRegister, Qubit
from qiskit.primitives import BitArray
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

from qmend.circuits.statevector import to_bit_order
from qmend.datasets.table import Dataset, LabelledCircuits
from qmend.devices.providers import fake_calibration
from qmend.mitigation.baselines import PathInversion, ReadoutInversion
from qmend.mitigation.counts import CountsMitigator
from qmend.types import QmendError

BACKEND = FakeAlgiers()


@pytest.fixture(scope="module")
def fitted(tiny: Dataset) -> PathInversion:
    mitigator = PathInversion()
    mitigator.fit(tiny.part("train"))
    return mitigator


def executed(rows: LabelledCircuits, row: int) -> tuple[QuantumCircuit, np.ndarray]:
    """A stored circuit as it ran on ibm_algiers, and its counts by outcome, bits as measured."""
    circuits, measured = rows.circuits, rows.circuits.measured[row]
    layout = circuits.layouts[circuits.calibration_index[row]]
    circuit = QuantumCircuit(27, len(measured))
    for gate, first, second, angle in circuits.instructions.circuit(row):
        at = [layout[k] for k in (first, second) if k >= 0]
        getattr(circuit, gate)(*([angle] if gate == "rz" else []), *at)
    for bit, position in enumerate(measured.tolist()):
        circuit.measure(layout[position], bit)
    noisy = to_bit_order(circuits.noisy[[row]], measured[None])[0]
    return circuit, np.rint(noisy * circuits.shots[row]).astype(int)


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "bitstrings": lambda counts: {f"{k:05b}": int(c) for k, c in enumerate(counts) if c},
    "numbers": lambda counts: {k: int(c) for k, c in enumerate(counts)},
    "hexadecimal": lambda counts: {hex(k): int(c) for k, c in enumerate(counts) if c},
    "array of counts": lambda counts: counts,
    "BitArray": lambda counts: BitArray.from_counts({k: int(c) for k, c in enumerate(counts)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_counts_gives_what_the_dataset_s_row_gives(
    tiny: Dataset, fitted: PathInversion, form: str
) -> None:
    row = 3
    circuit, counts = executed(tiny.rows, row)
    expected = to_bit_order(
        fitted.mitigate(tiny.rows.circuits.select(np.array([row]))),
        tiny.rows.circuits.measured[[row]],
    )[0]
    result = CountsMitigator(fitted).mitigate(FORMS[form](counts), circuit, BACKEND)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-12)
    assert result.shots == counts.sum()


def test_unmeasured_qubits_are_part_of_the_circuit(
    partly_measured: Dataset, fitted: PathInversion
) -> None:
    """A list of circuits that measure two to five qubits gives what the dataset's rows give."""
    pairs = [executed(group, 1) for group in partly_measured.groups]
    mitigator = CountsMitigator(fitted)
    results = mitigator.mitigate([c for _, c in pairs], [c for c, _ in pairs], BACKEND)
    for group, result in zip(partly_measured.groups, results, strict=True):
        expected = to_bit_order(fitted.mitigate(group.circuits), group.circuits.measured)[1]
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-12)


def test_probabilities_need_their_shots(tiny: Dataset, fitted: PathInversion) -> None:
    circuit, counts = executed(tiny.rows, 3)
    mitigator = CountsMitigator(fitted)
    shots = int(counts.sum())
    expected = mitigator.mitigate(counts, circuit, BACKEND)
    result = mitigator.mitigate(counts / shots, circuit, BACKEND, shots=shots)
    np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-12)
    with pytest.raises(QmendError, match="give shots="):
        mitigator.mitigate(counts / shots, circuit, BACKEND)


def test_a_list_gives_a_list_each_as_alone(tiny: Dataset, fitted: PathInversion) -> None:
    pairs = [executed(tiny.rows, row) for row in (0, 5, 9)]
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    pairs.insert(1, (bell, np.array([480, 30, 20, 470])))
    mitigator = CountsMitigator(fitted)
    together = mitigator.mitigate([c for _, c in pairs], [c for c, _ in pairs], BACKEND)
    for result, (circuit, counts) in zip(together, pairs, strict=True):
        alone = mitigator.mitigate(counts, circuit, BACKEND)
        np.testing.assert_allclose(result.probabilities, alone.probabilities, atol=1e-12)
    with pytest.raises(QmendError, match="There are 4 circuits and the counts of 1; give"):
        mitigator.mitigate({"00": 1}, [c for c, _ in pairs], BACKEND)


def test_results_are_in_the_circuit_s_bit_order_registers_and_all() -> None:
    """Readout inversion of a basis state gives that state back, wherever its bits lie."""
    qubits, low, high = QuantumRegister(3), ClassicalRegister(2, "low"), ClassicalRegister(2, "hi")
    circuit = QuantumCircuit(qubits, low, high)
    circuit.x(0)
    circuit.measure([0, 1, 2], [high[0], low[1], low[0]])  # high[1] stays 0
    result = CountsMitigator(ReadoutInversion()).mitigate(
        {"01 00": 960, "00 00": 40}, circuit, "FakeAlgiers"
    )
    best = max(result.to_dict().items(), key=lambda item: item[1])
    assert best[0] == "01 00"
    assert best[1] > 0.96
    assert result.clbits == (0, 1, 2)
    assert sum(result.to_dict().values()) == pytest.approx(1)


def test_a_circuit_before_compilation_is_mended_too(fitted: PathInversion) -> None:
    """Three-qubit GHZ states measured under ibm_algiers's noise, given as they were written."""
    ghz = QuantumCircuit(3)
    ghz.h(0)
    ghz.cx(0, 1)
    ghz.cx(1, 2)
    ghz.measure_all()
    noisy = AerSimulator.from_backend(BACKEND, seed_simulator=1)
    chain = [0, 1, 2]
    isa_circuit = transpile(ghz, BACKEND, initial_layout=chain, seed_transpiler=0)
    counts = noisy.run(isa_circuit, shots=20_000).result().get_counts()
    ideal = np.zeros(8)
    ideal[[0, 7]] = 0.5

    def distance(probabilities: np.ndarray) -> float:
        return float(np.abs(probabilities - ideal).sum())

    before = distance(np.array([counts.get(f"{k:03b}", 0) for k in range(8)]) / 20_000)
    mitigator = CountsMitigator(fitted)
    written = mitigator.mitigate(counts, ghz, BACKEND, layout=chain)
    compiled = mitigator.mitigate(counts, isa_circuit, BACKEND)
    assert distance(written.probabilities) < 0.5 * before
    np.testing.assert_allclose(written.probabilities, compiled.probabilities, atol=0.01)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2, name="bell")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure(range(2), range(2))
    return circuit


#: Of a circuit with a parameter, for two values of it.
TWO_SETS = BitArray.from_bool_array(np.zeros((2, 7, 2), dtype=bool))


@pytest.mark.parametrize(
    ("counts", "circuit", "calibration", "sentence"),
    [
        ({"000": 5}, bell(), BACKEND, "Circuit 0 (bell): the outcome '000' does not fit"),
        ({"00": 0, "11": 0}, bell(), BACKEND, "empty, negative or not finite"),
        ({"00": "5"}, bell(), BACKEND, "the outcome '00' has the value '5', which is no number"),
        ({"00": 1.0}, bell(), BACKEND, "probabilities need the number of shots"),
        ([{"00": 5}], bell(), BACKEND, "its outcomes have shape (1,) and type object"),
        (TWO_SETS, bell(), BACKEND, "its BitArray has 2 parameter sets; give each alone"),
        (TWO_SETS[0].slice_bits([0]), bell(), BACKEND, "has 1 bits, the circuit 2 classical"),
        ({"0b": 5}, bell(), BACKEND, "neither bits nor a number"),
        ({4: 5}, bell(), BACKEND, "does not fit the circuit's 2 classical bits"),
        ({"00": -5}, bell(), BACKEND, "empty, negative or not finite"),
        ({"00": float("nan")}, bell(), BACKEND, "empty, negative or not finite"),
        ({}, bell(), BACKEND, "empty, negative or not finite"),
        ({"00": 0.3, "11": 0.3}, bell(), BACKEND, "its probabilities sum to 0.6, not 1"),
        (np.ones(8), bell(), BACKEND, "its outcomes have shape (8,)"),
        ({"00": 5}, bell(), AerSimulator(), "has no calibration"),
        ({"00": 5}, bell(), "FakeAlgier", "Did you mean 'FakeAlgiers'?"),
        ({"00": 5}, bell(), "nowhere.json", "nowhere.json does not exist"),
    ],
)
def test_what_can_t_be_taken_is_refused_in_one_sentence(
    counts: Any, circuit: QuantumCircuit, calibration: Any, sentence: str
) -> None:
    with pytest.raises(QmendError, match=re.escape(sentence)) as caught:
        CountsMitigator(ReadoutInversion()).mitigate(counts, circuit, calibration)
    assert "\n" not in str(caught.value)


def test_a_network_that_diverged_mitigates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its NaN would be left out of the counts."""
    mitigator = ReadoutInversion()
    monkeypatch.setattr(mitigator, "mitigate", lambda batch: np.full_like(batch.noisy, np.nan))
    with pytest.raises(QmendError, match="mitigated distribution is not finite"):
        CountsMitigator(mitigator).mitigate({"00": 5}, bell(), BACKEND)


@pytest.mark.parametrize("within", [False, True])
def test_a_gate_that_is_not_what_its_name_says_is_refused(within: bool) -> None:
    """A compiler takes it for Qiskit's; one that is the same by its definition is taken."""

    def measured(body: str) -> QuantumCircuit:
        name = "outer" if within else "swap"
        return qasm2.loads(
            'OPENQASM 2.0; include "qelib1.inc"; '
            f"gate swap a,b {{ {body} }} gate outer a,b {{ swap a,b; }} "
            f"qreg q[2]; creg c[2]; x q[0]; {name} q[0],q[1]; measure q->c;"
        )

    mitigator = CountsMitigator(ReadoutInversion())
    mitigator.mitigate({"10": 100}, measured("cx a,b; cx b,a; cx a,b;"), BACKEND)
    with pytest.raises(QmendError, match="its gate 'swap' is defined otherwise than Qiskit's"):
        mitigator.mitigate({"01": 100}, measured("id a;"), BACKEND)


@pytest.mark.parametrize("counts", [{"10": 1}, {2: np.int64(1)}, np.array([0, 0, 1, 0])])
def test_a_single_shot_is_a_count(counts: Any) -> None:
    result = CountsMitigator(ReadoutInversion()).mitigate(counts, bell(), BACKEND)
    assert result.shots == 1
    assert max(result.to_dict().items(), key=lambda item: item[1])[0] == "10"
    certain = CountsMitigator(ReadoutInversion()).mitigate(counts, bell(), BACKEND, shots=500)
    assert certain.shots == 500


def test_one_circuit_in_a_list_takes_the_counts_of_a_job_of_one() -> None:
    """Qiskit's ``get_counts`` and ``join_data`` then give them without a list."""
    mitigator = CountsMitigator(ReadoutInversion())
    alone = mitigator.mitigate(TWO_SETS[0], bell(), BACKEND)
    for counts in (TWO_SETS[0], [TWO_SETS[0]], {"00": 7}, [TWO_SETS[:1]]):
        (result,) = mitigator.mitigate(counts, [bell()], BACKEND)
        np.testing.assert_array_equal(result.probabilities, alone.probabilities)


def test_bitstrings_have_spaces_only_where_registers_hold_all_bits() -> None:
    """Classical bits outside of registers, and registers that share bits."""
    loose = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    loose.measure([0, 1], [0, 1])
    shared = QuantumCircuit(2, 2)
    shared.add_register(ClassicalRegister(bits=shared.clbits[:1], name="part"))
    shared.measure([0, 1], [0, 1])
    for circuit in (loose, shared):
        result = CountsMitigator(ReadoutInversion()).mitigate({"01": 100}, circuit, BACKEND)
        assert result.register_sizes == (2,)
        assert set(result.to_dict()) <= {"00", "01", "10", "11"}


def test_a_layout_has_a_qubit_for_each() -> None:
    with pytest.raises(QmendError, match="it uses 2 qubits, layout names 3"):
        CountsMitigator(ReadoutInversion()).mitigate(
            {"00": 5}, bell(), fake_calibration("FakeAlgiers"), layout=[0, 1, 2]
        )
