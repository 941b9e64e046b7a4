"""The evolution in torch: on CPU or GPU, differentiable in every channel.

Circuits advance together, one channel each a step. It is the slower path on a processor; use
it for gradients and on a GPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qmend.simulation.program import Program, z_strings


def evolve(program: Program, every: bool = False) -> Tensor:
    """Evolve \\|0...0>; (N, 2^n) parities <Z_s> of the final states, s a set of qubits.

    They have the type and the device of the program's channels.

    Args:
        every: return (N, 4^n) Pauli coefficients Tr(P rho) instead; base 4 digit q of the index is
            the letter I, X, Y, Z on qubit q.
    """
    program.check_size()
    n, count, one, two = program.n_qubits, len(program), program.one, program.two
    device = one.device
    strings = torch.from_numpy(z_strings(n)).to(device)
    start = torch.zeros(4**n, dtype=one.dtype, device=device)
    start[strings] = 1.0
    state = start.expand(count, -1)  # (N, 4^n)
    lengths = np.diff(program.offsets)
    for step in range(int(lengths.max(initial=0))):
        live = np.flatnonzero(lengths > step)
        at = program.offsets[live] + step
        first, second, row = program.first[at], program.second[at], program.row[at]
        parts, order = [], []
        still = np.flatnonzero(lengths <= step)
        if len(still):
            parts.append(state[torch.from_numpy(still).to(device)])
            order.append(still)
        # Circuits whose channel acts on the same qubits share one matrix product.
        for key in np.unique(first * (n + 1) + second + 1):
            a, b = int(key) // (n + 1), int(key) % (n + 1) - 1
            chosen = np.flatnonzero((first == a) & (second == b))
            table = one if b < 0 else two
            matrices = table[torch.from_numpy(row[chosen]).to(device)]
            states = state[torch.from_numpy(live[chosen]).to(device)]
            parts.append(_apply(states, matrices, [a] if b < 0 else [a, b], n))
            order.append(live[chosen])
        place = torch.from_numpy(np.argsort(np.concatenate(order))).to(device)
        state = torch.cat(parts)[place]
    return state if every else state[:, strings]


def _apply(states: Tensor, matrices: Tensor, qubits: list[int], n: int) -> Tensor:
    """(M, 4^n) states, (M, 4^k, 4^k) channels on the same k qubits."""
    # The axis of qubit q, the least significant last; the channel's own first qubit last too.
    axes = [n - q for q in reversed(qubits)]
    shape = (len(states), *(4,) * n)
    tensor = states.reshape(shape).movedim(axes, list(range(1, len(axes) + 1)))
    moved = tensor.shape
    product = torch.bmm(matrices, tensor.reshape(len(states), 4 ** len(axes), -1))
    back = product.reshape(moved).movedim(list(range(1, len(axes) + 1)), axes)
    return back.reshape(len(states), -1)
