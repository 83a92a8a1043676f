"""Checks JSON data against a JSON Schema, in the words of this package's errors.

It knows the keywords that report.schema.json uses, and refuses a schema with others, so that none is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from offload_fuzz.untrusted import shown

Schema = Mapping[str, Any]

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda x: isinstance(x, dict),
    "array": lambda x: isinstance(x, list),
    "string": lambda x: isinstance(x, str),
    "integer": lambda x: isinstance(x, int) and not isinstance(x, bool),
    "number": lambda x: isinstance(x, (int, float)) and not isinstance(x, bool),
    "boolean": lambda x: isinstance(x, bool),
    "null": lambda x: x is None,
}


def _pattern(rule: str) -> re.Pattern[str]:
    """A pattern of JSON Schema, whose $ is the very end: Python's also stands before a last newline."""
    return re.compile(f"{rule[:-1]}\\Z" if rule.endswith("$") else rule)


#: keyword -> (whether a value keeps it, what the value should be). Each speaks of the types that it applies to alone.
RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "const": (lambda x, rule: x == rule and type(x) is type(rule), "{rule!r}"),
    "enum": (lambda x, rule: x in rule, "one of {rule}"),
    "minimum": (lambda x, rule: not TYPES["number"](x) or x >= rule, "at least {rule}"),
    "maximum": (lambda x, rule: not TYPES["number"](x) or x <= rule, "at most {rule}"),
    "maxLength": (lambda x, rule: not isinstance(x, str) or len(x) <= rule, "at most {rule} characters"),
    "pattern": (lambda x, rule: not isinstance(x, str) or bool(_pattern(rule).search(x)), "like {rule}"),
    "maxItems": (lambda x, rule: not isinstance(x, list) or len(x) <= rule, "at most {rule} entries"),
}
NOTES = frozenset({"$schema", "$id", "$defs", "title", "description"})
STRUCTURE = frozenset({"type", "required", "properties", "additionalProperties", "items", "$ref"})


def violation(data: Any, schema: Schema, root: Schema | None = None, at: str = "") -> str | None:
    """What is wrong with `data`, the first thing and its place; None if it keeps `schema`.

    Raises `ValueError` for a schema with keywords that are not known here.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return violation(data, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    unknown = schema.keys() - NOTES - STRUCTURE - RULES.keys()
    if unknown:
        raise ValueError(f"schema has {', '.join(sorted(unknown))}, which is not known here [{at or 'top level'}]")
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(TYPES[kind](data) for kind in kinds):
        return f"{shown(data)} should be {' or '.join(kinds)} at {at or 'top level'}"
    for keyword, (kept, should_be) in RULES.items():
        if keyword in schema and not kept(data, schema[keyword]):
            return f"{shown(data)} should be {should_be.format(rule=schema[keyword])} at {at or 'top level'}"
    if isinstance(data, dict):
        return _object(data, schema, root, at)
    if isinstance(data, list) and "items" in schema:
        for i, item in enumerate(data):
            if (found := violation(item, schema["items"], root, f"{at}[{i}]")) is not None:
                return found
    return None


def _object(data: dict[str, Any], schema: Schema, root: Schema, at: str) -> str | None:
    for key in schema.get("required", ()):
        if key not in data:
            return f"{key} is missing at {at or 'top level'}"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, value in data.items():
        inner = properties.get(key, others)
        place = f"{at}.{key if len(key) <= 60 else shown(key)}".removeprefix(".")
        if inner is False:
            return f"{shown(key)} should not be there at {at or 'top level'}"
        if inner is not True and (found := violation(value, inner, root, place)) is not None:
            return found
    return None
