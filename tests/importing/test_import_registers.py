"""Registers: their spaces are read, and orders of them are among those compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from qmend.importing.bit_order import MeasuredCounts, check_bit_order
from qmend.importing.importer import import_file
from qmend.importing.order_search import best_order
from qmend.importing.orders import Bits, Order, parse_order, reorder, resolve_order
from qmend.importing.outcomes import outcome_counts
from qmend.importing.rows import ImportOptions
from qmend.types import QmendError

QISKIT = resolve_order("qiskit", [3, 2])


@pytest.mark.parametrize("key", ["01 110", "01110", " 01110", "0xe", "0x0E"])
def test_the_rightmost_group_is_the_first_register(key):
    assert outcome_counts({key: 5}, [3, 2], QISKIT) == {0b01110: 5}


@pytest.mark.parametrize("key", ["011 10", "0 1110", "0 1 1 1 0", "0111 0", "0x0 0xe"])
def test_groups_of_other_sizes_are_refused(key):
    with pytest.raises(QmendError, match=r"spaces elsewhere than between .* 2 and 3 bits|neither"):
        outcome_counts({key: 5}, [3, 2], QISKIT)


@pytest.mark.parametrize(
    ("order", "key", "refused"),
    [
        ("registers-reversed", "110 01", "01 110"),
        ("bits-reversed", "10 011", "011 10"),
        ("reversed", "011 10", "10 011"),
        ("3,4,0,1,2", "110 01", "01 110"),
    ],
)
def test_groups_are_registers_under_the_order_that_is_said(order, key, refused):
    named = resolve_order(parse_order(order), [3, 2])
    assert outcome_counts({key: 5}, [3, 2], named) == {0b01110: 5}
    with pytest.raises(QmendError, match="spaces elsewhere"):
        outcome_counts({refused: 5}, [3, 2], named)


def test_orders_have_the_names_that_the_command_takes():
    bits = Bits((3, 2), (0, 1, 2, 3, 4))
    for name in ("qiskit", "reversed", "bits-reversed", "registers-reversed"):
        assert bits.order_text(resolve_order(name, bits.registers)) == name
    assert bits.order_text((1, 0, 2, 3, 4)) == "1,0,2,3,4"
    # Bits 1 and 4 of five are measured: the order of all five that exchanges them.
    assert Bits((3, 2), (1, 4)).order_text((1, 0)) == "0,4,2,3,1"
    assert str(bits) == "2+3"
    assert str(Bits((3, 2), (1, 4))) == "2 of 2+3"


def program(registers: list[int], ones: set[int]) -> str:
    """X on some qubits; qubit k is measured into bit k."""
    n = sum(registers)
    text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[{n}];'
    text += "".join(f"creg c{r}[{size}];" for r, size in enumerate(registers))
    text += "".join(f"x q[{k}];" for k in ones)
    places = [(r, k) for r, size in enumerate(registers) for k in range(size)]
    return text + "".join(f"measure q[{k}] -> c{r}[{b}];" for k, (r, b) in enumerate(places))


def write(folder: Path, registers: list[int], ones: set[int], outcome: str) -> Path:
    record = {
        "id": "a",
        "qasm": program(registers, ones),
        "circuit_stage": "submitted",
        "device": "lab",
        "counts": {outcome: 1000},
    }
    path = folder / "given.jsonl"
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize(
    ("outcome", "order"),
    [
        ("000011 000100", "registers-reversed"),
        ("001000 110000", "bits-reversed"),
        ("110000 001000", "reversed"),
        ("000100 000011", "qiskit"),
    ],
)
def test_exchanged_and_reversed_registers_are_named(tmp_path, outcome, order):
    """Twelve bits in two registers: bits 0, 1 and 8 are 1."""
    path = write(tmp_path, [6, 6], {0, 1, 8}, outcome)
    check = import_file(path, tmp_path / "set", ImportOptions("set")).check
    found = {bits: text for bits, (text, _) in check.better.items()}
    assert found == ({} if order == "qiskit" else {Bits.of(6, 6): order})
    assert check.doubtful == ({} if order == "qiskit" else {"a": order})
    options = ImportOptions("set", bit_order=parse_order(order))
    again = import_file(path, tmp_path / "again", options).check
    assert again.better == again.doubtful == {}


def test_bits_that_are_not_measured_keep_their_place(tmp_path):
    """As ``measure_all`` beside an unused register: the order named is of all four bits."""
    text = program([2, 2], set()).partition("measure")[0]
    text += "x q[0]; measure q[0] -> c1[0]; measure q[1] -> c1[1];"
    path = write(tmp_path, [2, 2], set(), "10 00")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"qasm": text}))
    check = import_file(path, tmp_path / "set", ImportOptions("set")).check
    assert check.better == {Bits((2, 2), (2, 3)): ("0,1,3,2", pytest.approx(1.0))}
    for order in ("0,1,3,2", "bits-reversed"):
        options = ImportOptions("set", bit_order=parse_order(order))
        assert import_file(path, tmp_path / order, options).check.better == {}


def sparse(bits: Bits, order: Order, survival: float, shots: int = 2000, count: int = 12):
    """Noisy counts of distributions on few outcomes, as somebody of that order writes them."""
    n = len(bits.measured)
    rng = np.random.default_rng(n)
    back = tuple(order.index(k) for k in range(n))
    for k in range(count):
        ideal = np.zeros(2**n)
        ideal[rng.choice(2**n, 6, replace=False)] = rng.dirichlet(np.ones(6))
        drawn = rng.multinomial(shots, survival * ideal + (1 - survival) / 2**n)
        counts = {reorder(int(o), back): float(drawn[o]) for o in np.flatnonzero(drawn)}
        yield MeasuredCounts(f"r{k}", f"c{k}", bits, counts, ideal)


@pytest.mark.parametrize("survival", [0.9, 0.3])
@pytest.mark.parametrize(
    "registers", [(6,), (2, 4), (4, 3), (1, 2, 5), (4, 5), (3, 3, 4), (2, 2, 2, 2, 2), (6, 6)]
)
@pytest.mark.parametrize("name", ["reversed", "bits-reversed", "registers-reversed"])
def test_orders_of_registers_are_noticed_at_any_number_of_bits(registers, name, survival):
    bits = Bits.of(*registers)
    order = resolve_order(name, registers)
    better = check_bit_order(list(sparse(bits, order, survival))).better
    expected = bits.order_text(order)
    found = {bits: text for bits, (text, _) in better.items()}
    assert found == ({} if expected == "qiskit" else {bits: expected})


def test_one_register_of_three_reversed():
    bits = Bits.of(3, 4, 3)
    order = (0, 1, 2, 6, 5, 4, 3, 7, 8, 9)
    check = check_bit_order(list(sparse(bits, order, 0.6)))
    assert check.better[bits][0] == "0,1,2,6,5,4,3,7,8,9"


@pytest.mark.parametrize("n", [6, 8, 10, 12])
def test_any_permutation_is_searched_for(n):
    order = tuple(np.random.default_rng(n).permutation(n).tolist())
    bits = Bits.of(n)
    check = check_bit_order(list(sparse(bits, order, 0.6)))
    assert check.better[bits][0] == bits.order_text(order)


@pytest.mark.parametrize("survival", [1.0, 0.5, 0.1, 0.0])
@pytest.mark.parametrize("registers", [(6,), (4, 4), (3, 3, 4), (6, 6), (3, 3, 3, 3)])
def test_the_right_order_of_registers_is_not_accused(registers, survival):
    bits = Bits.of(*registers)
    for count in (1, 12):
        check = check_bit_order(
            list(sparse(bits, tuple(range(sum(registers))), survival, 500, count))
        )
        assert (check.better, check.doubtful) == ({}, {})


def test_the_search_joins_pairs_that_single_bits_do_not_tell_apart():
    """Bell pairs: <Z_i> is 0 everywhere, <Z_i Z_j> joins the bits of a pair."""
    ideal = np.zeros((6, 6))
    for k in (0, 2, 4):
        ideal[k, k + 1] = ideal[k + 1, k] = 1.0
    order = np.array([3, 0, 5, 2, 1, 4])
    found = np.array(best_order([(0.5 * ideal[np.ix_(order, order)], ideal)]))
    np.testing.assert_array_equal(ideal[np.ix_(found, found)], ideal[np.ix_(order, order)])
    assert best_order([(0.5 * ideal, ideal)]) == (0, 1, 2, 3, 4, 5)
