"""The card and the Croissant file beside a dataset."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
import yaml

from mixed_dataset import drifting, mixed_rows, write_mixed
from qmend.datasets.card import CARD, COLUMNS, CROISSANT, Provenance, card, write_card
from qmend.datasets.config import DatasetConfig, dataset_recipe, recipe_sha
from qmend.datasets.description import describe
from qmend.datasets.manifest import read_manifest
from qmend.datasets.schema import SCHEMA
from qmend.datasets.table import load_dataset
from qmend.devices.device import DeviceConfig
from qmend.files import file_sha256
from qmend.generation.generate import generate

_REQUIRED = {
    "@context",
    "@type",
    "conformsTo",
    "description",
    "license",
    "name",
    "url",
    "creator",
    "datePublished",
    "distribution",
}
_DATA_TYPES = {"sc:Text", "sc:Integer", "sc:Float", "sc:Boolean", "sc:DateTime"}


@pytest.fixture(scope="module")
def text(tiny_folder) -> str:
    return (tiny_folder / CARD).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def croissant(tiny_folder) -> dict:
    return json.loads((tiny_folder / CROISSANT).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mixed(algiers, tmp_path_factory):
    snapshots = drifting(algiers.calibration, 3)
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    manifest = write_mixed(folder, mixed_rows(snapshots), snapshots)
    provenance = Provenance(
        "CC-BY-4.0", "https://spdx.org/licenses/CC-BY-4.0", "A. Nother", "Told."
    )
    write_card(folder, manifest, provenance)
    return folder


def test_the_card_says_what_how_and_how_much(text, tiny):
    manifest = tiny.manifest
    for words in (
        "# tiny\n",
        "96 quantum circuits (pauli; 5 qubits) run on ibm_algiers (simulated)",
        "circuits: pauli (gadgets exact, gadgets_max 6, gadgets_min 2, n_qubits 5)",
        "physical qubits: [0, 1, 2, 3, 5]",
        "snapshot of 2024-02-28 13:32 UTC",
        "noise: aer\n",
        "shots: 2,000 a circuit",
        "jobs: 24",
        "seed: 7",
        f"`{manifest.dataset_sha}`",
        f"`{manifest.recipe_sha}`",
        "Aer's device model",
        "licence: Apache-2.0",
        f"qiskit {manifest.packages['qiskit']}",
    ):
        assert words in text
    parts = {name: int((tiny.split == name).sum()) for name in ("train", "val", "test")}
    assert f"96 ({', '.join(f'{k} {v}' for k, v in parts.items())})" in text
    for entry in [*manifest.shards, manifest.calibrations]:
        assert f"| `{entry.file}` | {entry.rows} | `{entry.sha256}` |" in text


def test_every_column_has_a_meaning(text):
    assert list(COLUMNS) == SCHEMA.names
    assert re.findall(r"^\| `(\w+)` \(", text, re.MULTILINE) == SCHEMA.names


def test_the_card_alone_gives_the_recipe(text, tiny):
    """The YAML that it prints, read as configs, is the very recipe of the data."""
    parts = {
        group: yaml.safe_load(body)
        for group, body in re.findall(
            r"`again/(\w+)/recipe\.yaml`\n\n```yaml\n(.*?)```", text, re.S
        )
    }
    assert set(parts) == {"dataset", "device"}
    recipe = dataset_recipe(
        DatasetConfig.model_validate(parts["dataset"]), DeviceConfig.model_validate(parts["device"])
    )
    assert recipe_sha(recipe) == tiny.manifest.recipe_sha


def test_the_files_follow_from_the_data_alone(tiny_folder, tmp_path):
    """Written again elsewhere they are equal; no folder of this machine is in them."""
    again = shutil.copytree(tiny_folder, tmp_path / "elsewhere")
    for name in (CARD, CROISSANT):
        (again / name).unlink()
    write_card(again, read_manifest(again))
    for name in (CARD, CROISSANT):
        assert (again / name).read_bytes() == (tiny_folder / name).read_bytes()
        assert str(tiny_folder.parent) not in (again / name).read_text(encoding="utf-8")


def test_absolute_paths_of_a_recipe_stay_out(tiny_folder):
    manifest = read_manifest(tiny_folder)
    device = {**manifest.recipe["device"], "calibration_file": "/home/somebody/snapshot.json"}
    changed = manifest.model_copy(update={"recipe": {**manifest.recipe, "device": device}})
    written = card(describe(tiny_folder, changed))
    assert "snapshot.json" in written
    assert "somebody" not in written


@pytest.mark.parametrize("damage", ["missing", "edited"])
def test_a_missing_or_edited_card_is_no_damage(tiny_copy, tiny_config, device_config, damage):
    before = read_manifest(tiny_copy).dataset_sha
    for name in (CARD, CROISSANT):
        if damage == "missing":
            (tiny_copy / name).unlink()
        else:
            (tiny_copy / name).write_text("mine")
    assert load_dataset(tiny_copy).manifest.dataset_sha == before
    assert generate(tiny_config, device_config, tiny_copy).circuits_made == 0


def test_other_noise_has_other_limits(tiny_folder):
    manifest = read_manifest(tiny_folder)
    limits = {"surrogate_hardware": "chosen, not measured", "surrogate_fitted": "is a model"}
    for name, words in limits.items():
        dataset = {**manifest.recipe["dataset"], "noise": {"name": name}}
        changed = manifest.model_copy(update={"recipe": {**manifest.recipe, "dataset": dataset}})
        written = card(describe(tiny_folder, changed))
        assert words in written
        assert "Aer's device model: thermal" not in written


def test_imported_data_say_whose_they_are_and_give_no_command(mixed):
    written = (mixed / CARD).read_text(encoding="utf-8")
    for words in ("licence: CC-BY-4.0", "creator: A. Nother", "Told.", "Hardware drifts"):
        assert words in written
    assert "as it was submitted" in written
    assert "unknown for 30 circuits" in written
    assert "data generate" not in written
    assert "Simulated noise" not in written


# Croissant 1.0: http://mlcommons.org/croissant/1.0


def test_croissant_has_what_the_specification_requires(croissant, tiny):
    assert croissant.keys() >= _REQUIRED
    assert croissant["@type"] == "sc:Dataset"
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert croissant["@context"]["@vocab"] == "https://schema.org/"
    assert croissant["@context"]["cr"] == "http://mlcommons.org/croissant/"
    assert croissant["@context"]["conformsTo"] == "dct:conformsTo"
    assert croissant["license"].startswith("https://spdx.org/licenses/")
    assert croissant["datePublished"] == "2024-02-28"
    assert croissant["version"].endswith(tiny.manifest.dataset_sha)


def test_every_file_object_is_a_file_with_that_hash_and_size(croissant, tiny_folder, tiny):
    files = [d for d in croissant["distribution"] if d["@type"] == "cr:FileObject"]
    assert [f["@id"] for f in files] == [
        e.file for e in [*tiny.manifest.shards, tiny.manifest.calibrations]
    ]
    for file in files:
        path = tiny_folder / file["contentUrl"]
        assert file["sha256"] == file_sha256(path)
        assert file["contentSize"] == f"{path.stat().st_size} B"
        assert file["encodingFormat"] == "application/x-parquet"
        assert file["name"] == file["@id"]


@pytest.mark.parametrize("where", ["tiny_folder", "mixed"])
def test_fields_are_the_parquet_columns(where, request):
    folder = request.getfixturevalue(where)
    found = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))
    resources = {d["@id"]: d for d in found["distribution"]}
    for records in found["recordSet"]:
        assert records["@type"] == "cr:RecordSet"
        for field in records["field"]:
            assert field["@type"] == "cr:Field"
            assert field["@id"] == f"{records['@id']}/{field['name']}"
            assert field["description"]
            source = field["source"]
            (reference,) = (source[k]["@id"] for k in ("fileSet", "fileObject") if k in source)
            resource = resources[reference]
            for name in resource.get("includes", [reference]):
                assert source["extract"]["column"] in pq.read_schema(folder / name).names
            kinds = [field] if "dataType" in field else field["subField"]
            assert {kind["dataType"] for kind in kinds} <= _DATA_TYPES
    circuits = found["recordSet"][0]["field"]
    assert [f["name"] for f in circuits] == SCHEMA.names
    repeated = {f["name"] for f in circuits if f.get("repeated")}
    assert repeated == {f.name for f in SCHEMA if str(f.type).startswith("list")}
    (instructions,) = (f for f in circuits if f["name"] == "instructions")
    assert [f["name"] for f in instructions["subField"]] == ["gate", "first", "second", "angle"]
    assert "expectations.parquet" not in resources["circuit-shards"]["includes"]


def test_ids_are_unique_and_references_find_theirs(croissant):
    defined: list[str] = []
    referred: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "@id" in value:
                (referred if set(value) == {"@id"} else defined).append(value["@id"])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk({k: v for k, v in croissant.items() if k != "@context"})
    assert len(defined) == len(set(defined))
    assert referred
    assert set(referred) <= set(defined)
