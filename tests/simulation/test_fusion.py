"""Fused programs are the same circuits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmend.circuits.families import build_family
from qmend.circuits.gadgets import GadgetCompiler
from qmend.circuits.instructions import InstructionTable
from qmend.noise.config import SurrogateConfig
from qmend.noise.surrogate import SurrogateNoise
from qmend.simulation import differentiable, kernel
from qmend.simulation.fusion import Fusion


@pytest.fixture(scope="module")
def table(algiers) -> InstructionTable:
    compile_one = GadgetCompiler(5, algiers.native_gates, algiers.edges)
    family = build_family({"name": "pauli", "n_qubits": 5})
    drawn = [family.draw(np.random.default_rng(k)).gadgets[:1] for k in range(3)]
    empty, one_qubit = [], [("sx", 3, -1, 0.0), ("x", 3, -1, 0.0), ("rz", 1, -1, 0.4)]
    exchanged = [("cx", 2, 1, 0.0), ("sx", 1, -1, 0.0), ("cx", 1, 2, 0.0), ("cx", 3, 2, 0.0)]
    circuits = [*(compile_one(g) for g in drawn), empty, one_qubit, exchanged]
    return InstructionTable.from_circuits(5, circuits)


@pytest.mark.parametrize("idle_zz", [0.0, 0.4])
def test_it_gives_the_same_state(algiers, table, idle_zz):
    config = SurrogateConfig(name="surrogate_hardware", idle_zz=idle_zz)
    noise = SurrogateNoise(algiers.calibration, algiers.layout, config)
    program = noise.program(table, 0)
    fused = Fusion.of(program).program(program.one, program.two)
    assert len(fused.row) < len(program.row) / 4
    expected = differentiable.evolve(program, every=True).numpy()
    np.testing.assert_allclose(
        differentiable.evolve(fused, every=True).numpy(), expected, atol=1e-12
    )


def test_the_structure_serves_other_channels(algiers, table):
    """Found once from one program, used for another with the same sequence."""
    noise = SurrogateNoise(
        algiers.calibration, algiers.layout, SurrogateConfig(name="surrogate_hardware")
    )
    fusion = Fusion.of(noise.plan(table).sequence)
    other = noise.program(table, 7)
    found = differentiable.evolve(fusion.program(other.one, other.two))
    np.testing.assert_allclose(found.numpy(), kernel.evolve(other, np.float64), atol=1e-12)


def test_gradients_pass_through(algiers, table):
    program = SurrogateNoise(
        algiers.calibration, algiers.layout, SurrogateConfig(name="surrogate_hardware")
    ).program(table.select(np.array([5])), 0)
    fusion = Fusion.of(program)
    gradients = []
    for fuse in (True, False):
        two = program.two.clone().requires_grad_()
        run = fusion.program(program.one, two) if fuse else program
        if not fuse:
            run = type(program)(**{**vars(program), "two": two})
        differentiable.evolve(run)[:, [2, 4, 6, 14]].sum().backward()
        gradients.append(two.grad)
    assert float(gradients[0].abs().max()) > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-10, rtol=0)
