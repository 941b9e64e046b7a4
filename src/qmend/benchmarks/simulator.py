"""The batched simulator against Aer's density matrix on the same circuits."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from rich.table import Table

from qmend.benchmarks.alternating import Timings, alternate, empty_table, one_core
from qmend.benchmarks.circuits import ALGIERS, SHOTS, pauli_table
from qmend.devices.device import Device, load_device
from qmend.gates import TWO_QUBIT
from qmend.noise.aer import aer_circuit, device_noise_model
from qmend.noise.device_noise import DeviceNoise
from qmend.noise.readout import apply_readout, readout_matrices
from qmend.simulation.outputs import probabilities
from qmend.simulation.sampling import sample_counts
from qmend.types import FloatArray


def bench_simulator(circuits: int, repeats: int) -> tuple[Table, dict[str, Any]]:
    """Measure both simulators on one table of instructions, the whole batch in one call.

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
    summary = {
        "bench": "simulator",
        **timings.rounded_ratio("ratio", "aer", "ptm", 1),
        **timings.rounded_ratio("ratio_counts", "aer counts", "ptm counts", 1),
        "circuits": circuits,
        "two_qubit_median": float(np.median(table.count(*TWO_QUBIT))),
        "max_abs_diff": difference,
        "max_abs_diff_float32": difference32,
    }
    return _table(timings, circuits), summary


def with_readout(device: Device) -> NoiseModel:
    """Build the noise model that Aer samples counts under: gate noise and readout error."""
    model = device_noise_model(device.calibration, device.layout)
    for k, matrix in enumerate(readout_matrices(device.calibration, device.layout)):
        model.add_readout_error(ReadoutError(matrix.T.tolist()), [k])
    return model


def aer_simulator(model: NoiseModel) -> AerSimulator:
    """Make Aer's density matrix simulator for one core."""
    return AerSimulator(
        method="density_matrix",
        noise_model=model,
        max_parallel_threads=1,
        max_parallel_experiments=1,
    )


def _table(timings: Timings, circuits: int) -> Table:
    title = f"{circuits} Pauli circuits, one core"
    table = empty_table(title, "program", "ms a circuit", "against Aer")
    for name in timings.seconds:
        rival = "aer counts" if name.endswith("counts") else "aer"
        ratio = timings.median(rival) / timings.median(name)
        per_circuit = 1e3 * timings.median(name) / circuits
        table.add_row(name, f"{per_circuit:.3f}", "-" if name == rival else f"{ratio:.0f}x")
    return table
