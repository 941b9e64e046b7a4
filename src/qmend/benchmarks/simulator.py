"""The batched simulator against Aer's density matrix on the same circuits."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from rich.table import Table

from qmend.benchmarks.alternating import Timings, alternate, one_core
from qmend.circuits.compilation import build_compiler
from qmend.circuits.families import build_family
from qmend.circuits.instructions import InstructionTable
from qmend.devices.device import Device, DeviceConfig, load_device
from qmend.gates import TWO_QUBIT
from qmend.noise.aer import aer_circuit, device_noise_model
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.simulation.outputs import probabilities
from qmend.simulation.sampling import sample_counts
from qmend.types import FloatArray

SHOTS = 20_000
ALGIERS = DeviceConfig(name="algiers", backend="FakeAlgiers", layout=(0, 1, 2, 3, 5))


def pauli_table(device: Device, circuits: int, compiler: str = "qiskit") -> InstructionTable:
    """Pauli circuits, T uniform on 3..9, compiled for the device (Qiskit: level 1)."""
    n = device.n_qubits
    family = build_family({"name": "pauli", "n_qubits": n})
    compile_one = build_compiler(compiler, n, device.native_gates, device.edges, 1)
    drawn = [family.draw(np.random.default_rng(seed)) for seed in range(circuits)]
    return InstructionTable.from_circuits(n, [compile_one(c).instructions for c in drawn])


def bench_simulator(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Both sides go from the instruction table to the result, the whole batch in one call.

    Noise models are built beforehand on both sides.
    """
    device = load_device(ALGIERS)
    calibration, layout = device.calibration, device.layout
    table = pauli_table(device, circuits)
    noise = DeviceNoise(calibration, layout)
    readout = readout_matrices(calibration, layout)
    exact_model = device_noise_model(calibration, layout)
    shots_model = with_readout(device)
    seeds = [np.random.SeedSequence([0, k]) for k in range(circuits)]

    def ptm(dtype: type = np.float64) -> FloatArray:
        return apply_readout(probabilities(noise.program(table), dtype), readout)

    def aer() -> FloatArray:
        prepared = [aer_circuit(table, i) for i in range(len(table))]
        for circuit in prepared:
            circuit.save_probabilities()
        result = aer_simulator(exact_model).run(prepared, shots=1).result()
        exact = np.array([result.data(i)["probabilities"] for i in range(len(prepared))])
        return apply_readout(exact, readout)

    def aer_counts() -> list[dict[str, int]]:
        prepared = [aer_circuit(table, i) for i in range(len(table))]
        for circuit in prepared:
            circuit.measure_all()
        result = aer_simulator(shots_model).run(prepared, shots=SHOTS, seed_simulator=1).result()
        return [result.get_counts(i) for i in range(len(prepared))]

    with one_core():
        reference = aer()
        difference = float(np.abs(ptm() - reference).max())
        difference32 = float(np.abs(ptm(np.float32) - reference).max())
        timings = alternate(
            {
                "ptm": ptm,
                "ptm float32": lambda: ptm(np.float32),
                "ptm counts": lambda: sample_counts(ptm(), SHOTS, seeds),
                "aer": aer,
                "aer counts": aer_counts,
            },
            repeats,
        )
    ratio, low, high = timings.ratio("aer", "ptm")
    counts, counts_low, counts_high = timings.ratio("aer counts", "ptm counts")
    summary = {
        "bench": "simulator",
        "ratio": round(ratio, 1),
        "ratio_lo": round(low, 1),
        "ratio_hi": round(high, 1),
        "ratio_counts": round(counts, 1),
        "ratio_counts_lo": round(counts_low, 1),
        "ratio_counts_hi": round(counts_high, 1),
        "circuits": circuits,
        "two_qubit_median": float(np.median(table.count(*TWO_QUBIT))),
        "max_abs_diff": difference,
        "max_abs_diff_float32": difference32,
    }
    return _table(timings, circuits), summary


def with_readout(device: Device) -> NoiseModel:
    """The device's gate noise with its readout error, for Aer to sample counts under."""
    model = device_noise_model(device.calibration, device.layout)
    for k, matrix in enumerate(readout_matrices(device.calibration, device.layout)):
        model.add_readout_error(ReadoutError(matrix.T.tolist()), [k])
    return model


def aer_simulator(model: NoiseModel) -> AerSimulator:
    """Aer's density matrix on one core."""
    return AerSimulator(
        method="density_matrix",
        noise_model=model,
        max_parallel_threads=1,
        max_parallel_experiments=1,
    )


def _table(timings: Timings, circuits: int) -> Table:
    table = Table(title=f"{circuits} Pauli circuits, one core", title_justify="left")
    for heading in ("program", "ms a circuit", "against Aer"):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for name in timings.seconds:
        rival = "aer counts" if name.endswith("counts") else "aer"
        ratio = timings.median(rival) / timings.median(name)
        per_circuit = 1e3 * timings.median(name) / circuits
        table.add_row(name, f"{per_circuit:.3f}", "-" if name == rival else f"{ratio:.0f}x")
    return table
