"""Manifests written before a field was added are still read."""

import json

import pytest

from qmend.datasets.manifest import MANIFEST, read_manifest


@pytest.mark.parametrize(
    ("recipe", "origin"),
    [
        ({"dataset": {"executor": "ptm"}, "device": {}}, "simulated"),
        ({"dataset": {"family": {}}, "device": {}, "collection": {}}, "collected"),
        ({"imported": {}}, "imported"),
    ],
)
def test_the_recipe_tells_the_origin_of_an_old_manifest(tmp_path, tiny_folder, recipe, origin):
    values = json.loads((tiny_folder / MANIFEST).read_text())
    assert values.pop("origin") == "simulated"
    (tmp_path / MANIFEST).write_text(json.dumps({**values, "recipe": recipe}))
    assert read_manifest(tmp_path).origin == origin
