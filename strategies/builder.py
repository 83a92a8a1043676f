"""Building a case node by node, each with its placement and modes; the reference runs alongside.

Because values are known while the case grows, generation needs no rejection: where a drawn operand would leave the
result undefined or unknown, a fresh input that suits is taken instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from attrs import field, frozen

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case
from offload_fuzz.errors import InvalidProgram, UsageError
from offload_fuzz.ops.base import OPS, Op, find_op
from offload_fuzz.ops.domains import check_attributes
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Node, Program, frozen_once, make_node, pretty_by_repr
from offload_fuzz.reference import Known, evaluate, known, quiet
from offload_fuzz.trial import contract_of_places
from offload_fuzz.types import Array, ArrayType, has_nan, type_of

from .arrays import DTYPE_SHARES, draw_dtype, draw_large_shape, draw_shape
from .attributes import draw_attributes, min_ndim
from .choices import Choices
from .modes import MODE_BYTES, node_modes, prune_return, schedule_modes
from .operands import (
    RELATIONS,
    anchor_position,
    anchor_test,
    either_way,
    fresh_anchor,
    fresh_data,
    near,
    near_shape,
)
from .placements import roles_for

#: Bytes of a step: op, operands, fresh inputs, attributes, modes.
OP_BYTES, PICK_BYTES, FRESH_BYTES, ATTRIBUTE_BYTES = 2, 12, 40, 20
STEP_BYTES = OP_BYTES + PICK_BYTES + FRESH_BYTES + ATTRIBUTE_BYTES + MODE_BYTES
HEADER_BYTES = 48
#: Percent of the steps of a program that is not wild whose fresh inputs are: NaN beside numbers, or one large integer.
STRAY = 8
#: Results beyond this many elements are not generated, except in large programs.
MAX_RESULT = 16_384
MAX_LARGE = 4_194_304
ALL_DTYPES = tuple(DTYPE_SHARES)


@frozen(repr=False)
class Step:
    """An op with the drawn bytes that decide its operands, attributes, placement and modes; zeros are simplest."""

    op: str
    data: bytes = field(default=b"")

    _repr_pretty_ = pretty_by_repr

    def __repr__(self) -> str:
        return f"step({self.op}, {self.data.rstrip(bytes(1)).hex() or 'plain'})"

    def section(self, start: int, size: int) -> Choices:
        """Some of the bytes, read as decisions."""
        return Choices(self.data[start : start + size])


class CaseBuilder:
    """Grows a case; values are handed around as numbers.

    devices: specs such as "torch:cpu", or devices. dtypes: those that inputs and casts may have.
    """

    def __init__(self, devices: Sequence[Any], dtypes: Sequence[str] = ALL_DTYPES) -> None:
        self.places = open_places(tuple(devices))
        self.contract = contract_of_places(self.places)
        self.pooled = any(p.features.shapes == "pool" for p in self.places)
        self.dtypes = tuple(dtypes)
        self.values: list[Known] = []
        self.types: list[ArrayType] = []
        self.sources: list[Array | Node] = []
        self.roles: list[int] = []
        self.uses: list[int] = []
        self.drowned: list[bool] = []
        self.choices: dict[Key, Any] = {}
        self.header = Choices(b"")
        self.skipped = 0
        self.wild = False
        self.large = False

    # ------------------------------------------------------------------------------------------------- by the user
    def input(self, array: Array) -> int:
        """Add input data; returns the value's number."""
        frozen_array = frozen_once(array)
        return self._add(frozen_array, known(frozen_array), type_of(frozen_array), 0)

    def apply(self, step: Step | str, *operands: int, **attributes: Any) -> int:
        """Add a node: an op by name with all its operands and attributes, or a step, which draws what is not given.

        Returns the number of its value. Raises `InvalidProgram` or `UsageError` for what does not fit.
        """
        for o in operands:
            if type(o) is not int or not 0 <= o < len(self.types):
                raise UsageError(f"operand is {o!r} but should be a value of this builder [apply {step}]")
        with quiet():
            if isinstance(step, str):
                check_attributes(find_op(step), attributes)
                return self._node(step, operands, attributes, 0)
            v = self._step(step, operands, attributes)
        if v is None:
            given = ", ".join(str(self.types[o]) for o in operands)
            raise UsageError(f"{step.op} cannot be applied to ({given}) [CaseBuilder.apply]; choose ops that fit")
        return v

    def returns(self, *values: int) -> Case:
        """The finished case; without values it returns everything that is not used."""
        outputs = values or tuple(v for v, n in enumerate(self.uses) if not n and isinstance(self.sources[v], Node))
        if not outputs:
            outputs = (len(self.types) - 1,)
        return self._finish(outputs)

    # ------------------------------------------------------------------------------------------------------ growing
    def _add(self, source: Array | Node, value: Known, type: ArrayType, role: int) -> int:
        self.sources.append(source)
        self.values.append(value)
        self.types.append(type)
        self.roles.append(role)
        self.uses.append(0)
        nans = int(np.count_nonzero(np.isnan(value.value))) if has_nan(type.dtype) else 0
        self.drowned.append(5 * nans > 2 * type.size)
        return len(self.types) - 1

    def _node(self, op: str, operands: Sequence[int], attributes: Mapping[str, Any], role: int) -> int:
        node = make_node(op, operands, attributes, self.types)
        return self._accept(node, self._evaluate(node), role)

    def _evaluate(self, node: Node) -> Known:
        return evaluate(node.op, node.attributes, node.type, [self.values[o] for o in node.operands], self.contract)

    def _accept(self, node: Node, value: Known, role: int) -> int:
        for o in node.operands:
            self.uses[o] += 1
        return self._add(node, value, node.type, role)

    def _step(self, step: Step, given: Sequence[int], attributes: Mapping[str, Any]) -> int | None:
        """Try the drawn operands, then fresh partners, then all fresh and tame; None if nothing suits."""
        op = OPS.get(step.op) or find_op(step.op)
        for attempt in range(3):
            node = self._draw_node(op, step, given, attributes, attempt)
            if node is None:
                continue
            value = self._evaluate(node)
            chosen = op.operands and len(given) == len(
                op.operands
            )  # by the user, who then gets what cannot be judged too
            if not chosen and (value.enclosure is None or (value.enclosure.is_vacuous and attempt < 2)):
                continue
            v = len(self.types)
            role = self._modes(step, op, node, v)
            return self._accept(node, value, role)
        return None

    def _draw_node(
        self, op: Op, step: Step, given: Sequence[int], attributes: Mapping[str, Any], attempt: int
    ) -> Node | None:
        pick = step.section(OP_BYTES, PICK_BYTES)
        fresh = step.section(OP_BYTES + PICK_BYTES, FRESH_BYTES)
        draws = step.section(OP_BYTES + PICK_BYTES + FRESH_BYTES, ATTRIBUTE_BYTES)
        if not op.operands:
            return self._draw_made(op, fresh, draws, attributes, attempt)
        at = anchor_position(op)
        before = len(self.types)
        slots: list[int | None] = [None] * len(op.operands)
        for k, o in enumerate(given[: len(slots)]):
            slots[k if len(given) == len(slots) else (at + k) % len(slots)] = o
        flavour = "tame" if attempt else "wild" if self.wild or pick.chance(STRAY) else "dyadic"
        if slots[at] is None:
            slots[at] = self._anchor(op, at, pick, fresh, flavour, refill=attempt == 2)
        anchor = slots[at]
        if anchor is None:
            return None
        kind = self.types[anchor]
        try:
            drawn = {**draw_attributes(op, kind, draws, self.dtypes), **attributes}
            for k in range(len(slots)):
                if slots[k] is None:
                    slots[k] = self._partner(op, k, kind, drawn, pick, fresh, flavour, refill=attempt > 0)
            operands = [o for o in slots if o is not None]
            if not attempt and not given and either_way(op) and pick.chance(30):
                operands.reverse()
            node = make_node(op.name, operands, drawn, self.types)
        except InvalidProgram:
            self._forget(before)
            return None
        if node.type.size > (MAX_LARGE if self.large else MAX_RESULT) or node.type.ndim > 6:
            self._forget(before)
            return None
        return node

    def _draw_made(
        self, op: Op, fresh: Choices, draws: Choices, attributes: Mapping[str, Any], attempt: int
    ) -> Node | None:
        """A node without operands, of a drawn dtype and of a drawn shape or that of a value there is.

        Attributes that do not go together are drawn anew from the bytes behind, and at last taken plain.
        """
        draws = Choices(draws.data[attempt:] if attempt < 2 else b"")
        dtypes = tuple(d for d in self.dtypes if d in op.dtypes)
        if not dtypes:
            return None
        like = self.types if not self.large and fresh.chance(50) else ()
        shape = near_shape(like, fresh) if like else draw_large_shape(fresh) if self.large else draw_shape(fresh)
        made = ArrayType(draw_dtype(fresh, dtypes), shape)
        try:
            node = make_node(op.name, (), {**draw_attributes(op, made, draws, self.dtypes), **attributes}, self.types)
        except InvalidProgram:
            return None
        return node if node.type.size <= (MAX_LARGE if self.large else MAX_RESULT) else None

    def _forget(self, size: int) -> None:
        """Drop values added for an attempt that failed."""
        for column in (self.values, self.types, self.sources, self.roles, self.uses, self.drowned):
            del column[size:]

    def _anchor(self, op: Op, k: int, pick: Choices, fresh: Choices, flavour: str, refill: bool) -> int | None:
        dtypes = _allowed(op.name, k, self.dtypes)
        if not dtypes:
            return None
        ndim = min_ndim(op)
        if not refill and not pick.chance(8):
            test, drowned = anchor_test(op, k, ndim), self.drowned
            suits = [v for v, t in enumerate(self.types) if t.dtype in dtypes and not drowned[v]]
            if test is not None:
                suits = [v for v in suits if test(self.types[v])]
            if suits:
                return near(suits, pick)
        if self.large and not self.types:
            shape = draw_large_shape(fresh)
            shape = shape if len(shape) >= ndim else (shape[0] // 2, 2)
        else:
            like = self.types if not refill and not self.large else ()
            shape = fresh_anchor(op, ndim, like, fresh, self.pooled)
        type = ArrayType(draw_dtype(fresh, dtypes), shape)
        return self.input(fresh_data(op, k, type, None, {}, fresh, flavour))

    def _partner(
        self,
        op: Op,
        k: int,
        anchor: ArrayType,
        attributes: dict[str, Any],
        pick: Choices,
        fresh: Choices,
        flavour: str,
        refill: bool,
    ) -> int:
        need = op.operands[k]
        fits, make = RELATIONS[need.relation]
        dtype = anchor.dtype if need.dtype == "same" else need.dtype
        if not refill and not pick.chance(25):
            suits = [
                v
                for v, t in enumerate(self.types)
                if t.dtype == dtype and not self.drowned[v] and fits(anchor, t, attributes)
            ]
            if suits:
                return near(suits, pick)
        type = ArrayType(dtype, make(anchor, attributes, fresh))
        return self.input(fresh_data(op, k, type, anchor, attributes, fresh, flavour))

    def _modes(self, step: Step, op: Op, node: Node, v: int) -> int:
        modes = step.section(STEP_BYTES - MODE_BYTES, MODE_BYTES)
        dtypes = tuple([self.types[o].dtype for o in node.operands])
        role = modes.pick(roles_for(self.places, op.name, dtypes, node.type.dtype))
        node_modes(self.choices, v, op.name, self.places, role, [self.roles[o] for o in node.operands], dtypes, modes)
        return role

    # ----------------------------------------------------------------------------------------------------- finishing
    def _finish(self, outputs: Sequence[int]) -> Case:
        kept = self._reachable(outputs)
        inputs = [v for v in kept if not isinstance(self.sources[v], Node)]
        nodes = [v for v in kept if isinstance(self.sources[v], Node)]
        number = {v: i for i, v in enumerate([*inputs, *nodes])}
        arrays = tuple(a for v in inputs if not isinstance(a := self.sources[v], Node))
        renumbered = tuple(
            Node(n.op, tuple(number[o] for o in n.operands), n.attributes, n.type)
            for v in nodes
            if isinstance(n := self.sources[v], Node)
        )
        program = Program(arrays, renumbered, tuple(number[v] for v in outputs))
        out = {(name, (number[site[0]], *site[1:])): c for (name, site), c in self.choices.items() if site[0] in number}
        seed = schedule_modes(out, program.returns, len(program.outputs), self.header)
        for k, v in enumerate(outputs):
            prune_return(out, (program.returns, k), self.places, self.roles[v])
        names = tuple(p.spec for p in self.places[1:])
        order = [*inputs, *nodes]
        values = tuple(self.values[v] for v in order)
        return Case(program, Plan(out, seed), names, places=self.places, values=values, skipped=self.skipped)

    def _reachable(self, outputs: Sequence[int]) -> list[int]:
        seen: set[int] = set()
        stack = list(outputs)
        while stack:
            v = stack.pop()
            if v not in seen:
                seen.add(v)
                source = self.sources[v]
                if isinstance(source, Node):
                    stack.extend(source.operands)
        return sorted(seen)


@lru_cache(maxsize=4096)
def _allowed(name: str, k: int, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """The dtypes that operand `k` of an op may have, of `dtypes` where it is free."""
    op = OPS[name]
    need = op.operands[k].dtype
    return tuple(d for d in dtypes if d in op.dtypes) if need == "same" else (need,)
