"""The structural reducer: fewest nodes, crossings and unusual choices, smallest arrays that still fail the same way.

Every accepted step has been run and failed with the same kind of verdict; the work is budgeted in executions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from attrs import define, evolve

from offload_fuzz.case import Case
from offload_fuzz.errors import InvalidProgram, UsageError
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.made import simpler_attributes
from offload_fuzz.finding.rebuild import Change, rebuild
from offload_fuzz.oracles import Verdict
from offload_fuzz.plan import Plan
from offload_fuzz.program import frozen_input, same_bits
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.trial import contract_of_places, new_trial
from offload_fuzz.types import Array, is_floating

#: Executions that one reduction may use.
BUDGET = 300
Fails = Callable[[Case], Verdict | None]


@define
class Reduction:
    """The best case so far, its verdict, and how many executions it took."""

    case: Case
    verdict: Verdict
    fails: Fails
    budget: int = BUDGET
    executions: int = 0
    tick: Callable[[], None] = lambda: None

    def accept(self, candidate: Case) -> bool:
        """Run a candidate; keep it if it fails the same way."""
        if self.executions >= self.budget:
            return False
        self.executions += 1
        self.tick()
        verdict = self.fails(candidate)
        if verdict is None:
            return False
        self.case, self.verdict = candidate, verdict
        return True

    def change(self, change: Change) -> bool:
        """Try a structural change; False if it is not well typed or does not fail."""
        try:
            candidate = rebuild(self.case, change)
        except (InvalidProgram, UsageError):
            return False
        return self.accept(candidate)


def shrink(
    case: Case, verdict: Verdict, examiner: Examiner, budget: int = BUDGET, tick: Callable[[], None] = lambda: None
) -> Reduction:
    """Reduce a failing case on the examiner's places, keeping the verdict's kind; `tick` is called before each run."""
    kind = verdict.kind
    all_known = all(k.enclosure is not None for k in new_trial(case.program, examiner.places).values)
    reduction = Reduction(case, verdict, lambda c: examiner.fails_like(c, kind, all_known), budget, tick=tick)
    reduce(reduction, lambda c: _reference_values(c, examiner))
    return reduction


def reduce(r: Reduction, values: Callable[[Case], list[Array]]) -> None:
    """Run the passes over and over until none makes progress or the budget is spent."""
    _one_output(r)
    while r.executions < r.budget:
        before = r.case
        _cut_off(r)
        _fewer_outputs(r)
        _to_constants(r, values)
        _bypass(r)
        _plain_choices(r)
        _simplify_ops(r)
        _simplify_dtype(r)
        if r.case is before:
            break
    _shrink_made(r)
    _shrink_shapes(r)
    _simplify_data(r)
    _plain_choices(r)


def _reference_values(case: Case, examiner: Examiner) -> list[Array]:
    with quiet():
        return [k.value for k in evaluate_program(case.program, contract_of_places(examiner.places))]


# ------------------------------------------------------------------------------------------------------- structure
def _one_output(r: Reduction) -> None:
    outputs = r.case.program.outputs
    preferred = [r.verdict.value] if r.verdict.value in outputs else []
    for v in [*preferred, *outputs]:
        if v is not None and len(r.case.program.outputs) > 1 and r.change(Change(outputs=[v])):
            return


def _cut_off(r: Reduction) -> None:
    """Return the earliest node that already fails."""
    program = r.case.program
    for v, _ in program.numbered():
        if v in program.outputs and len(program.outputs) == 1:
            continue
        if r.change(Change(outputs=[v])):
            return


def _fewer_outputs(r: Reduction) -> None:
    """Drop outputs, half of them at first, where more than one is needed."""
    size = len(r.case.program.outputs) // 2
    while size:
        at = 0
        while at < len(r.case.program.outputs) > 1:
            outputs = r.case.program.outputs
            if not r.change(Change(outputs=[*outputs[:at], *outputs[at + size :]] or list(outputs[:1]))):
                at += size
        size //= 2


def _to_constants(r: Reduction, values: Callable[[Case], list[Array]]) -> None:
    """Replace subgraphs by the constants that the reference computed, all operands at once first."""
    for all_at_once in (True, False):
        at = len(r.case.program.nodes) - 1
        while at >= 0:
            program = r.case.program
            first = len(program.inputs)
            if at >= len(program.nodes):
                at = len(program.nodes) - 1
                continue
            made = [o for o in dict.fromkeys(program.nodes[at].operands) if o >= first]
            if made:
                known = values(r.case)
                groups = [made] if all_at_once else [[o] for o in made]
                for group in groups:
                    if r.change(Change(constants={o: frozen_input(known[o]) for o in group})):
                        break
            at -= 1


def _bypass(r: Reduction) -> None:
    """Drop a node by using an operand of its type in its place."""
    v = r.case.program.returns - 1
    while v >= len(r.case.program.inputs):
        program = r.case.program
        if v < program.returns:
            node = program.node_of(v)
            assert node is not None
            for o in dict.fromkeys(node.operands):
                same = program.types[o] == node.type and (o >= len(program.inputs) or v not in program.outputs)
                if same and r.change(Change(bypass={v: o})):
                    break
        v -= 1


def _simplify_ops(r: Reduction) -> None:
    """If what a node computes does not matter, make it the plainest op that keeps the shape of one of its operands."""
    for v, node in list(r.case.program.numbered()):
        if v >= r.case.program.returns:
            return
        rows = [(op, attributes, k) for op, attributes in PLAINEST for k in range(len(node.operands))]
        for op, attributes, k in rows:
            if node.op == op:
                break
            full = {"shape": r.case.program.types[node.operands[k]].shape} if attributes else {}
            if r.change(Change(nodes={v: (op, (node.operands[k],), full)}, kept={v: k})):
                break


def _simplify_dtype(r: Reduction) -> None:
    """float32 data everywhere, if the dtype does not matter."""
    inputs = r.case.program.inputs
    if any(x.dtype != np.float32 for x in inputs):
        with quiet():
            r.change(Change(constants={v: frozen_input(x.real.astype(np.float32)) for v, x in enumerate(inputs)}))


#: Ops tried in the place of another, the plainest first; True: takes the operand's own shape.
PLAINEST = (("reshape", True), ("negative", False), ("bitwise_invert", False))


# ------------------------------------------------------------------------------------------------------------ plan
def _plain_choices(r: Reduction) -> None:
    """Turn choices plain: all but the devices at once, then each, then the seed."""
    keys = [k for k in r.case.plan.choices if k[0] != "device"]
    if len(keys) > 1 and r.accept(_with_plan(r.case, r.case.plan.without(*keys))):
        keys = []
    for key in [*keys, *[k for k in r.case.plan.choices if k[0] == "device"]]:
        if key in r.case.plan.choices:
            r.accept(_with_plan(r.case, r.case.plan.without(key)))
    for key, choice in list(r.case.plan.non_plain()):
        if key[0] in ("stream", "order", "device") and choice > 1:
            r.accept(_with_plan(r.case, Plan({**r.case.plan.choices, key: 1}, r.case.plan.seed)))
    if r.case.plan.seed:
        r.accept(_with_plan(r.case, Plan(r.case.plan.choices, 0)))
    if r.case.control is not None:
        r.accept(evolve(r.case, control=Plan({}, 0)))


def _with_plan(case: Case, plan: Plan) -> Case:
    return evolve(case, plan=plan)


# ---------------------------------------------------------------------------------------------------- shapes, data
def _lengths(case: Case) -> list[int]:
    return sorted({n for x in case.program.inputs for n in x.shape if n > 1}, reverse=True)


def _shrink_shapes(r: Reduction) -> None:
    """Shorten axes: all of one length at once, then one position in all inputs, then drop leading axes of length 1."""
    for length in _lengths(r.case):
        for shorter in _shorter(length):
            if _reshaped(r, partial(_shortened, old=length, new=shorter)):
                break
    rank = max((x.ndim for x in r.case.program.inputs), default=0)
    for axis in range(rank):
        _reshaped(r, partial(_first_along, axis_from_last=axis))
    for _ in range(rank):
        if not _reshaped(r, lambda x: x[0] if x.ndim and x.shape[0] == 1 else x):
            break
    for _ in range(rank):
        if not _reshaped(r, lambda x: x[..., 0] if x.ndim and x.shape[-1] == 1 else x):
            break


def _shrink_made(r: Reduction) -> None:
    """Make what nodes without operands make short, and of ones."""
    for v, node in list(r.case.program.numbered()):
        for attributes in simpler_attributes(node):
            if r.change(Change(nodes={v: (node.op, node.operands, attributes)})):
                break


def _shortened(x: Array, old: int, new: int) -> Array:
    return x[tuple(slice(new if n == old else n) for n in x.shape)]


def _first_along(x: Array, axis_from_last: int) -> Array:
    if x.ndim <= axis_from_last:
        return x
    index: tuple[Any, ...] = (..., slice(1), *[slice(None)] * axis_from_last)
    return np.asarray(x[index])


def _shorter(n: int) -> Iterator[int]:
    seen = set()
    for m in (1, 2, 3, 4, 8, 9, n // 4, n // 2, n - 1):
        if 0 < m < n and m not in seen:
            seen.add(m)
            yield m


def _reshaped(r: Reduction, resize: Callable[[Array], Array]) -> bool:
    """Try the program with its inputs resized, types worked out anew."""
    resized = {v: resize(x) for v, x in enumerate(r.case.program.inputs)}
    changed = {v: frozen_input(x) for v, x in resized.items() if x.shape != r.case.program.inputs[v].shape}
    return bool(changed) and r.change(Change(constants=changed))


def _simplify_data(r: Reduction) -> None:
    """Data towards ones, then small distinct integers, then zeros for all that need not be something else."""
    for v in range(len(r.case.program.inputs)):
        x = r.case.program.inputs[v]
        for simple in _simpler(x):
            if same_bits(simple, x) or r.change(Change(constants={v: frozen_input(simple)})):
                break


def _simpler(x: Array) -> Iterator[Array]:
    yield np.ones(x.shape, x.dtype)
    if x.size and x.dtype.kind != "b":
        yield (np.arange(x.size) % 100 + 1).reshape(x.shape).astype(x.dtype)
    if x.size > 1:
        for at in {0, x.size - 1}:
            only = np.zeros(x.size, x.dtype)
            only[at] = x.reshape(-1)[at]
            yield only.reshape(x.shape)
    if x.size and is_floating(str(x.dtype)):
        with np.errstate(all="ignore"):
            special = ~np.isfinite(x) | (x == 0)
            yield np.where(special, x, np.ones((), x.dtype))
