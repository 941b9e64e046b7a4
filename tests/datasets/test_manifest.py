"""Datasets of another schema version are refused with the way to make them anew."""

import json

import pytest

from qmend.datasets.manifest import MANIFEST, read_manifest
from qmend.types import QmendError


@pytest.mark.parametrize(
    ("recipe", "way_out"),
    [
        (
            {"dataset": {"name": "tiny"}, "device": {"name": "algiers"}},
            "qmend data generate dataset=tiny device=algiers data.replace=true",
        ),
        ({"dataset": {"name": "x"}, "device": {}, "collection": {}}, "collect the circuits anew"),
        ({"imported": {"input": {"file": "a.jsonl"}}}, "qmend data import a.jsonl --replace"),
    ],
)
def test_another_schema_version_is_refused_with_the_command(tmp_path, recipe, way_out):
    values = {"schema_version": 2, "recipe": recipe}
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(QmendError, match="schema version 2, this package reads 3") as error:
        read_manifest(tmp_path)
    assert way_out in str(error.value)
