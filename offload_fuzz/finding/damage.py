"""What wrong values are: each function looks for one kind of damage and names it, or says nothing.

All take `got` and `right`, arrays of one dtype and shape, and `wrong`, a mask of the elements that are not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from offload_fuzz.execute import OVERWRITTEN
from offload_fuzz.host_arrays import CANARY
from offload_fuzz.types import DTYPES, Array, is_floating, type_of

Look: TypeAlias = Callable[[Array, Array, Array], str]
#: Bytes that our own schedules leave in memory, and what it means to read them.
PATTERNS = {
    OVERWRITTEN: "the source, read after it was overwritten",
    CANARY: "host memory beside the array",
}
#: dtype -> the narrower ones that values may have gone through, the widest first.
NARROWER = {
    "float64": ("float32", "bfloat16", "float16"),
    "float32": ("float16", "bfloat16"),
    "int64": ("int32", "int16", "int8"),
    "uint64": ("uint32", "uint16", "uint8"),
    "int32": ("int16", "int8"),
    "uint32": ("uint16", "uint8"),
    "int16": ("int8",),
    "uint16": ("uint8",),
}
#: Elements of an array up to which other orders of them are looked for, which takes time as their number squared.
SEARCHED = 4096
#: Integers that went through a float dtype, by the width in bits that they have more than it can hold.
THROUGH = ("float64", "float32")


def damage(got: Array, right: Array, wrong: Array, values: Mapping[str, Array]) -> str:
    """What the wrong values are, in a few words, "" where nothing is recognised.

    values: other values of the program by their names, among which a stale one is looked for.
    """
    if got.shape != right.shape or got.dtype != right.dtype or not wrong.any():
        return ""
    with np.errstate(all="ignore"):
        found = stale(got, right, wrong, values) or next((t for look in LOOKS if (t := look(got, right, wrong))), "")
    where = "" if found.startswith(WHOLE) else part(wrong)
    return f"{found}, {where}" if found and where else found or where


#: Words of damage that is about where elements are, so that the part that is wrong says nothing more.
WHOLE = ("reversed", "rotated", "shifted", "repeated", "elements in", "the right elements")


# ------------------------------------------------------------------------------------------------- one kind of damage
def stale(got: Array, right: Array, wrong: Array, values: Mapping[str, Array]) -> str:
    """All wrong elements are those of another value of the same type that differs from the right one there."""
    for name, value in values.items():
        same = value.dtype == got.dtype and value.shape == got.shape
        if same and _bits(value[wrong]) == _bits(got[wrong]) and not (value[wrong] == right[wrong]).any():
            return f"stale: {name}"
    return ""


def pattern(got: Array, right: Array, wrong: Array) -> str:
    """All wrong elements hold one byte, or one pair of bytes, over and over, and no zeros: nobody wrote them."""
    data = np.frombuffer(np.ascontiguousarray(got[wrong]).tobytes(), np.uint8)
    if got.itemsize < 2 or len(data) % 2 or not data.any() or (got.dtype.kind in "iu" and (data == 0xFF).all()):
        return ""
    pairs = data.reshape(-1, 2)
    if got.itemsize < 4 and len(pairs) < 2 and pairs[0, 0] != pairs[0, 1]:
        return ""
    if (pairs == pairs[0]).all():
        if pairs[0, 0] == pairs[0, 1] and int(pairs[0, 0]) in PATTERNS:
            return f"0x{pairs[0, 0]:02x} over and over: {PATTERNS[int(pairs[0, 0])]}"
        text = f"{pairs[0, 0]:02x}" if pairs[0, 0] == pairs[0, 1] else f"{pairs[0, 1]:02x}{pairs[0, 0]:02x}"
        return f"0x{text} over and over: memory that nothing was written to"
    return ""


def zero_sign(got: Array, right: Array, wrong: Array) -> str:
    """Zeros of the other sign."""
    if not is_floating(type_of(got).dtype):
        return ""
    both = (got[wrong] == 0) & (right[wrong] == 0)
    return "the sign of zero lost" if both.all() else ""


def sign(got: Array, right: Array, wrong: Array) -> str:
    """The right numbers with the other sign."""
    signed = type_of(got).dtype != "bool" and "unsigned" not in DTYPES[type_of(got).dtype].kind
    return "the sign lost" if signed and _bits(got[wrong]) == _bits(-right[wrong]) else ""


def nan(got: Array, right: Array, wrong: Array) -> str:
    """Numbers where NaN is due, or NaN where a number is."""
    if got.dtype.kind not in "fc" and not is_floating(type_of(got).dtype):
        return ""
    if np.isnan(right[wrong]).all() and not np.isnan(got[wrong]).any():
        return "NaN lost"
    return "NaN in the place of numbers" if np.isnan(got[wrong]).all() and not np.isnan(right[wrong]).any() else ""


def flushed(got: Array, right: Array, wrong: Array) -> str:
    """Zeros in the place of subnormal numbers."""
    if type_of(got).dtype not in ("float16", "float32", "float64", "bfloat16"):
        return ""
    small = np.abs(right[wrong].astype(np.float64)) < 2.0 ** DTYPES[type_of(got).dtype].emin
    return "subnormals flushed to zero" if (small & (right[wrong] != 0) & (got[wrong] == 0)).all() else ""


def zeros(got: Array, right: Array, wrong: Array) -> str:
    """Zeros."""
    return "zeros" if (got[wrong] == 0).all() else ""


def imaginary(got: Array, right: Array, wrong: Array) -> str:
    """The right real parts alone."""
    lost = got.dtype.kind == "c" and (got.imag[wrong] == 0).all() and _bits(got.real[wrong]) == _bits(right.real[wrong])
    return "the imaginary part lost" if lost else ""


def truncated(got: Array, right: Array, wrong: Array) -> str:
    """The right numbers after they went through a narrower dtype."""
    dtype = type_of(got).dtype
    through = NARROWER.get(dtype, ()) + (THROUGH if got.dtype.kind in "iu" and got.itemsize >= 4 else ())
    for name in through:
        if np.array_equal(
            right.astype(DTYPES[name].np).astype(got.dtype)[wrong], got[wrong], equal_nan=name[0] == "f" == dtype[0]
        ):
            return f"gone through {name}"
    return ""


def bits(got: Array, right: Array, wrong: Array) -> str:
    """The right floats with low bits of the significand cleared, as truncation to an odd format does."""
    if got.dtype not in (np.float32, np.float64):
        return ""
    unsigned = f"u{got.itemsize}"
    lost = got.view(unsigned)[wrong] ^ right.view(unsigned)[wrong]
    kept = got.view(unsigned)[wrong] & lost
    most = int(lost.max()).bit_length()
    precision = DTYPES[type_of(got).dtype].precision
    if kept.any() or not 2 < most < precision - 1:
        return ""
    return f"cut off to about {precision - most} of {precision} significant bits"


def permuted(got: Array, right: Array, wrong: Array) -> str:
    """The right elements in another order, which is named where it is a plain one."""
    if not 2 <= got.size <= SEARCHED or sorted(_each(got)) != sorted(_each(right)):
        return ""
    for axis in range(right.ndim):
        if _bits(np.flip(right, axis)) == _bits(got):
            return f"reversed along axis {axis}"
    turned = (right.ravel(order="F"), right.ravel().reshape(right.shape[::-1]).T)
    if right.ndim > 1 and _bits(got) in map(_bits, turned):
        return "elements in column-major order"
    for k in range(1, right.size):
        if _bits(np.roll(right.reshape(-1), k)) == _bits(got):
            return f"rotated by {k} {_plural('element', k)}"
    return "the right elements in another order"


def shifted(got: Array, right: Array, wrong: Array) -> str:
    """Each element is the one that belongs some places on, or back, as far as that can be seen."""
    if got.size > SEARCHED:
        return ""
    a, b = _each(got.reshape(-1)), _each(right.reshape(-1))
    for k in range(1, len(a) // 2 + 1) if len(set(b)) > 1 else ():
        if a[:-k] == b[k:]:
            return f"shifted: each is the element {k} {_plural('place', k)} on"
        if a[k:] == b[:-k]:
            return f"shifted: each is the element {k} {_plural('place', k)} back"
    return ""


def repeated(got: Array, right: Array, wrong: Array) -> str:
    """Each wrong element is the right one that lies some places ahead, as where a counter wraps."""
    if got.size > SEARCHED:
        return ""
    a, b = _each(got.reshape(-1)), _each(right.reshape(-1))
    at = np.flatnonzero(wrong)
    for k in range(1, len(a)) if len(set(b)) > 1 else ():
        if at[0] >= k and all(a[i] == b[i - k] for i in at):
            return f"repeated: each is the element {k} {_plural('place', k)} back"
    return ""


LOOKS: tuple[Look, ...] = (
    pattern, zero_sign, imaginary, nan, flushed, sign, permuted, shifted, repeated, truncated, bits, zeros,
)  # fmt: skip  # in the order in which they are asked


def part(wrong: Array) -> str:
    """Which part of the array is wrong, "" for all of it or an irregular part."""
    flat = np.flatnonzero(wrong)
    n, size = len(flat), wrong.size
    if n in (0, size):
        return ""
    if flat[0] == size - n:
        return f"the last {n} of {size} elements"
    if flat[-1] == n - 1:
        return f"the first {n} of {size} elements"
    for axis in range(wrong.ndim) if wrong.ndim > 1 else ():
        others = tuple(k for k in range(wrong.ndim) if k != axis)
        rows = np.flatnonzero(wrong.any(axis=others))
        if len(rows) == 1 and n == size // wrong.shape[axis]:
            return f"index {rows[0]} of axis {axis}"
    if n > 1 and flat[-1] - flat[0] == n - 1:
        return f"elements {flat[0]} to {flat[-1]} of {size}"
    return ""


# -------------------------------------------------------------------------------------------------------------- helpers
def traceable(array: Array, number: int) -> Array:
    """An array like `array` whose elements tell which input, by `number`, and which place they are from."""
    values = np.arange(array.size).reshape(array.shape) % 50 + 1 + 50 * (number % 2)
    return np.asarray(values % 2 == 0 if array.dtype.kind == "b" else values).astype(array.dtype)


def _bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _each(array: Array) -> list[bytes]:
    data, size = _bits(array), array.itemsize
    return [data[i : i + size] for i in range(0, len(data), size)]


def _plural(word: str, n: int) -> str:
    return word if n == 1 else f"{word}s"


def names_of(values: Mapping[int, Array], but: int) -> Iterator[tuple[str, Array]]:
    """`v0`, `v1` ... with their arrays, without that of one value."""
    for v, array in values.items():
        if v != but:
            yield f"v{v}", array
