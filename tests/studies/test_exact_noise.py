"""A network that knows the noise: what it is told is exact, and nothing of the ideal output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmend.datasets.config import DatasetConfig, recipe_configs
from qmend.datasets.table import Dataset, load_dataset
from qmend.encodings.paths import PathsEncoding
from qmend.generation.generate import generate
from qmend.generation.setup import generation_setup
from qmend.noise.error_maps import error_rows, noiseless_program
from qmend.noise.readout import apply_readout
from qmend.simulation.differentiable import evolve
from qmend.simulation.program import z_strings
from qmend.studies.exact_noise import (
    FACTOR,
    REST,
    KnownNoise,
    KnownNoiseEncoding,
    known_noise,
)
from qmend.types import QmendError


@pytest.fixture(scope="module")
def surrogate(tiny_config, device_config, tmp_path_factory) -> Dataset:
    noise = {"name": "surrogate_hardware"}
    config = DatasetConfig.model_validate({**tiny_config.model_dump(), "noise": noise})
    folder = tmp_path_factory.mktemp("known") / "tiny"
    generate(config, device_config, folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def known(surrogate: Dataset) -> KnownNoise:
    progress = []
    noise = known_noise(surrogate, lambda done, total: progress.append((done, total)))
    assert progress[-1] == (len(surrogate.rows), len(surrogate.rows))
    return noise


def test_a_few_circuits_at_a_time_give_the_same(surrogate, known, monkeypatch):
    monkeypatch.setattr("qmend.studies.exact_noise._ENTRIES", 3 * 8**5)
    again = known_noise(surrogate)
    np.testing.assert_array_equal(again.factors, known.factors)
    np.testing.assert_array_equal(again.rest, known.rest)


def job_of(dataset: Dataset, row: int) -> int:
    return int(str(dataset.rows.job_id[row]).rsplit("-", 1)[1])


def test_the_factors_are_those_of_the_noise_that_made_the_data(surrogate, known):
    """The whole error map, with the ideal coefficients, gives the stored noisy distribution."""
    shared = generation_setup(*recipe_configs(surrogate.manifest.recipe))
    strings = z_strings(5)
    for row in (0, 37, 95):
        part = surrogate.rows.circuits.instructions.select(np.array([row]))
        job = job_of(surrogate, row)
        executor = shared.executor(job)
        ideal = noiseless_program(executor.gates, part)
        state = evolve(ideal, every=True).numpy()[0]
        distances = []
        for k in (job, job + 1):
            (rows,) = error_rows(executor.program(part, k), ideal)
            noisy = from_parities(rows @ state)
            measured = apply_readout(noisy[None], executor.readout)[0]
            distances.append(np.abs(measured - surrogate.rows.noisy_exact[row]).max())
            if k == job:
                np.testing.assert_allclose(known.factors[row], np.diagonal(rows[:, strings]))
                others = np.delete(rows, strings, axis=1)
                np.testing.assert_allclose(known.rest[row] ** 2, (others**2).sum(axis=1), rtol=1e-5)
        assert distances[0] < 1e-6 < 1e-4 < distances[1]  # the constants drift from job to job


def from_parities(parities: np.ndarray) -> np.ndarray:
    """Probabilities in chain order: qubit q is bit q of the outcome."""
    size = len(parities)
    overlap = np.array([[(a & b).bit_count() for b in range(size)] for a in range(size)])
    return (-1.0) ** overlap @ parities / size


def test_the_network_is_told_both_and_nothing_else_changes(surrogate, known):
    circuits = surrogate.part("test").circuits
    tokens, mask = KnownNoiseEncoding(known).tokens(circuits)
    plain, expected_mask = PathsEncoding().tokens(circuits)
    factors, rest = known.of(circuits)
    np.testing.assert_allclose(np.exp(-tokens[..., FACTOR]), factors[..., None] * [1, 1], rtol=1e-5)
    np.testing.assert_allclose(tokens[..., REST], rest[..., None] * [1, 1], rtol=1e-6)
    # Sampled paths estimate the gates' part of the factor; the exact one holds idling, too.
    for column in FACTOR:
        pair = plain[:, 1:, column].ravel(), tokens[:, 1:, column].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.8
    others = np.setdiff1d(np.arange(tokens.shape[2]), [*FACTOR, *REST])
    np.testing.assert_array_equal(tokens[..., others], plain[..., others])
    np.testing.assert_array_equal(mask, expected_mask)
    uniform = replace(circuits, noisy=np.full_like(circuits.noisy, 1 / 32))
    np.testing.assert_array_equal(KnownNoiseEncoding(known).tokens(uniform)[0], tokens)


def test_a_parity_of_measured_qubits_has_the_noise_that_it_has_among_all(tiny, partly_measured):
    """The same gates under the same noise, once measured whole and once in part."""
    whole, partly = known_noise(tiny), known_noise(partly_measured)
    seen = set()
    for group in partly_measured.groups:
        row = [whole.row[name] for name in group.circuits.instructions.circuit_ids()]
        found = partly.of(group.circuits)
        for k, qubits in enumerate(group.circuits.positions.tolist()):
            parities = [
                sum(1 << qubit for bit, qubit in enumerate(qubits) if s >> bit & 1)
                for s in range(2 ** len(qubits))
            ]
            for values, all_values in zip(found, (whole.factors, whole.rest), strict=True):
                np.testing.assert_allclose(values[k], all_values[row[k], parities], rtol=1e-6)
        seen.add(group.circuits.n_measured)
    assert seen == {2, 3, 4, 5}
    train = [part.circuits for part in partly_measured.parts("train")]
    batch = KnownNoiseEncoding(partly).fit(*train)(train[0])
    assert batch.tokens.shape[1] == 4


def test_measured_data_are_refused(surrogate):
    measured = surrogate.manifest.model_copy(update={"origin": "collected"})
    with pytest.raises(QmendError, match=r"was measured, .* choose a simulated dataset"):
        known_noise(replace(surrogate, manifest=measured))
