"""dtypes, their kinds and promotion, and `ArrayType`: the words that every other module speaks in.

Kinds and promotion are those of the Python array API standard 2024.12 (`isdtype`, "Type Promotion Rules"),
extended by float16 and bfloat16, which promote to float32 and float64 but not with each other, and by the narrow dtypes
(float8, int4) of ml_dtypes, which are moved, cast and compared, and promote with nothing.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from attrs import field, frozen

from offload_fuzz.errors import InvalidProgram

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: NumPy's own limit on the number of axes.
MAX_NDIM = 64


@frozen
class DType:
    """A dtype: its name, kind, width in bits and NumPy dtype; for floats also the shape of the format.

    `precision` counts significand bits with the hidden one; `emin` and `emax` are the exponents of the smallest
    normal and of the largest finite number when a number is written 1.f * 2**e (IEEE 754-2019, section 3.3).
    `component` is the dtype of the real and of the imaginary part of a complex dtype. `finite`: the format has no
    infinity, and the bits of its last number are a NaN (Micikevicius et al., "FP8 Formats for Deep Learning", 2022).
    """

    name: str
    kind: str
    bits: int
    np: np.dtype[Any]
    precision: int = 0
    emin: int = 0
    emax: int = 0
    component: str = ""
    finite: bool = False

    @property
    def eta(self) -> float:
        """The smallest positive subnormal."""
        return math.ldexp(1.0, self.emin - self.precision + 1)

    @property
    def unit(self) -> float:
        """The unit roundoff u = 2**-p."""
        return math.ldexp(1.0, -self.precision)

    @property
    def max(self) -> float:
        """The largest finite number."""
        return math.ldexp(2.0 - math.ldexp(1.0, 1 + self.finite - self.precision), self.emax)

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest number of an integer dtype."""
        signed = self.kind in ("signed integer", "narrow signed integer")
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)


def _dtype(name: str, kind: str, precision: int = 0, emin: int = 0, emax: int = 0, **more: Any) -> DType:
    dt = np.dtype(getattr(ml_dtypes, name, name))
    bits = 4 if "int4" in (name, name[1:]) else dt.itemsize * 8
    return DType(name, kind, bits, dt, precision, emin, emax, **more)


DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        _dtype("bool", "bool"),
        *(_dtype(f"int{b}", "signed integer") for b in (8, 16, 32, 64)),
        *(_dtype(f"uint{b}", "unsigned integer") for b in (8, 16, 32, 64)),
        _dtype("float16", "real floating", 11, -14, 15),
        _dtype("bfloat16", "real floating", 8, -126, 127),
        _dtype("float32", "real floating", 24, -126, 127),
        _dtype("float64", "real floating", 53, -1022, 1023),
        _dtype("complex64", "complex floating", component="float32"),
        _dtype("complex128", "complex floating", component="float64"),
        _dtype("float8_e4m3fn", "narrow floating", 4, -6, 8, finite=True),
        _dtype("float8_e5m2", "narrow floating", 3, -14, 15),
        _dtype("int4", "narrow signed integer"),
        _dtype("uint4", "narrow unsigned integer"),
    )
}

NAMES: dict[np.dtype[Any], str] = {d.np: d.name for d in DTYPES.values()}

KINDS: dict[str, frozenset[str]] = {
    "bool": frozenset({"bool"}),
    "signed integer": frozenset({"signed integer"}),
    "unsigned integer": frozenset({"unsigned integer"}),
    "integral": frozenset({"signed integer", "unsigned integer"}),
    "real floating": frozenset({"real floating"}),
    "complex floating": frozenset({"complex floating"}),
    "narrow floating": frozenset({"narrow floating"}),
    "narrow integer": frozenset({"narrow signed integer", "narrow unsigned integer"}),
    "real numeric": frozenset({"signed integer", "unsigned integer", "real floating"}),
    "numeric": frozenset({"signed integer", "unsigned integer", "real floating", "complex floating"}),
    "any": frozenset(d.kind for d in DTYPES.values()),
}


def is_floating(dtype: str) -> bool:
    """Whether `dtype` is a real floating-point dtype, a narrow one included."""
    return DTYPES[dtype].precision > 0


def is_complex(dtype: str) -> bool:
    """Whether `dtype` is a complex floating-point dtype."""
    return DTYPES[dtype].kind == "complex floating"


def has_nan(dtype: str) -> bool:
    """Whether `dtype` is a real or complex floating-point dtype."""
    return DTYPES[dtype].precision > 0 or DTYPES[dtype].component != ""


@cache
def dtypes_of(*kinds: str) -> tuple[str, ...]:
    """The names of the dtypes of any of `kinds`, in table order."""
    wanted = frozenset().union(*(KINDS[k] for k in kinds))
    return tuple(d.name for d in DTYPES.values() if d.kind in wanted)


@cache
def promote(dtype1: str, dtype2: str) -> str:
    """The dtype of `dtype1` op `dtype2` (array API, "Type Promotion Rules"); raises `InvalidProgram` across kinds."""
    for dtype in (dtype1, dtype2):
        if dtype not in DTYPES:
            raise InvalidProgram(f"dtype is {dtype!r} but should be one of {', '.join(DTYPES)}")
    if dtype1 == dtype2:
        return dtype1
    a, b = sorted((DTYPES[dtype1], DTYPES[dtype2]), key=lambda d: d.bits)
    if a.kind == b.kind and (a.bits < b.bits):
        return b.name
    if {a.kind, b.kind} == KINDS["integral"]:
        signed, unsigned = (a, b) if a.kind == "signed integer" else (b, a)
        bits = signed.bits if signed.bits > unsigned.bits else 2 * unsigned.bits
        if bits <= 64:
            return f"int{bits}"
    parts = {d.component or d.name for d in (a, b)}
    if (a.component or b.component) and parts <= {"float32", "float64"}:
        return "complex128" if "float64" in parts else "complex64"
    raise InvalidProgram(f"{dtype1} and {dtype2} do not promote; insert an astype")


@cache
def common_dtype(dtype1: str, dtype2: str) -> str | None:
    """`promote`, or None where the two do not."""
    try:
        return promote(dtype1, dtype2)
    except InvalidProgram:
        return None


@frozen(slots=True, str=False)
class ArrayType:
    """A dtype and a shape, printed `float32[2,3]`. Raises `InvalidProgram` for an unknown dtype or a bad shape."""

    dtype: str
    shape: tuple[int, ...] = field()

    def __attrs_post_init__(self) -> None:
        if type(self.dtype) is not str or self.dtype not in DTYPES:
            raise InvalidProgram(f"dtype is {self.dtype!r} but should be one of {', '.join(DTYPES)}")
        wrong = type(self.shape) is not tuple
        for n in self.shape if not wrong else ():
            wrong = wrong or type(n) is not int or n < 0
        if wrong:
            raise InvalidProgram(f"shape is {self.shape!r} but should be a tuple of non-negative ints")
        if len(self.shape) > MAX_NDIM:
            raise InvalidProgram(f"shape has {len(self.shape)} axes but should have at most {MAX_NDIM}, as in NumPy")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * DTYPES[self.dtype].np.itemsize

    @property
    def np(self) -> np.dtype[Any]:
        return DTYPES[self.dtype].np

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def bits_of(array: Array) -> Array:
    """The bits of each element as unsigned ints, in a last axis of one, of two for complex128."""
    words = 1 + (array.itemsize > 8)
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(f"u{array.itemsize // words}").reshape(*array.shape, words)


def differing(a: Array, b: Array) -> Array:
    """Per element whether two arrays of one dtype and shape have other bits."""
    return np.asarray(np.any(bits_of(a) != bits_of(b), axis=-1))


#: Bytes of which the address of a plain host array is a multiple.
ALIGNMENT = 64


def is_aligned(array: Array) -> bool:
    """Whether the first element is at a multiple of 64 bytes; NumPy's own arrays are by chance."""
    return bool(array.__array_interface__["data"][0] % ALIGNMENT == 0)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Uninitialised C-contiguous memory at a multiple of 64 bytes."""
    nbytes = dtype.itemsize * math.prod(shape)
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return np.ndarray(shape, dtype, raw[start : start + nbytes])


def type_of(array: Array) -> ArrayType:
    """The `ArrayType` of a NumPy array; raises `InvalidProgram` for a dtype outside the table."""
    name = NAMES.get(array.dtype)
    if name is None:
        raise InvalidProgram(f"array has dtype {array.dtype} but should have one of {', '.join(DTYPES)}")
    return ArrayType(name, array.shape)
