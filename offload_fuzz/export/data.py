"""Arrays as source: every bit kept, NaN payloads and -0.0 too, in as few lines as that takes."""

from __future__ import annotations

import base64
import textwrap
import zlib
from typing import Any

import numpy as np

from offload_fuzz.enclosure import components, is_float
from offload_fuzz.export.trace import dtype_text, literal
from offload_fuzz.types import Array, bits_of

#: Elements that are written one by one.
FEW = 64
WIDTH = 116


def array_lines(name: str, array: Array) -> list[str]:
    """Statements that make a writable array `name` with the bits of `array`."""
    shape, dtype = array.shape, dtype_text(array.dtype)
    if array.dtype.kind == "c":
        parts = components(array)
        lines = array_lines(name, parts)
        return [*lines, f"{name} = {name}.view({dtype}).reshape({shape})"]
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size <= FEW:
        lines = _wrapped(f"{name} = np.array([", _elements(flat), f"], {dtype})")
        if array.ndim != 1:
            lines[-1] += f".reshape({shape})"
        return [*lines, *_nan_lines(name, flat, np.arange(flat.size))]
    bits = bits_of(flat)[:, 0]
    _, first, counts = np.unique(bits, return_index=True, return_counts=True)
    at = int(first[counts.argmax()])
    others = np.flatnonzero(bits != bits[at])
    if others.size <= FEW and not _is_nan(flat[at : at + 1])[0]:
        lines = [f"{name} = np.full({shape}, {_elements(flat[at : at + 1])[0]}, {dtype})"]
        if others.size:
            where = [str(i) for i in others.tolist()]
            lines += _wrapped(f"{name}.reshape(-1)[[", where, "]] = [")
            lines[-1:] = _wrapped(lines[-1], _elements(flat[others]), "]")
        return [*lines, *_nan_lines(name, flat, others)]
    packed = base64.b85encode(zlib.compress(flat.tobytes(), 9)).decode()
    texts = textwrap.wrap(packed, WIDTH - 8, break_on_hyphens=False)
    return [
        f"{name} = np.frombuffer(zlib.decompress(base64.b85decode(",
        *[f"    {text!r}" for text in texts],
        f")), {dtype}).reshape({shape}).copy()",
    ]


def _is_nan(flat: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.isnan(flat) if is_float(flat.dtype) else np.zeros(flat.shape, bool)


def _elements(flat: Array) -> list[str]:
    """Each element as a literal; floats by the decimal numbers that are exact in float64."""
    if is_float(flat.dtype):
        with np.errstate(invalid="ignore"):
            return [literal(x) for x in flat.astype(np.float64).tolist()]
    values: list[Any] = [int(x) for x in flat] if flat.dtype.kind == "V" else flat.tolist()
    return [literal(x) for x in values]


def _nan_lines(name: str, flat: Array, at: Array) -> list[str]:
    """The payloads of the NaN among elements `at`."""
    found = at[_is_nan(flat[at])] if at.size else at
    if not found.size:
        return []
    bits = bits_of(flat)[found, 0].tolist()
    where = ", ".join(map(str, found.tolist()))
    payloads = [f"{b:#x}" for b in bits]
    same = payloads[:1] if len(set(payloads)) == 1 else payloads
    value = same[0] if len(same) == 1 else f"[{', '.join(same)}]"
    kind = f"np.uint{8 * flat.dtype.itemsize}"
    return [f"{name}.view({kind}).reshape(-1)[[{where}]] = {value}  # which NaN"]


def _wrapped(head: str, items: list[str], tail: str) -> list[str]:
    """`head` items `tail`, over several lines where one is too long."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH:
        return [line]
    body = textwrap.wrap(", ".join(items) + ",", WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return [head, *[f"    {row}" for row in body], tail]
