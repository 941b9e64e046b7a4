"""A thorough check catches what hashes cannot: data that are wrong from the start."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from qmend.circuits.instructions import InstructionTable
from qmend.cli.data import verify_data
from qmend.cli.terminal import console
from qmend.generation.job import check_labels
from qmend.generation.verify import verify_dataset
from qmend.types import QmendError
from qmend.workflows.compose import compose
from reference import (
    measured_probabilities,
    move_bits,
    qiskit_circuit,
    rewrite_shard,
    stored_rows,
)

SHARD = 1
ROWS = slice(32, 64)  # of that shard


@pytest.fixture
def rows(tiny_copy) -> list[dict]:
    """Of one shard."""
    return stored_rows(tiny_copy)[ROWS]


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def swapped(values: list[float]) -> list[float]:
    """A distribution with bits 0 and 3 exchanged."""
    return list(np.array(values)[move_bits(5, [3, 1, 2, 0, 4])])


def test_a_directory_is_verified_by_what_it_holds(tiny_folder, monkeypatch, tmp_path):
    """Of whatever name, and without the config that it was made with."""
    monkeypatch.chdir(tmp_path)
    overrides = ["dataset=hardware_public", f"folder={tiny_folder}", "sample=2"]
    with console.capture() as printed:
        verify_data(compose("verify", overrides))
    text = " ".join(printed.get().split())
    assert text.startswith(f"{tiny_folder}: files match their hashes; 96 labels proven; 2 noisy")
    with pytest.raises(QmendError, match="typo holds no complete dataset"):
        verify_data(compose("verify", ["folder=typo"]))


def test_a_generated_dataset_passes(tiny_folder):
    found = verify_dataset(tiny_folder, sample=6)
    assert found.rows == 96
    assert found.simulated == 6
    assert found.difference == 0
    assert found.difference_to_aer <= 2**-24
    assert 1e-4 < found.p_value <= 1


def test_rewriting_a_shard_unchanged_is_no_damage(tiny_copy, rows):
    """The tool of the tests below adds nothing of its own to what is caught."""
    rewrite_shard(tiny_copy, SHARD, {"ideal": column(rows, "ideal")})
    verify_dataset(tiny_copy, sample=2)


@pytest.mark.parametrize("victims", [1, 32])
def test_permuted_labels_are_caught(tiny_copy, rows, victims):
    """Ideal distributions in another bit order, hashes put right: only the proof can tell."""
    ideal = column(rows, "ideal")
    asymmetric = [
        k for k, row in enumerate(ideal) if np.abs(np.subtract(swapped(row), row)).max() > 0.01
    ]
    for k in asymmetric[:victims]:
        ideal[k] = swapped(ideal[k])
    rewrite_shard(tiny_copy, SHARD, {"ideal": ideal})
    with pytest.raises(QmendError, match="labels and circuits are permuted against each other"):
        verify_dataset(tiny_copy, sample=2)


def test_a_label_that_is_no_number_is_no_proof():
    one = np.array([[0.0, 1.0]])
    check_labels(one, one, "job 0", 1e-9)
    with pytest.raises(QmendError, match="In job 0, the ideal distribution of circuit 0 is not"):
        check_labels(one, np.array([[np.nan, np.nan]]), "job 0", 1e-9)


def test_measuring_after_compilation_is_caught(tiny_copy, rows):
    """The classic mistake: everything is stored as if routing had moved nothing.

    The circuit ids are made to fit, so that only the labels disagree.
    """
    straight = [[0, 1, 2, 3, 4]] * len(rows)
    table = InstructionTable.from_circuits(5, column(rows, "gates"))
    changes = {"measured": straight, "circuit_id": table.circuit_ids(np.array(straight))}
    rewrite_shard(tiny_copy, SHARD, changes)
    with pytest.raises(QmendError, match="permuted against each other"):
        verify_dataset(tiny_copy, sample=2)


def wrong_angle(rows: list[dict]) -> dict:
    """One RZ in one circuit turned a little, where that shows in what is measured."""
    row = rows[5]
    for k, gate in enumerate(row["instructions"]):
        if gate["gate"] != "rz":
            continue
        turned = [(*g[:3], g[3] + 0.01 * (j == k)) for j, g in enumerate(row["gates"])]
        measured = measured_probabilities(qiskit_circuit(turned, 5), row["measured"])
        if np.abs(measured - row["ideal"]).max() > 1e-4:
            gate["angle"] += 0.01
            return {"instructions": column(rows, "instructions")}
    raise AssertionError("no RZ of this circuit matters")


def wrong_id(rows: list[dict]) -> dict:
    ids = column(rows, "circuit_id")
    return {"circuit_id": ids[1:] + ids[:1]}


def job_in_two_splits(rows: list[dict]) -> dict:
    splits = column(rows, "split")
    splits[0] = "val" if splits[0] != "val" else "train"
    return {"split": splits}


def noiseless_noise(rows: list[dict]) -> dict:
    return {"noisy_exact": column(rows, "ideal")}


def counts_of_other_circuits(rows: list[dict]) -> dict:
    counts = column(rows, "counts")
    return {"counts": counts[1:] + counts[:1]}


def counts_too_good(rows: list[dict]) -> dict:
    """Counts of the ideal distribution: right sums, wrong noise."""
    counts = []
    for row in rows:
        ideal = np.clip(row["ideal"], 0, None)
        counts.append(np.random.default_rng(0).multinomial(2000, ideal / ideal.sum()).tolist())
    return {"counts": counts}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_angle, "is not the noiseless measured distribution of its instructions"),
        (wrong_id, "a circuit_id is not the hash of its instructions"),
        (job_in_two_splits, "a job is in two splits"),
        (noiseless_noise, "stored noisy distributions differ by"),
        (counts_of_other_circuits, r"the counts do not fit the noisy distributions \(p = "),
        (counts_too_good, "the counts do not fit the noisy distributions"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_false_data_with_right_hashes_are_caught(tiny_copy, rows, change, message):
    rewrite_shard(tiny_copy, SHARD, change(rows))
    with pytest.raises(QmendError, match=message):
        verify_dataset(tiny_copy, sample=10)


def test_a_circuit_in_two_splits_is_caught(tiny_copy, rows):
    """Every column of one circuit copied over one of another split, its job and split kept."""
    first = 0
    other = next(k for k, r in enumerate(rows) if r["split"] != rows[first]["split"])
    kept = {"job_id", "split"}
    names = [n for n in pq.read_schema(tiny_copy / "circuits-00001.parquet").names if n not in kept]
    changes = {}
    for name in names:
        values = column(rows, name)
        values[other] = values[first]
        changes[name] = values
    rewrite_shard(tiny_copy, SHARD, changes)
    with pytest.raises(QmendError, match="a circuit is in two splits"):
        verify_dataset(tiny_copy, sample=2)


def test_a_circuit_measured_otherwise_in_another_split_is_caught(tiny_copy, rows):
    """The same gates, with another bit order and the circuit_id that belongs to both."""
    other = next(k for k, r in enumerate(rows) if r["split"] != rows[0]["split"])
    ids, measured = column(rows, "circuit_id"), column(rows, "measured")
    instructions = column(rows, "instructions")
    instructions[other] = instructions[0]
    measured[other] = measured[0][::-1]
    table = InstructionTable.from_circuits(5, [rows[0]["gates"]])
    (ids[other],) = table.circuit_ids(np.array([measured[other]]))
    assert ids[other] != ids[0]
    changes = {"instructions": instructions, "measured": measured, "circuit_id": ids}
    rewrite_shard(tiny_copy, SHARD, changes)
    with pytest.raises(QmendError, match="a circuit is in two splits"):
        verify_dataset(tiny_copy, sample=2)
