"""The gate is closed for what breaks a reader, also for what the parsing canonical form does not show."""

import json

import pytest

from stumble.wire import compatibility, schemas

BASE = {
    "type": "record",
    "name": "Thing",
    "namespace": "stumble",
    "fields": [
        {"name": "id", "doc": "x", "type": "string", "default": "", "maxBytes": 9},
        {"name": "at", "doc": "x", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
        {
            "name": "phase",
            "doc": "x",
            "type": {"type": "enum", "name": "Phase", "symbols": ["UNKNOWN", "START"], "default": "UNKNOWN"},
            "default": "UNKNOWN",
        },
    ],
}


def changed(**by_field):
    copy = json.loads(json.dumps(BASE))
    for item in copy["fields"]:
        item.update(by_field.get(item["name"], {}))
    return copy


def judge(other):
    return compatibility.problems([json.dumps(BASE), json.dumps(other)])


@pytest.mark.parametrize("schema", schemas.ALL, ids=lambda schema: f"{schema.name}.v{schema.version}")
def test_published_schemas_keep_the_promises_of_every_version(schema):
    assert compatibility.lint(schema.json) == []


@pytest.mark.parametrize("name", sorted({schema.name for schema in schemas.ALL}))
def test_all_versions_read_each_other(name):
    assert compatibility.problems([item.json for item in schemas.ALL if item.name == name]) == []


def test_gate_opens_for_a_new_field_and_a_new_symbol():
    other = changed()
    other["fields"].append({"name": "new", "doc": "x", "type": ["null", "int"], "default": None})
    other["fields"][2]["type"]["symbols"].append("END")
    assert judge(other) == []


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (changed(id={"type": "long", "default": 0}), "not compatible"),
        (changed(at={"type": {"type": "long", "logicalType": "timestamp-millis"}}), "logicalType changed"),
        (changed(at={"type": "long"}), "logicalType changed"),
        (changed(id={"default": "x"}), "default changed"),
        (changed(id={"aliases": ["ident"]}), "aliases changed"),
        (
            changed(
                phase={"type": {"type": "enum", "name": "Phase", "symbols": ["UNKNOWN", "START"], "default": "START"}}
            ),
            "default changed",
        ),
    ],
)
def test_gate_closes(other, word):
    assert any(word in line for line in judge(other)), judge(other)


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ({"name": "a", "doc": "x", "type": "int"}, "needs a default"),
        ({"name": "a", "doc": "x", "type": ["string", "null"], "default": "", "maxBytes": 1}, "null first"),
        ({"name": "a", "doc": "x", "type": "string", "default": ""}, "maxBytes"),
        (
            {"name": "a", "doc": "x", "type": {"type": "enum", "name": "E", "symbols": ["A"]}, "default": "A"},
            "default symbol",
        ),
        (
            {"name": "a", "doc": "x", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
            "timestamp-micros",
        ),
    ],
)
def test_lint_names_what_can_never_be_mended_later(field, word):
    found = compatibility.lint(json.dumps({**BASE, "fields": [field]}))
    assert any(word in line for line in found), found
