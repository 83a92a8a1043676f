"""What the tests of bad case files share: the example's file changed, and what a refusal must be like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from offload_fuzz.case import dump_case, parse_case
from offload_fuzz.errors import EXIT_USAGE, InvalidFile, OffloadError

from .cases import example

X = "some/x.offload.json"
WRONG: tuple[object, ...] = (None, True, 1.5, -(10**40), "x", [], {}, [[]], {"x": [1.5]})


def refusal(text: str) -> str:
    """The message of a text that is refused, once it is known to be of the right class, short, and to name the file."""
    with pytest.raises(OffloadError) as caught:
        parse_case(text, X)
    return checked(caught.value, X)


def checked(error: OffloadError, name: str) -> str:
    message = str(error)
    assert type(error) is InvalidFile
    assert error.exit_code == EXIT_USAGE
    assert f"[{name}" in message.split("\n")[0]
    assert "file is malformed" not in message, "the net below all checks was needed"
    assert len(message.split("\n")[0]) < 600
    assert len(message) < 2000
    return message


def changed(*path: str | int, value: object) -> str:
    """The example's file with the value at `path` replaced."""
    data = json.loads(dump_case(example(), {"id": "F0", "kind": "wrong value", "divergent": 3}))
    at: Any = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(data)


def places(data: object, here: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every place in JSON data with what stands there."""
    yield here, data
    items: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*here, key))
