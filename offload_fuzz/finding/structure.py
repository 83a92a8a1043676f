"""Steps that make a failing program smaller: outputs, nodes and ops; large chunks of them first."""

from __future__ import annotations

from offload_fuzz.finding.rebuild import Change, with_inputs
from offload_fuzz.finding.reduction import Reduction, Values
from offload_fuzz.program import frozen_input


def one_output(r: Reduction) -> None:
    """Return the value at fault alone."""
    v = r.verdict.value
    if v is not None and v >= len(r.case.program.inputs) and tuple(r.case.program.outputs) != (v,):
        r.change(Change(outputs=[v]))


def halve_end(r: Reduction) -> None:
    """Return the node in the middle alone, or one further on: half of the rest is left out by each step."""
    program = r.case.program
    at = (len(program.nodes) - 1) // 2
    while at < len(program.nodes) - 1:
        if r.change(Change(outputs=[len(program.inputs) + at])):
            program = r.case.program
            at = (len(program.nodes) - 1) // 2
        else:
            at = (at + 1 + len(program.nodes)) // 2


def halve_start(r: Reduction, values: Values) -> None:
    """Replace chunks of nodes by the constants that the reference computed: halves first, then ever smaller ones."""
    size = len(r.case.program.nodes) // 2
    while size and not r.spent:
        at = 0
        while at < len(r.case.program.nodes):
            program = r.case.program
            first = len(program.inputs)
            chunk = [v for v in range(first + at, min(first + at + size, program.returns)) if v not in program.outputs]
            known = values(r.case) if chunk else []
            if not chunk or not r.change(Change(constants={v: frozen_input(known[v]) for v in chunk})):
                at += size
        size //= 2


def cut_off(r: Reduction) -> None:
    """Return the earliest node that already fails."""
    program = r.case.program
    for v, _ in program.numbered():
        if v in program.outputs and len(program.outputs) == 1:
            continue
        if r.change(Change(outputs=[v])):
            return


def fewer_outputs(r: Reduction) -> None:
    """Drop outputs, half of them at first, where more than one is needed."""
    size = len(r.case.program.outputs) // 2
    while size:
        at = 0
        while at < len(r.case.program.outputs) > 1:
            outputs = r.case.program.outputs
            if not r.change(Change(outputs=[*outputs[:at], *outputs[at + size :]] or list(outputs[:1]))):
                at += size
        size //= 2


def to_constants(r: Reduction, values: Values) -> None:
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


def bypass(r: Reduction) -> None:
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


def own_inputs(r: Reduction) -> None:
    """An input of its own for each node that uses one that another uses: then no two need the same data."""
    program = r.case.program
    users: dict[int, list[int]] = {}
    for at, node in enumerate(program.nodes):
        for o in dict.fromkeys(node.operands):
            users.setdefault(o, []).append(at)
    shared = [(o, at) for o, ats in users.items() if o < len(program.inputs) for at in ats[1:]]
    first, more = len(program.inputs), len(shared)
    copies = {pair: first + i for i, pair in enumerate(shared)}
    changed = {}
    for _, at in shared:
        node = program.nodes[at]
        numbers = [copies.get((o, at), o if o < first else o + more) for o in node.operands]
        changed[at] = (node.op, tuple(numbers))
    if shared:
        r.accept(with_inputs(r.case, [program.inputs[o] for o, _ in shared], changed))
