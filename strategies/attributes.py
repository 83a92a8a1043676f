"""Attributes drawn from their domains, for a given first operand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from offload_fuzz.ops import base, shape_domains
from offload_fuzz.ops.base import Op
from offload_fuzz.types import DTYPES, ArrayType, is_complex

from .arrays import draw_dtype
from .choices import Choices
from .neural import anchor_ranks
from .operands import anchor_position
from .shape_attributes import draw_fill, draw_number, draw_repetitions, draw_widths

#: relation of the first operand -> the rank that it must have at least.
ANCHOR_NDIM = {"vector": 1, "sorted": 1, "triple": 1, "matrix": 2}


@cache
def min_ndim(op: Op) -> int:
    """The rank that the first operand must have at least, from the op's relations and domains."""
    if any(o.relation == "contracts" for o in op.operands):
        return 2
    if op.operands and op.operands[0].relation in ANCHOR_NDIM:
        return ANCHOR_NDIM[op.operands[0].relation]
    ranks = anchor_ranks(op, anchor_position(op)) if op.operands else None
    if ranks is not None:
        return ranks[0]
    domains = (base.UnitAxes, base.Index, shape_domains.NegativeAxis)
    return int(any(isinstance(d, domains) or d == base.Axis() for d in op.attributes.values()))


def draw_attributes(op: Op, x: ArrayType, choices: Choices, dtypes: tuple[str, ...]) -> dict[str, Any]:
    """One value per attribute of `op`, lawful for a first operand of type `x`."""
    drawn: dict[str, Any] = {}
    for name, domain in op.attributes.items():
        if isinstance(domain, shape_domains.Position):
            axis = drawn[domain.axis]
            drawn[name] = choices.below(max(x.shape[axis], 1)) if -x.ndim <= axis < x.ndim else 0
        else:
            drawn[name] = DRAW[type(domain)](domain, x, choices, dtypes)
    return drawn


def _axis(domain: Any, x: ArrayType, choices: Choices, _: Any) -> int | None:
    if domain.optional and choices.chance(50):
        return None
    axis = choices.below(x.ndim)
    return axis - x.ndim if choices.chance(15) else axis


def _dtype_name(_: Any, x: ArrayType, choices: Choices, dtypes: tuple[str, ...]) -> str:
    """A dtype to convert to, in one of eight the operand's own; complex numbers to complex ones only."""
    if x.dtype in dtypes and choices.chance(12):
        return x.dtype
    if is_complex(x.dtype):
        return choices.pick([d for d in dtypes if is_complex(d)])
    return draw_dtype(choices, dtypes)


def _some_axes(candidates: list[int], choices: Choices) -> tuple[int, ...]:
    first = choices.pick(candidates)
    second = choices.pick(candidates)
    return (first,) if first == second or choices.chance(60) else (first, second)


def _axes(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...] | None:
    if not x.ndim or choices.chance(25):
        return None
    return _some_axes(list(range(x.ndim)), choices)


def _unit_axes(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...]:
    units = [i for i, n in enumerate(x.shape) if n == 1]
    return _some_axes(units, choices) if units else ()


def _range(domain: Any, _: ArrayType, choices: Choices, __: Any) -> float:
    if isinstance(domain.lo, int) and isinstance(domain.hi, int):
        return domain.lo + choices.below(domain.hi - domain.lo + 1)
    return float(domain.lo + (domain.hi - domain.lo) * choices.below(17) / 16)


def _same_size_shape(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...]:
    if not x.size:
        return choices.pick(((0,), (0, 2), (3, 0)))
    kind = choices.below(4)
    if kind == 0 or not x.ndim:
        return (x.size,) if kind != 3 else (1, x.size)
    if kind == 1:
        return tuple(reversed(x.shape))
    if kind == 2:
        divisors = [d for d in (2, 3, 4, 5, 7, 8, 16) if x.size % d == 0]
        d = choices.pick(divisors) if divisors else 1
        return (d, x.size // d)
    return (*x.shape, 1)


def _broadcast_shape(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...]:
    wide = tuple(choices.pick((2, 3, 1, 5)) if n == 1 else n for n in x.shape)
    return (choices.pick((2, 3, 1)), *wide) if x.ndim < 5 and choices.chance(60) else wide


def _permutation(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[int, ...]:
    left = list(range(x.ndim))[::-1]
    return tuple(left.pop(choices.below(len(left))) for _ in range(x.ndim))


def _new_axis(_: Any, x: ArrayType, choices: Choices, __: Any) -> int:
    return choices.below(x.ndim + 1)


def _index(_: Any, x: ArrayType, choices: Choices, __: Any) -> tuple[tuple[int | None, int | None, int | None], ...]:
    parts: list[tuple[int | None, int | None, int | None]] = []
    for n in x.shape:
        kind = choices.below(6)
        if kind == 0 or n < 2:
            parts.append((None, None, None))
        elif kind == 1:
            parts.append((None, None, -1))
        elif kind == 2:  # two elements at least where a step would leave one
            step = choices.pick((2, 1, 3, 2))
            parts.append((choices.below(max(n - step, 1)), None, step))
        elif kind == 3:
            parts.append((None, 1 + choices.below(n), choices.pick((1, 2))))
        elif kind == 4:
            parts.append((-1 - choices.below(n), None, -choices.pick((1, 2))))
        else:
            start = choices.below(n)
            parts.append((start, start + 1 + choices.below(n - start), 1))
    return tuple(parts)


def _same_width(_: Any, x: ArrayType, choices: Choices, dtypes: tuple[str, ...]) -> str:
    """Of the dtypes there are; the operand's own is always one."""
    bits = DTYPES[x.dtype].bits
    return choices.pick([d for d in DTYPES if DTYPES[d].bits == bits and d != "bool" and d in {*dtypes, x.dtype}])


def _window(domain: Any, x: ArrayType, choices: Choices, _: Any) -> int:
    fits = min(x.shape[domain.first :], default=1)
    drawn = int(domain.least) + choices.below(domain.most - domain.least + 1)
    return max(1, min(fits, drawn))


def _divisor(domain: Any, x: ArrayType, choices: Choices, _: Any) -> int:
    n = x.shape[domain.axis] if domain.axis < x.ndim else 0
    return choices.pick([r for r in (1, 2, 3, 4, 8, 16, 32) if r == 1 or (n and n % r**domain.power == 0)])


DRAW: dict[type, Callable[[Any, ArrayType, Choices, tuple[str, ...]], Any]] = {
    base.Axis: _axis,
    base.Axes: _axes,
    base.Bool: lambda _, __, choices, ___: choices.chance(40),
    base.Range: _range,
    base.Choice: lambda domain, _, choices, __: choices.pick(domain.values),
    base.DTypeName: _dtype_name,
    base.SameWidthDType: _same_width,
    base.SameSizeShape: _same_size_shape,
    base.BroadcastShape: _broadcast_shape,
    base.Permutation: _permutation,
    base.UnitAxes: _unit_axes,
    base.NewAxis: _new_axis,
    base.Index: _index,
    shape_domains.Shape: lambda _, x, choices, __: x.shape,
    shape_domains.ResultDType: lambda _, x, choices, __: x.dtype,
    shape_domains.Fill: draw_fill,
    shape_domains.Number: draw_number,
    shape_domains.Offset: lambda _, __, choices, ___: choices.pick((0, 1, -1, 2, 0, -2, 3, 5)),
    shape_domains.Count: lambda _, __, choices, ___: choices.pick((1, 2, 3, 4, 2, 5, 7, 0)),
    shape_domains.NegativeAxis: lambda _, x, choices, __: -1 - choices.below(max(x.ndim, 1)),
    shape_domains.Repetitions: draw_repetitions,
    shape_domains.Widths: draw_widths,
    base.Window: _window,
    base.Divisor: _divisor,
}

__all__ = ["draw_attributes", "min_ndim"]
