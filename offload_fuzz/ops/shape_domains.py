"""Attribute domains of ops that make, shift, pad and repeat arrays, beside those of `ops.base`."""

from __future__ import annotations

from attrs import frozen


@frozen
class Shape:
    """The shape of an array that is made."""


@frozen
class ResultDType:
    """The name of the dtype of an array that is made."""


@frozen
class Fill:
    """An element of the result's dtype: a bool, an int or a float that it holds exactly, NaN and infinities too."""


@frozen
class Number:
    """A finite number; the type rule says which. plain: the simplest one; without `zero`, 0 is none of them."""

    plain: int = 0
    zero: bool = True


@frozen
class Offset:
    """An int of either sign, |n| < 2**31; 0 is the plain one."""


@frozen
class Count:
    """An int from 0 to 2**31 - 1; 1 is the plain one."""


@frozen
class Position:
    """A position along the axis that the attribute `axis` names, which comes before this one."""

    axis: str = "axis"


@frozen
class NegativeAxis:
    """An axis counted from the last, which is -1, the plain one."""


@frozen
class Repetitions:
    """How often each axis is repeated."""


@frozen
class Widths:
    """A (before, after) for each axis."""
