"""JSON in which a key given twice loses no value in silence."""

import json

import pytest

from qmend.strict_json import parse_json


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "a"),
        ('{"a": 1, "a": 1}', "a"),
        ('[{"counts": {"00": 870, "11": 10, "00": 130}}]', "00"),
        ('{"a": {"b": [{"c": null, "\\u0063": 1}]}}', "c"),
    ],
)
def test_a_key_given_twice_is_named(text, key):
    with pytest.raises(ValueError, match=f"the key '{key}' is there more than once"):
        parse_json(text)


@pytest.mark.parametrize("text", ['{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}', "{}", "[1.5]"])
def test_all_else_is_read_as_ever(text):
    assert parse_json(text) == json.loads(text)


def test_what_is_no_json_is_refused():
    with pytest.raises(ValueError, match="Expecting"):
        parse_json('{"a": ')
