"""What a seed draws has the same bits on every processor, whatever instructions it has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import drawn_numbers

#: Of :mod:`drawn_numbers`. They change only with what a seed draws, and all data with them.
HASHES = {
    "vqe ising hardware_efficient": "824e8069c2f1c2e0",
    "vqe ising ucc": "af9385ed69712920",
    "vqe heisenberg hardware_efficient": "c727b24ca3a44704",
    "vqe heisenberg ucc": "96e6aea58f51ca87",
    "vqe h2 hardware_efficient": "b446807bffe7e620",
    "vqe h2 ucc": "c957ee66f590d246",
    "molecules": "f383958ad841686c",
    "qaoa": "64f64a6e4e5a7eba",
    "trotter": "09f1660c3599ba46",
    "near_clifford": "48ab42cfcc1782b4",
    "drift": "596bf71f2c857c5e",
    "randomized": "cea530915d52485a",
    "fitted": "975b16c821e3ca24",
}


def restricted_processor() -> dict[str, str]:
    """An environment in which NumPy, OpenBLAS, numba, the C library and torch all see a
    processor without fused multiplication and addition and without wide vectors."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(simd),
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "generic",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        "ATEN_CPU_CAPABILITY": "default",
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
