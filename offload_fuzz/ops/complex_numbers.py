"""Element-wise functions of complex numbers: real, imag, conj."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import computed, exact
from offload_fuzz.ops.base import Application, Op, Operand, TypeRule, register, same_type
from offload_fuzz.ops.base import exact as exactly
from offload_fuzz.ops.complex_rules import component_type, on_rectangle
from offload_fuzz.ops.rules import Value
from offload_fuzz.types import Array


def _row(name: str, numpy: Callable[[Array], Any], type_rule: TypeRule, summary: str) -> Op:
    """Register an op that takes a component, bits and all, or negates one, which leaves a NaN's payload open."""

    def rule(a: Application) -> Value:
        value = np.asarray(numpy(a.values[0]))
        if not a.operands[0].is_singleton:
            return value, on_rectangle(name, a)
        return value, exact(value) if type_rule is component_type else computed(value)

    return register(
        Op(
            name, "elementwise", ("complex floating",), exactly, type_rule, numpy, rule, operands=(Operand(),),
            monotone=("other",), elementwise=True, moves=type_rule is component_type, summary=summary,
        )
    )  # fmt: skip  # one row


COMPLEX = [
    _row("real", lambda x: x.real.copy(), component_type, "real part of a complex number"),
    _row("imag", lambda x: x.imag.copy(), component_type, "imaginary part of a complex number"),
    _row("conj", np.conjugate, same_type, "complex conjugate: the imaginary part negated"),
]
