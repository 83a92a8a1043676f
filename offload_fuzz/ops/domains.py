"""What each attribute domain admits: the check of attributes that come from a file, a text or a user's hand.

A type rule may then rely on the kinds of its attributes; it still judges their values against its operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import base, shape_domains
from offload_fuzz.types import DTYPES, MAX_NDIM
from offload_fuzz.untrusted import shown


def _int(value: Any) -> bool:
    return type(value) is int  # a bool is no axis


def _ints(value: Any) -> bool:
    return type(value) is tuple and len(value) <= MAX_NDIM and all(map(_int, value))


def _shape(_: Any, value: Any) -> bool:
    return _ints(value) and all(n >= 0 for n in value)


def _number(domain: Any, value: Any) -> bool:
    return type(value) in (int, float) and domain.lo <= value <= domain.hi


def _choice(domain: Any, value: Any) -> bool:
    return any(type(value) is type(known) and value == known for known in domain.values)


def _finite(domain: Any, value: Any) -> bool:
    finite = type(value) is int or (type(value) is float and math.isfinite(value))
    return finite and (domain.zero or value != 0)


def _below_2_31(lo: int) -> Callable[[Any, Any], bool]:
    return lambda _, value: _int(value) and lo <= value < 2**31


def _widths(_: Any, value: Any) -> bool:
    return type(value) is tuple and all(type(w) is tuple and len(w) == 2 and _shape(None, w) for w in value)


def _index(_: Any, value: Any) -> bool:
    return type(value) is tuple and all(
        type(part) is tuple and len(part) == 3 and all(n is None or _int(n) for n in part) for part in value
    )


#: domain -> (what it admits, how a message says it)
ADMITS: dict[type, tuple[Callable[[Any, Any], bool], str]] = {
    base.Axis: (lambda domain, v: _int(v) or (domain.optional and v is None), "an int"),
    base.Axes: (lambda _, v: v is None or _ints(v), "None or a tuple of ints"),
    base.Bool: (lambda _, v: type(v) is bool, "True or False"),
    base.Range: (_number, "a number in {domain}"),
    base.Choice: (_choice, "one of {domain}"),
    base.DTypeName: (lambda _, v: type(v) is str and v in DTYPES, "the name of a dtype"),
    base.SameWidthDType: (lambda _, v: type(v) is str and v in DTYPES, "the name of a dtype"),
    base.SameSizeShape: (_shape, "a tuple of non-negative ints"),
    base.BroadcastShape: (_shape, "a tuple of non-negative ints"),
    base.Permutation: (lambda _, v: _ints(v), "a tuple of ints"),
    base.UnitAxes: (lambda _, v: _ints(v), "a tuple of ints"),
    base.NewAxis: (lambda _, v: _int(v), "an int"),
    base.Window: (lambda _, v: _int(v) and v >= 1, "an int >= 1"),
    base.Divisor: (lambda _, v: _int(v) and v >= 1, "an int >= 1"),
    base.Index: (_index, "a tuple of (start, stop, step), each an int or None"),
    shape_domains.Shape: (_shape, "a tuple of non-negative ints"),
    shape_domains.ResultDType: (lambda _, v: type(v) is str and v in DTYPES, "the name of a dtype"),
    shape_domains.Fill: (lambda _, v: type(v) in (bool, int, float), "a bool, an int or a float"),
    shape_domains.Number: (_finite, "a finite number of {domain}"),
    shape_domains.Offset: (_below_2_31(1 - 2**31), "an int of less than 32 bits"),
    shape_domains.Count: (_below_2_31(0), "an int from 0 to 2**31 - 1"),
    shape_domains.Position: (_below_2_31(0), "an int from 0 on"),
    shape_domains.NegativeAxis: (lambda _, v: _int(v) and v < 0, "a negative int"),
    shape_domains.Repetitions: (_shape, "a tuple of non-negative ints"),
    shape_domains.Widths: (_widths, "a tuple of (before, after), each a non-negative int"),
}


def check_attributes(op: base.Op, attributes: Mapping[str, Any]) -> None:
    """Raise `InvalidProgram` for an attribute whose value is not of its domain; names are `result_type`'s to check."""
    for name, domain in op.attributes.items():
        if name in attributes:
            admits, should_be = ADMITS[type(domain)]
            if not admits(domain, attributes[name]):
                raise InvalidProgram(
                    f"{op.name} has {name}={shown(attributes[name])} but should have {should_be.format(domain=domain)}"
                )


#: How a file, which has JSON's numbers only, says the floats that JSON has not.
UNSAYABLE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def from_file(op: base.Op, name: str, value: Any) -> Any:
    """An attribute's value out of a file: infinities and NaN, which stand there as strings, as floats again."""
    domain = op.attributes.get(name)
    if type(value) is not str or value not in UNSAYABLE or domain is None:
        return value
    return UNSAYABLE[value] if not ADMITS[type(domain)][0](domain, value) else value
