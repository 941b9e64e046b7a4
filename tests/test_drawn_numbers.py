"""What a seed draws has the same bits on every processor, whatever instructions it has."""

import json
import subprocess
import sys
from pathlib import Path

import drawn_numbers
from restricted import restricted_processor

#: Of :mod:`drawn_numbers`. They change only with what a seed draws, and all data with them.
HASHES = {
    "vqe ising hardware_efficient": "e8cd0193e5366f9f",
    "vqe ising ucc": "4ec90902c910cf33",
    "vqe heisenberg hardware_efficient": "eae71b01ea8b92e0",
    "vqe heisenberg ucc": "5dde6092f79a4412",
    "vqe h2 hardware_efficient": "87c4949d9e0dd4c3",
    "vqe h2 ucc": "92c9bf5517d8e746",
    "molecules": "f383958ad841686c",
    "qaoa": "6b5a30225d6fb55b",
    "trotter": "09f1660c3599ba46",
    "near_clifford": "48ab42cfcc1782b4",
    "drift": "f5ea24e72fdf6b0b",
    "randomized": "6a27d4ccbdd38b75",
    "fitted": "acc7c0c1783b307a",
}


def test_the_bits_are_those_of_every_other_machine():
    assert drawn_numbers.hashes() == HASHES


def test_the_bits_hang_on_no_instruction_set():
    script = Path(drawn_numbers.__file__)
    printed = subprocess.run(
        [sys.executable, script],
        env=restricted_processor(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(printed.stdout) == HASHES
