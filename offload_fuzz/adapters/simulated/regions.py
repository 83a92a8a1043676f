"""Compiled regions of the simulated device: products contracted, values kept wider than their dtype, by draw.

A value that an element-wise op makes inside a region may reach its users unrounded, as float64. What leaves the region,
and what any other op is given, is rounded to its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from offload_fuzz.adapters.simulated.arithmetic import kernel_of
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.rounding import rounded
from offload_fuzz.ops.base import Op
from offload_fuzz.types import DTYPES, Array, ArrayType

#: Ops whose kernels take operands of any float format and round only at the end.
WIDE = frozenset({"add", "subtract", "multiply", "divide", "square", "sqrt"})
KEPT = frozenset(d for d, f in DTYPES.items() if f.kind == "real floating" and f.bits <= 32)

#: op, numbers of what it is given, attributes, type of the result
Step: TypeAlias = tuple[Op, Sequence[int], Mapping[str, Any], ArrayType]


def run(
    steps: Sequence[Step],
    operands: Sequence[Array],
    results: Sequence[int],
    draws: Draws,
    fused: Callable[..., Any] = lambda value, *circumstances: value,
) -> list[Any]:
    """The values numbered `results`, rounded to their dtypes; numbers below len(operands) are these.

    fused: the hook of that name.
    """
    values: list[Any] = list(operands)
    types = [None] * len(operands) + [type for *_, type in steps]
    for k, (op, numbers, attributes, type) in enumerate(steps):
        given = [values[n] if op.name in WIDE else _settled(values[n], types[n]) for n in numbers]
        kernel = kernel_of(op, type)
        wide = op.name in WIDE and type.dtype in KEPT and draws.below(2)
        value = kernel(given, attributes, ArrayType("float64", type.shape) if wide else type, draws)
        values.append(fused(value, k, steps, values))
    return [_settled(values[n], types[n]) for n in results]


def _settled(x: Any, type: ArrayType | None) -> Any:
    return x if type is None or x.dtype == type.np else rounded(x, type.np)
