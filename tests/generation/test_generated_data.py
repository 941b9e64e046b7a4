"""Datasets have the same bytes on every processor: families, noises, compilers, devices."""

import json
import subprocess
import sys
from pathlib import Path

import generated_data
import pytest

from restricted import restricted_processor

#: Content hashes. Another one means that the bytes of every dataset of that kind have changed:
#: the schema version rises, and the data are made again. A new kind's hash is added.
HASHES = {
    "pauli": "07f7f1cc0af21b6c",
    "family bernstein_vazirani": "dbb79e55029088a7",
    "family clifford": "114074994719347d",
    "family ghz": "436d2b0991068cb6",
    "family grover": "a3b0671dde8e3595",
    "family mixed": "46f1ffeeff7e2052",
    "family near_clifford": "18c94d0dea605fe9",
    "family pauli_published": "b93e7fe6acea54cb",
    "family qaoa": "02018824ba2fdad9",
    "family qaoa_regular": "f9eb1cab1c96064f",
    "family qft": "56949505a238aea4",
    "family random": "0347eb471cf8a4ea",
    "family random_native": "f28abd363c15aadc",
    "family reversible": "78d2f594a22e6025",
    "family state_preparation": "e8122ede07c9ac43",
    "family trotter": "8aa49ac9d6df04d6",
    "family trotter_heisenberg": "241fc3cf977d9141",
    "family vqe": "ebcad3b526056c33",
    "family vqe_h2": "19f61a8a6aba9221",
    "family vqe_heisenberg": "01b6b75fea3c6e58",
    "noise surrogate_algiers": "fd82707fd3db92b1",
    "noise surrogate_hardware": "8046ff61719dbe0a",
    "noise surrogate_twirled": "89b837eb04237f51",
    "noise worlds": "4e33eeddbfcb9bdc",
    "compiler direct": "02d98f80435669cb",
    "compiler qiskit, level 0": "58a149cbad110a16",
    "simulator aer": "d93e24eef0ef6806",
    "twirling": "54c22dbb306787b8",
    "calibrations drift": "e083fce9d949a771",
    "calibrations randomized": "7c8c3e5ae7fbcec1",
    "measured qubits": "1b0f1c499a6d37d2",
    "worlds": "f785d1cc8066d48d",
    "gates ecr": "a164866e8da3c8aa",
    "gates cz": "f7eb877f18e941b0",
}


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return generated_data.hashes()


def test_the_bytes_are_those_of_every_other_machine(here):
    assert {name: here[name] for name in HASHES} == HASHES


def test_the_bytes_hang_on_no_instruction_set(here):
    printed = subprocess.run(
        [sys.executable, Path(generated_data.__file__)],
        env=restricted_processor(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(printed.stdout) == here
