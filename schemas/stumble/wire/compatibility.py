"""Checks that every version of a record type can read every other version.

Two checks: Avro's own rules, pairwise in both directions (Apache ``avro``, which registries use too), and the
attributes that those rules ignore because the parsing canonical form drops them: logical types (milliseconds instead
of microseconds would silently be wrong by x1000), enum defaults, aliases, field defaults. Needs the extra ``dev``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

#: Attributes that may change: documentation, limits, and what Avro's own rules compare.
_NOT_COMPARED = {"doc", "maxBytes", "symbols", "name", "namespace"}


def compatibility_problems(versions: Sequence[str]) -> list[str]:
    """Return the problems between any two versions of a record (JSON texts), one sentence each; empty if compatible."""
    result = [line for text in versions for line in lint(text)]
    for number, (one, other) in enumerate(permutations(versions, 2)):
        result.extend(f"pair {number}: {line}" for line in _avro_rules(one, other))
        result.extend(f"pair {number}: {line}" for line in _dropped_rules(one, other))
    return list(dict.fromkeys(result))


def lint(text: str) -> list[str]:
    """Return violations of the rules that hold for each version: every field has a default, times in micros ..."""
    return list(_lint(json.loads(text), ""))


def _avro_rules(reader: str, writer: str) -> Iterator[str]:
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType  # noqa: PLC0415 - extra
    from avro.schema import parse  # noqa: PLC0415

    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(parse(reader), parse(writer))
    if result.compatibility is not SchemaCompatibilityType.compatible:
        for location, message in zip(sorted(result.locations), sorted(result.messages), strict=False):
            yield f"not compatible at {location}: {message}"


def _lint(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, list):
        if node[:1] != ["null"] or len(node) != 2:
            yield f"{path}: a union must be null and one type, null first"
        for branch in node:
            yield from _lint(branch, path)
    elif isinstance(node, dict):
        yield from _lint_type(node, path)


def _lint_type(node: dict[str, Any], path: str) -> Iterator[str]:
    kind = node.get("type")
    if kind == "enum" and "default" not in node:
        yield f"{path}: the enum {node['name']} needs a default symbol"
    if str(node.get("logicalType", "")).startswith("time") and node["logicalType"] != "timestamp-micros":
        yield f"{path}: a time must be timestamp-micros"
    for item in node.get("fields", ()):
        yield from _lint_field(item, f"{path}/{item['name']}")
    for part in ("items", "values"):
        if part in node:
            yield from _lint(node[part], path)
    if isinstance(kind, (dict, list)):
        yield from _lint(kind, path)


def _lint_field(item: dict[str, Any], path: str) -> Iterator[str]:
    if "default" not in item:
        yield f"{path}: a field needs a default"
    if isinstance(item["type"], list) and item.get("default") is not None:
        yield f"{path}: a union's default must be null"
    if _holds_text(item["type"]) and "maxBytes" not in item:
        yield f"{path}: text needs maxBytes"
    if not item.get("doc"):
        yield f"{path}: a field needs a doc"
    yield from _lint(item["type"], path)


def _holds_text(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(_holds_text(branch) for branch in kind)
    if isinstance(kind, dict):
        return "string" in (kind.get("type"), kind.get("items"), kind.get("values"))
    return bool(kind == "string")


def _dropped_rules(one: str, other: str) -> Iterator[str]:
    """Compare, for fields in both versions, the attributes that the canonical form drops."""
    older, newer = _dropped(one), _dropped(other)
    for path in sorted(older.keys() & newer.keys()):
        for name in sorted(older[path].keys() | newer[path].keys()):
            before, after = older[path].get(name), newer[path].get(name)
            if before != after:
                yield f"{path}: {name} changed from {before} to {after}"


def _dropped(text: str) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {}
    _collect(json.loads(text), "", result)
    return result


def _collect(node: Any, path: str, result: dict[str, dict[str, str]]) -> None:
    if isinstance(node, list):
        for branch in node:
            _collect(branch, path, result)
    if not isinstance(node, dict):
        return
    own = result.setdefault(path, {})
    for name, value in node.items():
        if name == "fields":
            for item in value:
                _collect(item, f"{path}/{item['name']}", result)
        elif name in {"type", "items", "values"}:
            _collect(value, path, result)
        elif name not in _NOT_COMPARED:
            own[f"{node.get('type')} {name}" if isinstance(node.get("type"), str) else name] = json.dumps(value)
