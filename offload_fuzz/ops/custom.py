"""Ops that users define: `defop` and what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np
from attrs import evolve

from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.ops.base import Accuracy, Domain, NumpyMeaning, Op, Operand, TypeRule, exact, register
from offload_fuzz.ops.rules import RULES
from offload_fuzz.types import KINDS, ArrayType


class CustomOp:
    """What `defop` returns: the type rule, waiting for `@name.reference`, which completes the op."""

    def __init__(self, op: Op) -> None:
        self.op = op

    def __call__(self, *types: ArrayType, **attributes: object) -> ArrayType:
        return self.op.type_rule(*types, **attributes)

    def reference(self, function: NumpyMeaning) -> NumpyMeaning:
        """Register the op with its NumPy meaning: called with operands widened to float64 or more, attributes by name.

        Raises `UsageError` when the two signatures do not agree.
        """
        want, got = inspect.signature(self.op.type_rule), inspect.signature(function)
        if list(want.parameters) != list(got.parameters):
            raise UsageError(
                f"the reference of {self.op.name} takes ({', '.join(got.parameters)}) but its type rule takes "
                f"({', '.join(want.parameters)}) [op {self.op.name}]; both should have the same parameters"
            )
        self.op = register(evolve(self.op, numpy=function))
        return function


def defop(
    name: str,
    *,
    kinds: tuple[str, ...] | str = ("real numeric",),
    accuracy: Accuracy = exact,
    attributes: Mapping[str, Domain] | None = None,
    elementwise: bool | None = None,
    relations: tuple[str, ...] | None = None,
) -> Callable[[TypeRule], CustomOp]:
    """Decorate a type rule `(x1: ArrayType, ..., *, attribute, ...) -> ArrayType` into a custom op.

    name: the op's name, which backends get. kinds: array API kinds of the operands. accuracy: `of.exact`,
    `of.ulps(n)`. attributes: name -> domain. elementwise: whether operand and result have one shape (default: for
    one-operand ops whose rule returns its operand). Complete it with `@name.reference`.
    Raises `UsageError` for an unknown kind, a malformed attribute domain or signature, or a name that is taken.
    """

    def decorate(rule: TypeRule) -> CustomOp:
        parameters = list(inspect.signature(rule).parameters.values())
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if not positional:
            raise UsageError(f"the type rule of {name} takes no operand but should take at least one [op {name}]")
        if accuracy.kind not in RULES:
            raise one_of("accuracy of a custom op", accuracy.kind, RULES, f"op {name}")
        kinds_ = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in kinds_:
            if kind not in KINDS:
                raise one_of("kind", kind, KINDS, f"op {name}")
        op = Op(
            name,
            "custom",
            kinds_,
            accuracy,
            rule,
            np.positive,
            RULES[accuracy.kind],
            operands=tuple(
                Operand(relations[i] if relations else "any" if i == 0 else "broadcast") for i in range(len(positional))
            ),
            attributes=dict(attributes or {}),
            elementwise=bool(elementwise),
            summary=(rule.__doc__ or "").strip(),
            custom=True,
        )
        if not name.isidentifier():
            raise UsageError(f"op name is {name!r} but should be an identifier [defop]")
        return CustomOp(op)

    return decorate
