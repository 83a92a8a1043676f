"""Data type functions of the array API standard: astype."""

from __future__ import annotations

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import (
    Enclosure,
    between,
    components,
    computed,
    exact,
    extremes,
    is_float,
    joined,
    largest,
    parts,
    smallest,
    some,
    whole,
)
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, DTypeName, correctly_rounded, shaped
from offload_fuzz.ops.ranges import holds_zero
from offload_fuzz.ops.rounding import nearest
from offload_fuzz.ops.rules import Value
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_complex, is_floating

#: Conversions for which NumPy and ml_dtypes round to float32 on the way.
THROUGH_FLOAT32 = frozenset(
    {
        f"{source}->{target}"
        for target in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
        for source in ("float64", "int32", "uint32", "int64", "uint64")
    }
    | {f"{source}->float16" for source in ("int32", "uint32", "int64", "uint64")}
)


def fits(x: Array, *, dtype: str) -> bool:
    """The standard leaves conversions to integers that cannot hold the value open."""
    if dtype == "bool" or is_floating(dtype) or is_complex(dtype) or x.dtype.kind == "b" or x.size == 0:
        return True
    bottom, top = DTYPES[dtype].range
    if not is_float(x.dtype):
        return int(x.min()) >= bottom and int(x.max()) <= top
    whole_part = np.trunc(x.astype(np.float64))
    return not some(~((whole_part >= float(bottom)) & (whole_part < float(top + 1))))


def cast(x: Array, *, dtype: str) -> Array:
    """`x` converted directly: rounded once, to nearest even; truncated to integers; complex numbers by component."""
    if is_complex(dtype):
        return x.astype(DTYPES[dtype].np)
    if f"{NAMES[x.dtype]}->{dtype}" in THROUGH_FLOAT32:
        return nearest(x, dtype)
    if DTYPES[dtype].bits < 8 and x.dtype.kind == "V":
        x = x.astype(np.float32)  # ml_dtypes has no conversions among its own
    return x.astype(DTYPES[dtype].np)


def astype_rule(a: Application) -> Value:
    """astype: exact where it fits; rounded directly, or through float32 where the contract says so."""
    (e,) = a.operands
    target = a.type.dtype
    value = cast(a.values[0], dtype=target)
    if is_complex(target):
        return _complex(a)
    if target == "bool":
        return value, exact(value) if e.is_singleton else truth(e)
    if not is_floating(target):
        return value, _integers(e, value, a)
    if target in a.contract.saturating_casts:
        return value, _saturated(e, value, a)
    if e.is_singleton:
        lo, hi = _roundings(e.lo, value, a)
        return value, computed(value) if lo is hi else between(lo, hi, *[np.isnan(lo)] * 2)
    b = e.bounds()
    lo, hi = _roundings(b.lo, cast(b.lo, dtype=target), a)[0], _roundings(b.hi, cast(b.hi, dtype=target), a)[1]
    return value, between(lo, hi, b.nan, b.empty)


def _saturated(e: Enclosure, value: Array, a: Application) -> Enclosure | None:
    """Beyond the largest number also that number; unknown for operands that are not known to the bit."""
    if not e.is_singleton:
        return None
    lo, hi = _roundings(e.lo, value, a)
    top = DTYPES[a.type.dtype].max
    x = e.lo.astype(np.longdouble)
    limit = np.asarray(np.where(x > 0, top, -top), a.type.np)
    over = (np.abs(x) > top) & ~np.isnan(x)
    absent, never = extremes(a.type.np)[::-1]
    nan = np.isnan(lo)
    lo, hi = np.where(nan, absent, lo), np.where(nan, never, hi)
    return Enclosure(lo, hi, np.where(over, limit, absent), np.where(over, limit, never), nan)


def _complex(a: Application) -> Value:
    """Each component of a complex number as a real one; a real number with the imaginary part 0, rounded once."""
    x, component = a.values[0], DTYPES[a.type.dtype].component
    real = x.dtype.kind != "c"
    operand = a.operands[0] if real else parts(a.operands[0])
    values = x if real else components(x)
    value, e = astype_rule(evolve(a, operands=[operand], values=[values], type=ArrayType(component, values.shape)))
    if not real:
        return joined(exact(value)).lo, None if e is None else joined(e)

    def with_zero(part: Array) -> Array:
        return np.stack([part, np.zeros(part.shape, part.dtype)], axis=-1)

    return joined(exact(with_zero(value))).lo, None if e is None else joined(e.move(with_zero))


def truth(e: Enclosure) -> Enclosure:
    """Of float zeros both are False; NaN is True."""
    b = e.bounds()
    zero = np.zeros((), b.lo.dtype)
    must = b.empty | ~holds_zero(b)
    may = b.nan | (b.lo != zero) | (b.hi != zero)
    return between(np.asarray(must), np.asarray(may)) if some(must != may) else exact(np.asarray(may))


def _integers(e: Enclosure, value: Array, a: Application) -> Enclosure | None:
    """Truncation is increasing; what does not fit may become any number, and integers wrap if they are certain."""
    target, source = a.type.dtype, e.lo.dtype
    if e.is_singleton:
        return exact(value) if not is_float(source) or fits(e.lo, dtype=target) else whole(a.type)
    b = e.bounds()
    if not some(b.nan) and fits(b.lo, dtype=target) and fits(b.hi, dtype=target):
        lo, hi = cast(b.lo, dtype=target), cast(b.hi, dtype=target)
        return between(lo, hi) if some(lo != hi) else exact(lo)
    if is_float(source):
        return whole(a.type)
    return exact(value) if e.is_certain else None


def _roundings(x: Array, direct: Array, a: Application) -> tuple[Array, Array]:
    """The smallest and largest of the roundings that the contract allows, `direct` being one."""
    conversion = f"{NAMES[x.dtype]}->{a.type.dtype}"
    if conversion not in a.contract.cast_through_float32:
        return direct, direct
    through = x.astype(np.float32).astype(direct.dtype)
    if not some(through != direct):
        return direct, direct
    return smallest(direct, through), largest(direct, through)


@shaped(cast, astype_rule, "data type", accuracy=correctly_rounded, attributes={"dtype": DTypeName()}, defined=fits)
def astype(x: ArrayType, *, dtype: str) -> ArrayType:
    """Elements converted to another dtype, rounding to nearest even, truncating to integers."""
    require(not is_complex(x.dtype) or is_complex(dtype), f"astype takes {x} to a complex dtype only, got {dtype}")
    return ArrayType(dtype, x.shape)
