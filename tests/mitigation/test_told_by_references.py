"""References of the same job tell a conditioned network of the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeSherbrooke

import qmend
from qmend.circuits.instructions import InstructionTable
from qmend.circuits.measured import measured_circuit
from qmend.circuits.references import known_ideal
from qmend.circuits.statevector import to_bit_order
from qmend.datasets.table import Dataset
from qmend.devices.calibration import Calibration
from qmend.devices.device import Device
from qmend.encodings import ENCODINGS
from qmend.generation.execution import Execution
from qmend.mitigation.baselines import ReadoutInversion
from qmend.mitigation.baselines.clifford_data_regression import CliffordDataRegression
from qmend.mitigation.counts import CountsMitigator, find_calibration
from qmend.mitigation.learned import LearnedMitigator
from qmend.mitigation.measurement import place_circuit
from qmend.models.base import Dimensions, build_model, model_config
from qmend.models.trained import TrainedModel
from qmend.noise.config import AerNoiseConfig
from qmend.noise.paths import FEATURES
from qmend.types import QmendError

LAYOUT, SHOTS = (0, 1, 2, 3, 5), 20_000


@pytest.fixture(scope="module")
def mitigator(tiny: Dataset) -> CountsMitigator:
    """The operator as it starts: the inverse of the model at the numbers' means, filtered."""
    return conditioned(tiny, "device_paths", 10)


def conditioned(tiny: Dataset, name: str, numbers: int) -> CountsMitigator:
    torch.manual_seed(0)
    sizes = {"name": "walsh_operator", "channels": 4, "blocks": 1, "encoding": name}
    config, dimensions = model_config(sizes), Dimensions(5, len(FEATURES), 3, numbers)
    encoding = ENCODINGS[name]().fit(tiny.rows.circuits)
    model = TrainedModel(build_model(config, dimensions), config, dimensions, encoding)
    return CountsMitigator(LearnedMitigator(model))


@pytest.fixture(scope="module")
def worse(algiers: Device) -> Calibration:
    """A device with three times the errors that ibm_algiers shows."""
    plain = algiers.calibration.model_dump(mode="json")
    for item in plain["qubits"]:
        item["readout_error"] *= 3
    for item in plain["gates"]:
        item["error"] = 3 * item["error"] if item["error"] is not None else None
    return Calibration.parse(plain, "worse")


def target(seed: int, n: int = 4, clbits: int = 4) -> QuantumCircuit:
    """A circuit of any angles as it runs, measured into other bits than its own."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(n, clbits)
    for _ in range(3):
        for q in range(n):
            circuit.ry(rng.uniform(0, 1.5), q)
            circuit.rz(rng.uniform(0, 3), q)
        for q in range(n - 1):
            circuit.cx(q, q + 1)
    circuit.measure(range(clbits), rng.permutation(clbits).tolist())
    chain = list(LAYOUT[:n])
    return transpile(circuit, FakeAlgiers(), initial_layout=chain, seed_transpiler=0)


def measure(
    circuits: Sequence[QuantumCircuit], device: Calibration, seed: int
) -> list[dict[int, int]]:
    """Counts of circuits in one job on a device."""
    counts = []
    for number, circuit in enumerate(circuits):
        placed = place_circuit(circuit, device, None)
        table = InstructionTable.from_circuits(len(placed.layout), [placed.instructions])
        job = Execution(
            table,
            np.array([placed.measured]),
            [np.random.SeedSequence([seed, number])],
            np.array([SHOTS]),
            AerNoiseConfig().build(device.restrict(placed.layout), placed.layout),
            job=0,
            randomizations=0,
        )
        ((own,), _) = job.sample()
        counts.append({outcome: int(c) for outcome, c in enumerate(own)})
    return counts


def test_nine_references_bring_a_worse_device_nearer_to_the_ideal(mitigator, worse):
    """Its calibration shows a third of its errors; the target's label takes no part."""
    errors = []
    for seed in range(4):
        circuit = target(seed)
        references = qmend.construct_references(circuit, 9, seed=seed)
        own, *others = measure([circuit, *references], worse, seed)
        told = list(zip(others, references, strict=True))
        ideal = measured_circuit(circuit).probabilities()
        results = [
            mitigator.mitigate(own, circuit, "FakeAlgiers", references=told[:count]).probabilities
            for count in (0, 1, 9)
        ]
        errors.append([np.abs(result - ideal).sum() for result in results])
    none, one, nine = np.mean(errors, axis=0)
    assert nine < 0.75 * none
    assert nine < one < none


def test_references_of_any_size_tell_of_every_circuit_of_a_list(mitigator, worse):
    circuits = [target(0), target(1, n=3, clbits=2)]
    references = [qmend.construct_references(c, 2)[1] for c in circuits]
    counts = measure([*circuits, *references], worse, 0)
    told = list(zip(counts[2:], references, strict=True))
    both = mitigator.mitigate(counts[:2], circuits, "FakeAlgiers", references=told)
    for own, circuit, result in zip(counts, circuits, both, strict=False):
        alone = mitigator.mitigate(own, circuit, "FakeAlgiers", references=told[::-1])
        np.testing.assert_allclose(alone.probabilities, result.probabilities, atol=1e-6)
        without = mitigator.mitigate(own, circuit, "FakeAlgiers")
        assert np.abs(without.probabilities - result.probabilities).max() > 1e-3


def test_a_circuit_that_is_compiled_here_counts_as_submitted(mitigator, worse):
    """Its gates are an estimate, which widens the prior."""
    source = QuantumCircuit(2, 2)
    source.h(0)
    source.cx(0, 1)
    source.measure([0, 1], [0, 1])
    counts = {0: 450, 3: 450, 1: 100}
    compiled = mitigator.construct_circuits(source, "FakeAlgiers", layout=[0, 1])
    as_it_ran = mitigator.mitigate(counts, compiled[0], "FakeAlgiers")
    estimated = mitigator.mitigate(counts, source, "FakeAlgiers", layout=[0, 1])
    assert np.abs(as_it_ran.probabilities - estimated.probabilities).max() > 1e-3


def test_thirty_qubits_are_mitigated_without_a_statevector(mitigator):
    """Eight of them are measured. The counts are of another circuit and of a perfect device."""
    source = QuantumCircuit(30, 8)
    for q in range(30):
        source.ry(0.1 * q, q)
    for q in range(29):
        source.cx(q, q + 1)
    source.measure(range(0, 16, 2), range(8))
    circuit = transpile(source, FakeSherbrooke(), optimization_level=1, seed_transpiler=0)
    references = qmend.construct_references(circuit, 3)
    placed = [place_circuit(r, find_calibration("FakeSherbrooke"), None) for r in references]
    table = InstructionTable.from_circuits(30, [p.instructions for p in placed])
    measured = np.array([p.measured for p in placed])
    ideal = to_bit_order(known_ideal(table, measured), measured)
    told = list(zip(SHOTS * ideal, references, strict=True))
    counts = {0: 300, 5: 100, 255: 200}
    with_references = mitigator.mitigate(counts, circuit, "FakeSherbrooke", references=told)
    without = mitigator.mitigate(counts, circuit, "FakeSherbrooke")
    for result in (with_references, without):
        assert result.probabilities.sum() == pytest.approx(1)
    assert np.abs(with_references.probabilities - without.probabilities).sum() > 0.01
    with pytest.raises(QmendError, match=r"30 qubits.*compile it for the device first"):
        mitigator.mitigate(counts, source, "FakeSherbrooke")
    wide = QuantumCircuit(30)
    wide.sx(range(30))
    wide.measure_all()
    with pytest.raises(QmendError, match="measures 30 bits; distributions have 20 at most"):
        mitigator.mitigate(counts, wide, "FakeSherbrooke")
    regression = CountsMitigator(CliffordDataRegression())
    circuits = regression.construct_circuits(circuit, "FakeSherbrooke")
    with pytest.raises(QmendError, match="30 qubits have too large a statevector"):
        regression.combine_results([counts] * len(circuits), circuits, "FakeSherbrooke")


def test_what_can_be_no_reference_is_refused(mitigator, tiny, worse):
    circuit = target(0)
    (reference,) = qmend.construct_references(circuit, 1)
    own, counts = measure([circuit, reference], worse, 0)

    def ask(asked: CountsMitigator, *references: tuple[object, QuantumCircuit]) -> None:
        asked.mitigate(own, circuit, "FakeAlgiers", references=references)

    for other in (conditioned(tiny, "paths", 0), CountsMitigator(ReadoutInversion())):
        with pytest.raises(QmendError, match=r"takes no references.*device_paths"):
            ask(other, (counts, reference))
    with pytest.raises(QmendError, match=r"Of the references, it has .* RZ that are no quarter"):
        ask(mitigator, (own, circuit))
    submitted = QuantumCircuit(2)
    submitted.h(0)
    submitted.measure_all()
    with pytest.raises(QmendError, match=r"Circuit 0 .*gate 'h'.*compile it"):
        qmend.construct_references(submitted, 1)
    with pytest.raises(QmendError, match="Reference 1 is not in native gates"):
        ask(mitigator, (counts, reference), ({"00": 10, "01": 10}, submitted))
    with pytest.raises(QmendError, match=r"Of the references: Circuit 0 .*counts are empty"):
        ask(mitigator, ({}, reference))
