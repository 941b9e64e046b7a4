"""A processor of few instructions, pretended to subprocesses."""

import os

import numpy as np


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
