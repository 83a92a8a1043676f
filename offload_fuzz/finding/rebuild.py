"""One function that changes a case structurally: nodes dropped, replaced or bypassed, types worked out anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from offload_fuzz.case import Case
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Node, Program, frozen_input, frozen_once, make_node
from offload_fuzz.types import Array, ArrayType, type_of


@frozen(eq=False)
class Change:
    """constants: value -> data that takes its place. bypass: value -> the value used instead. outputs: the new ones.

    nodes: value -> (op, operands, attributes) that takes its place, operands by the old numbers. kept: value -> the
    position of the only operand that such a node keeps, whose choices go with it.
    """

    constants: Mapping[int, Array] = field(factory=dict)
    bypass: Mapping[int, int] = field(factory=dict)
    nodes: Mapping[int, tuple[str, tuple[int, ...], Mapping[str, Any]]] = field(factory=dict)
    kept: Mapping[int, int] = field(factory=dict)
    outputs: Sequence[int] | None = None


def rebuild(case: Case, change: Change) -> Case:
    """The changed case, without what its outputs do not need; raises `InvalidProgram` if it is not well typed."""
    program = case.program

    def target(v: int) -> int:
        while v in change.bypass:
            v = change.bypass[v]
        return v

    outputs = [target(v) for v in (program.outputs if change.outputs is None else change.outputs)]
    needed: set[int] = set()
    stack = list(outputs)
    while stack:
        v = stack.pop()
        if v in needed:
            continue
        needed.add(v)
        if v not in change.constants:
            stack.extend(target(o) for o in _operands(program, v, change))
    number: dict[int, int] = {}
    inputs: list[Array] = []
    for v in sorted(needed):
        if v in change.constants or v < len(program.inputs):
            number[v] = len(inputs)
            inputs.append(change.constants[v] if v in change.constants else program.inputs[v])
    types: list[ArrayType] = [type_of(x) for x in inputs]
    nodes: list[Node] = []
    for v in sorted(needed - number.keys()):
        old = program.nodes[v - len(program.inputs)]
        op, operands, attributes = change.nodes.get(v, (old.op, old.operands, old.attributes))
        renumbered = [number[target(o)] for o in operands]
        if op == "reshape" and attributes["shape"] == program.types[operands[0]].shape:
            attributes = {"shape": types[renumbered[0]].shape}  # a reshape to the same shape follows its operand
        node = make_node(op, renumbered, attributes, types)
        number[v] = len(types)
        nodes.append(node)
        types.append(node.type)
    new = Program(tuple(map(frozen_once, inputs)), tuple(nodes), tuple(number[v] for v in outputs))
    plans = [
        None if p is None else Plan(_remap(p.choices, program, new, number, change), p.seed)
        for p in (case.plan, case.control)
    ]
    assert plans[0] is not None
    return evolve(case, program=new, plan=plans[0], control=plans[1], expected=None, values=None)


def with_inputs(case: Case, arrays: Sequence[Array], nodes: Mapping[int, tuple[str, tuple[int, ...]]]) -> Case:
    """The case with `arrays` behind its inputs, and the nodes at some positions changed to (op, operands).

    Operands are the new numbers: an array's is the number of inputs and its position, and that of a node is more by the
    number of arrays. The types of the results do not change.
    """
    program, first, more = case.program, len(case.program.inputs), len(arrays)

    def moved(v: int) -> int:
        return v if v < first else v + more

    def changed(at: int, node: Node) -> Node:
        if at not in nodes:
            return evolve(node, operands=tuple(map(moved, node.operands)))
        op, operands = nodes[at]
        return Node(op, operands, node.attributes if op == node.op else {}, node.type)

    plans = [
        None
        if p is None
        else Plan({(f, (moved(s[0]), *s[1:]) if s else s): c for (f, s), c in p.choices.items()}, p.seed)
        for p in (case.plan, case.control)
    ]
    assert plans[0] is not None
    inputs = (*program.inputs, *map(frozen_input, arrays))
    new = Program(inputs, tuple(changed(*n) for n in enumerate(program.nodes)), tuple(map(moved, program.outputs)))
    return evolve(case, program=new, plan=plans[0], control=plans[1], expected=None, values=None)


def _operands(program: Program, v: int, change: Change) -> Sequence[int]:
    if v in change.nodes:
        return change.nodes[v][1]
    node = program.node_of(v)
    return () if node is None else node.operands


def _remap(
    choices: Mapping[Key, Any], old: Program, new: Program, number: Mapping[int, int], change: Change
) -> dict[Key, Any]:
    out: dict[Key, Any] = {}
    returned = _returned(old, new, number)
    for (name, site), choice in choices.items():
        if not site:
            out[name, site] = choice
        elif site[0] == old.returns:
            if site[1] in returned:
                out[name, (new.returns, returned[site[1]])] = choice
        elif site[0] in number and number[site[0]] >= len(new.inputs) and site[0] not in change.constants:
            v = number[site[0]]
            if len(site) == 1:
                out[name, (v,)] = choice
                continue
            k = site[1]
            if site[0] in change.kept:
                k = 0 if k == change.kept[site[0]] else len(program_operands(new, v))
            if k < len(program_operands(new, v)):
                out[name, (v, k)] = choice
    return out


def _returned(old: Program, new: Program, number: Mapping[int, int]) -> dict[int, int]:
    """Old position of a returned value -> the new one of that value, else the same one if nothing else comes there."""
    found: dict[int, int] = {}
    free = dict.fromkeys(range(len(new.outputs)))
    for k, o in enumerate(old.outputs):
        at = next((i for i in free if o in number and new.outputs[i] == number[o]), None)
        if at is not None:
            found[k] = at
            del free[at]
    found.update((k, k) for k in range(len(old.outputs)) if k not in found and k in free)
    return found


def program_operands(program: Program, v: int) -> tuple[int, ...]:
    """The operands of the node that makes `v`."""
    return program.nodes[v - len(program.inputs)].operands
