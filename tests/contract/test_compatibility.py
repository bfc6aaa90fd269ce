"""Incompatible schema changes are reported, also those that the parsing canonical form does not show."""

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


def problems_of(other):
    return compatibility.compatibility_problems([json.dumps(BASE), json.dumps(other)])


@pytest.mark.parametrize("schema", schemas.ALL, ids=lambda schema: f"{schema.name}.v{schema.version}")
def test_all_schemas_pass_the_lint(schema):
    assert compatibility.lint(schema.json) == []


@pytest.mark.parametrize("name", sorted({schema.name for schema in schemas.ALL}))
def test_all_versions_read_each_other(name):
    assert compatibility.compatibility_problems([item.json for item in schemas.ALL if item.name == name]) == []


def test_new_field_and_new_symbol_are_compatible():
    other = changed()
    other["fields"].append({"name": "new", "doc": "x", "type": ["null", "int"], "default": None})
    other["fields"][2]["type"]["symbols"].append("END")
    assert problems_of(other) == []


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
def test_incompatible_change_is_reported(other, word):
    assert any(word in line for line in problems_of(other)), problems_of(other)


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
def test_lint_reports_errors_that_cannot_be_fixed_later(field, word):
    problems = compatibility.lint(json.dumps({**BASE, "fields": [field]}))
    assert any(word in line for line in problems), problems
