"""Text that nobody vouches for: read, measured and parsed as JSON in bounded time and memory.

Whatever is wrong raises `InvalidFile`, one line that names the file.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from offload_fuzz.errors import InvalidFile

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 24
MAX_CONTAINERS = 2**20
MAX_COMMAS = 20 * 2**20
MAX_ESCAPES = 2**20


def cut(text: str, width: int = 300) -> str:
    """`text` cut short where it is too long for a message."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def shown(value: Any, width: int = 60) -> str:
    """`value` as a message shows it: its repr, cut short."""
    try:
        return cut(repr(value), width)
    except (ValueError, RecursionError):  # an int of more digits than Python prints
        return f"<{type(value).__name__}>"


def clean(value: Any) -> Any:
    """JSON data with control characters escaped, so that it can be shown on a terminal."""
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(v) for v in value]
    if isinstance(value, str) and not value.isprintable():
        return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in value)
    return value


def read_text(path: str | Path) -> str:
    """The UTF-8 text of a regular file of at most `MAX_BYTES`."""
    where = str(path)
    try:
        info = Path(path).stat()
        if not stat.S_ISREG(info.st_mode):  # a pipe would block, a device never end
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe or device"
            raise InvalidFile(f"path is {kind} but should be a file [{where}]")
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise _too_large(info.st_size, where)
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(f"file is not UTF-8 text: {error.reason} at byte {error.start} [{where}]") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidFile(f"file cannot be read: {reason} [{where}]") from None


def load_json(text: str, where: str) -> Any:
    """The JSON data in `text`: no key twice in one object, no number that is not finite, no deep nesting."""
    check_size(text, where)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"file is not valid JSON: {cut(str(error))} [{where}]") from None


def _too_large(size: int, where: str) -> InvalidFile:
    return InvalidFile(f"file has {size} bytes but at most {MAX_BYTES} are read [{where}]")


def check_size(text: str, where: str) -> None:
    """Refuse, before it is parsed, a text that is nested too deeply or holds too many things."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_BYTES:
        raise _too_large(len(raw), where)
    if escapes := raw.count(b"\\"):
        if escapes > MAX_ESCAPES:
            raise InvalidFile(f"file holds more escapes than are read [{where}]")
        raw = re.sub(rb"\\.", b"", raw, flags=re.DOTALL)
    marks = np.frombuffer(raw, np.uint8)
    marks = marks[~np.logical_xor.accumulate(marks == ord('"'))]  # what is outside strings
    opens = (marks == ord("[")) | (marks == ord("{"))
    closes = (marks == ord("]")) | (marks == ord("}"))
    if np.count_nonzero(opens) > MAX_CONTAINERS or np.count_nonzero(marks == ord(",")) > MAX_COMMAS:
        raise InvalidFile(f"file holds more lists and elements than are read [{where}]")
    if closes.sum() > MAX_CONTAINERS:
        return  # not JSON: the parser says where
    steps = np.where(opens, 1, -1)[opens | closes]
    if steps.size and int(np.cumsum(steps).max()) > MAX_DEPTH:
        raise InvalidFile(f"file is nested deeper than {MAX_DEPTH} levels [{where}]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"key {shown(twice)} stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; a NaN is written by its bits, an infinity as a string")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {cut(text, 60)} is too large")
    return value
