"""2,000 files that are nearly good: each gives a case that is written and read again, or one clear error."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

from offload_fuzz.case import Case, dump_case, parse_case, read_case
from offload_fuzz.errors import InvalidFile

from .cases import random_case
from .refusals import WRONG, X, checked, places

ODD = (*"é𝟙٣'\"\\[},:-", "\u202e", "\ud800", "\x00", "\ufeff", "null", "NaN", "1e999", "0x", "\\u0000", "\\ud800")


def mutate_data(rng: random.Random, data: Any) -> None:
    """Change one place of JSON data: remove it, double it, or put something else there."""
    path, old = rng.choice(list(places(data))[1:])
    at = data
    for step in path[:-1]:
        at = at[step]
    sort = rng.randrange(6)
    if sort == 0:
        del at[path[-1]]
    elif sort == 1 and isinstance(at, list):
        at.insert(rng.randrange(len(at) + 1), deepcopy(old))  # or a later change might put it into itself
    elif sort == 2 and type(old) is int:
        at[path[-1]] = old + rng.choice((-1, 1, 2**31, 2**63, -(2**64), 10**30))
    elif sort == 3:
        _, other = rng.choice(list(places(data))[1:])
        at[path[-1]] = deepcopy(other)
    elif sort == 4 and type(old) is str:
        cut = rng.randrange(len(old) + 1)
        at[path[-1]] = old[:cut] + rng.choice(ODD) + old[cut + 1 :]
    else:
        at[path[-1]] = deepcopy(rng.choice(WRONG))


def mutate_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Flip a bit, cut off the end, double a part or a line, nest deeply, or insert something odd."""
    at = rng.randrange(len(raw))
    sort = rng.randrange(6)
    if sort == 0:
        return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]
    if sort == 1:
        return raw[:at]
    if sort == 2:
        end = at + rng.randrange(60)
        return raw[:end] + raw[at:end] + raw[end:]
    if sort == 3:
        opener = b"[" if at % 2 else b'{"a":'
        return raw[:at] + opener * (1, 30, 2000)[at % 3] + raw[at:]
    if sort == 4:
        lines = raw.splitlines(keepends=True)
        k = rng.randrange(len(lines))
        return b"".join([*lines[:k], lines[k], rng.choice(lines), *lines[k + 1 :]])
    odd: str = rng.choice(ODD)
    return raw[:at] + odd.encode("utf-8", "surrogatepass") + raw[at:]


def read_bytes(raw: bytes, path: Path) -> tuple[Case, dict[str, Any]]:
    """As from a file; really from one only where the bytes matter, for files are slow."""
    try:
        return parse_case(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        path.write_bytes(raw)
        return read_case(path)


def test_nearly_good_files_give_a_case_or_one_clear_error(tmp_path: Path) -> None:
    rng = random.Random(2000)
    path = tmp_path / "x.offload.json"
    read = refused = 0
    known = {"id": "F0", "kind": "wrong value", "divergent": 0, "needs": []}
    texts = [dump_case(random_case(rng), known) for _ in range(200)]
    for i in range(2000):
        text = texts[i // 10]
        if i % 2:
            data = json.loads(text)
            for _ in range(rng.randint(1, 2)):
                mutate_data(rng, data)
            text = json.dumps(data)
        raw = text.encode("utf-8")
        if not i % 2 or i % 10 == 1:
            raw = mutate_bytes(rng, raw)
        try:
            case, finding = read_bytes(raw, path)
        except InvalidFile as error:
            checked(error, str(path))
            refused += 1
        else:
            assert parse_case(dump_case(case, finding), X) == (case, finding)
            read += 1
    assert read > 20
    assert refused > 1000
