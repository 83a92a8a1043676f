"""Data type functions of the array API standard: astype."""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, computed, exact, is_float, largest, smallest, some, whole
from offload_fuzz.ops.base import Application, DTypeName, correctly_rounded, shaped
from offload_fuzz.ops.ranges import holds_zero
from offload_fuzz.ops.rounding import nearest
from offload_fuzz.ops.rules import Value
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_floating

#: Conversions for which NumPy and ml_dtypes round to float32 on the way.
THROUGH_FLOAT32 = frozenset(
    {f"{source}->bfloat16" for source in ("float64", "int32", "uint32", "int64", "uint64")}
    | {f"{source}->float16" for source in ("int32", "uint32", "int64", "uint64")}
)


def fits(x: Array, *, dtype: str) -> bool:
    """The standard leaves conversions to integers that cannot hold the value open."""
    if dtype == "bool" or is_floating(dtype) or x.dtype.kind == "b" or x.size == 0:
        return True
    info = np.iinfo(DTYPES[dtype].np)
    if x.dtype.kind in "iu":
        return int(x.min()) >= info.min and int(x.max()) <= info.max
    whole_part = np.trunc(x.astype(np.float64))
    return not some(~((whole_part >= float(info.min)) & (whole_part < float(info.max + 1))))


def cast(x: Array, *, dtype: str) -> Array:
    """`x` converted directly: rounded once, to nearest even; truncated to integers."""
    if f"{NAMES[x.dtype]}->{dtype}" in THROUGH_FLOAT32:
        return nearest(x, dtype)
    return x.astype(DTYPES[dtype].np)


def astype_rule(a: Application) -> Value:
    """astype: exact where it fits; rounded directly, or through float32 where the contract says so."""
    (e,) = a.operands
    target = a.type.dtype
    value = cast(a.values[0], dtype=target)
    if target == "bool":
        return value, exact(value) if e.is_singleton else truth(e)
    if not is_floating(target):
        return value, _integers(e, value, a)
    if e.is_singleton:
        lo, hi = _roundings(e.lo, value, a)
        return value, computed(value) if lo is hi else between(lo, hi, *[np.isnan(lo)] * 2)
    b = e.bounds()
    lo, hi = _roundings(b.lo, cast(b.lo, dtype=target), a)[0], _roundings(b.hi, cast(b.hi, dtype=target), a)[1]
    return value, between(lo, hi, b.nan, b.empty)


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
        return exact(value) if source.kind in "biu" or fits(e.lo, dtype=target) else whole(a.type)
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
    return ArrayType(dtype, x.shape)
