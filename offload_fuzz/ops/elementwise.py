"""Element-wise ops of the array API standard, as rows (name, NumPy function, kinds, accuracy, monotone)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.ops.base import (
    Accuracy,
    Domain,
    EncloseRule,
    Op,
    Operand,
    TypeRule,
    broadcast_shapes,
    broadcast_to_bool,
    broadcast_type,
    correctly_rounded,
    exact,
    register,
    same_type,
    to_bool,
    ulps,
)
from offload_fuzz.ops.complex_rules import abs_rule, component_type, componentwise, elementwise_product
from offload_fuzz.ops.elementwise_rules import (
    compare_rule,
    extremum_rule,
    floor_divide_rule,
    isnan_rule,
    remainder_rule,
    where_rule,
)
from offload_fuzz.ops.rules import RULES, quotient_rule, rounded_rule
from offload_fuzz.ops.sums import matmul_rule
from offload_fuzz.types import Array, ArrayType, promote

NUMERIC, WITH_COMPLEX, FLOATING, INTEGRAL, BOOL, BITS, ANY = (
    ("real numeric",),
    ("numeric",),
    ("real floating",),
    ("integral",),
    ("bool",),
    ("bool", "integral"),
    ("any",),
)
UP, DOWN, OTHER = "increasing", "decreasing", ("other", "other")
BINARY = (Operand(), Operand("broadcast"))


def row(
    name: str,
    numpy: Callable[..., Any],
    kinds: tuple[str, ...],
    accuracy: Accuracy,
    *monotone: str,
    type_rule: TypeRule | None = None,
    enclose: EncloseRule | None = None,
    defined: Callable[..., bool] | None = None,
    operands: tuple[Operand, ...] | None = None,
    attributes: dict[str, Domain] | None = None,
    summary: str = "",
) -> Op:
    """Register one element-wise op; its arity is that of the NumPy function."""
    arity = numpy.nin if isinstance(numpy, np.ufunc) else len(monotone)
    return register(
        Op(
            name,
            "elementwise",
            kinds,
            accuracy,
            type_rule or (same_type if arity == 1 else broadcast_type),
            numpy,
            enclose or RULES[accuracy.kind],
            operands=operands or ((Operand(),) if arity == 1 else BINARY),
            attributes=attributes or {},
            monotone=monotone,
            elementwise=True,
            defined=defined,
            summary=summary or f"numpy.{getattr(numpy, '__name__', name)} on {' or '.join(kinds)} dtypes",
        )
    )


# -------------------------------------------------------------------------------- where the standard is silent
def divisible(x1: Array, x2: Array) -> bool:
    """Integer division is defined for nonzero divisors, and not for the most negative number by -1."""
    if x1.dtype.kind not in "iu":
        return True
    if not bool((x2 != 0).all()):
        return False
    return x1.dtype.kind == "u" or not bool(((x1 == np.iinfo(x1.dtype).min) & (x2 == -1)).any())


def where_type(condition: ArrayType, x1: ArrayType, x2: ArrayType) -> ArrayType:
    """The promoted dtype of x1 and x2 over the common shape."""
    return ArrayType(promote(x1.dtype, x2.dtype), broadcast_shapes(condition.shape, x1.shape, x2.shape))


product_rule = elementwise_product(matmul_rule, rounded_rule)

UNARY = [
    row("negative", np.negative, WITH_COMPLEX, exact, DOWN, enclose=componentwise(rounded_rule)),
    row("abs", np.abs, WITH_COMPLEX, exact, "other", type_rule=component_type, enclose=abs_rule(rounded_rule)),
    row("square", np.square, WITH_COMPLEX, correctly_rounded, "other", enclose=product_rule),
    row("sqrt", np.sqrt, FLOATING, correctly_rounded, UP, enclose=quotient_rule),
    row("exp", np.exp, FLOATING, ulps(4), UP),
    row("log", np.log, FLOATING, ulps(4), UP),
    row("sin", np.sin, FLOATING, ulps(4), "other"),
    row("tanh", np.tanh, FLOATING, ulps(4), UP),
    row("floor", np.floor, FLOATING, exact, UP),
    row("round", np.rint, FLOATING, exact, UP),
    row("logical_not", np.logical_not, BOOL, exact, DOWN),
    row("bitwise_invert", np.invert, BITS, exact, DOWN),
    row("isnan", np.isnan, FLOATING, exact, "other", type_rule=to_bool, enclose=isnan_rule),
]

BINARY_OPS = [
    row("add", np.add, WITH_COMPLEX, correctly_rounded, UP, UP, enclose=componentwise(rounded_rule)),
    row("subtract", np.subtract, WITH_COMPLEX, correctly_rounded, UP, DOWN, enclose=componentwise(rounded_rule)),
    row("multiply", np.multiply, WITH_COMPLEX, correctly_rounded, *OTHER, enclose=product_rule),
    row("divide", np.divide, FLOATING, correctly_rounded, *OTHER, enclose=quotient_rule),
    row("floor_divide", np.floor_divide, NUMERIC, exact, *OTHER, enclose=floor_divide_rule, defined=divisible),
    row("remainder", np.remainder, NUMERIC, exact, *OTHER, enclose=remainder_rule, defined=divisible),
    row("pow", np.power, FLOATING, ulps(4), *OTHER),
    row("minimum", np.minimum, NUMERIC, exact, UP, UP, enclose=extremum_rule),
    row("maximum", np.maximum, NUMERIC, exact, UP, UP, enclose=extremum_rule),
    row("equal", np.equal, ANY, exact, *OTHER, type_rule=broadcast_to_bool, enclose=compare_rule),
    row("less", np.less, NUMERIC, exact, *OTHER, type_rule=broadcast_to_bool, enclose=compare_rule),
    row("logical_and", np.logical_and, BOOL, exact, UP, UP),
    row("bitwise_and", np.bitwise_and, BITS, exact, *OTHER),
    row("bitwise_xor", np.bitwise_xor, BITS, exact, *OTHER),
]

register(
    Op(
        "where",
        "searching",
        ANY,
        exact,
        where_type,
        np.where,
        where_rule,
        operands=(Operand("any", "bool"), Operand("broadcast"), Operand("broadcast")),
        summary="elements of x1 where the condition holds, else of x2",
    )
)
