"""References of a collection's jobs: further circuits by which a job's others are conditioned."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from qmend.circuits.instructions import InstructionTable
from qmend.circuits.references import draw_references, known_ideal
from qmend.circuits.statevector import compiled_probabilities, read_out, to_bit_order
from qmend.datasets.config import DatasetConfig
from qmend.datasets.schema import REFERENCE
from qmend.generation.job import LABEL_TOLERANCE, DrawnJob, check_labels, circuit_seed
from qmend.simulation.sampling import round_distributions
from qmend.types import QmendError


def with_references(drawn: DrawnJob, dataset: DatasetConfig, job: int, count: int) -> DrawnJob:
    """Add references by design of a job's circuits, behind these.

    They are of as many circuits as possible, in an order that follows from the job's seeds. Their
    ideals are proven as all labels are.

    Raises:
        QmendError: if the job's circuits have too few.
    """
    if not count:
        return drawn
    size = len(drawn.seeds)
    each = -(-count // size)
    tables: list[InstructionTable] = []
    targets: list[int] = []
    for target in np.random.default_rng(drawn.seeds).permutation(size).tolist():
        if len(targets) >= count:
            break
        one = drawn.table.select(np.array([target]))
        try:
            tables.append(draw_references(one, drawn.measured[target], each, drawn.seeds[target]))
        except QmendError:  # such as a circuit without RZ
            continue
        targets += [target] * each
    if len(targets) < count:
        raise QmendError(
            f"The circuits of job {job} have {len(targets)} references, not collect.references="
            f"{count}; ask for fewer, or choose a dataset.family with more RZ."
        )
    references = InstructionTable.joined(tables).select(np.arange(count))
    measured = drawn.measured[targets[:count]]
    ideal = to_bit_order(known_ideal(references, measured), measured)
    own = read_out(compiled_probabilities(references), measured)
    check_labels(ideal, own, f"the references of job {job}", LABEL_TOLERANCE)
    ids = drawn.circuit_ids
    return replace(
        drawn,
        seeds=[*drawn.seeds, *(circuit_seed(dataset.seed, job, size + k) for k in range(count))],
        families=[*drawn.families, *[REFERENCE] * count],
        params=[*drawn.params, *(json.dumps({"circuit": ids[t]}) for t in targets[:count])],
        table=InstructionTable.joined([drawn.table, references]),
        measured=np.concatenate([drawn.measured, measured]),
        ideal=np.concatenate([drawn.ideal, round_distributions(ideal)]),
    )
