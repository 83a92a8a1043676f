"""Steps that make the plan of a failing case plainer: choices, streams, devices."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from offload_fuzz.case import Case
from offload_fuzz.finding.rebuild import Change
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.plan import FREEDOMS, Key, Plan


def plain_choices(r: Reduction) -> None:
    """Turn choices plain: all but the devices and the seed at once, then those of each freedom, then each."""
    keys = _keys(r.case)
    if keys or r.case.plan.seed:
        r.accept(_with_plan(r.case, Plan(r.case.plan.without(*keys).choices, 0)))
    if r.case.plan.seed:
        r.accept(_with_plan(r.case, Plan(r.case.plan.choices, 0)))
    for name in dict.fromkeys(name for name, _ in keys):
        _turn(r, [k for k in _keys(r.case) if k[0] == name])
    for key in [*_keys(r.case), *[k for k in r.case.plan.choices if k[0] == "device"]]:
        if key in r.case.plan.choices:
            r.accept(_with_plan(r.case, r.case.plan.without(key)))
    for key, _ in list(r.case.plan.non_plain()):
        _plainer(r, key)
    if r.case.control is not None:
        r.accept(evolve(r.case, control=Plan({}, 0)))


def _keys(case: Case) -> list[Key]:
    return [k for k, _ in case.plan.non_plain() if k[0] != "device"]


def _turn(r: Reduction, keys: Sequence[Key]) -> None:
    if len(keys) > 1:
        r.accept(_with_plan(r.case, r.case.plan.without(*keys)))


def _plainer(r: Reduction, key: Key) -> None:
    """An earlier choice of the table, which is not plain either."""
    choices = FREEDOMS[key[0]].choices
    for choice in choices[1 : choices.index(r.case.plan.choices[key])]:
        if r.accept(_with_plan(r.case, Plan({**r.case.plan.choices, key: choice}, r.case.plan.seed))):
            return


def _with_plan(case: Case, plan: Plan) -> Case:
    return evolve(case, plan=plan)


def as_layout(r: Reduction) -> None:
    """An operand laid out in another way in the place of a node of the host that only moves elements."""
    v = r.case.program.returns - 1
    while v >= len(r.case.program.inputs):
        program = r.case.program
        node = program.node_of(v) if v < program.returns else None
        if node is not None and v not in program.outputs and not r.case.plan.get("device", v) and node.operands:
            users = [(u, k) for u, n in program.numbered() for k, o in enumerate(n.operands) if o == v]
            if len(users) == 1 and program.types[node.operands[0]] == node.type:
                key: Key = ("layout", users[0])
                for layout in ("fortran", "strided", "negative"):
                    plan = Plan({**r.case.plan.choices, key: layout}, r.case.plan.seed)
                    if r.change(Change(bypass={v: node.operands[0]}), evolve(r.case, plan=plan)):
                        break
        v -= 1


def merge_streams(r: Reduction) -> None:
    """All that runs on one stream, or on one device, onto another of a smaller number."""
    for name in ("stream", "device"):
        for old in sorted({c for (n, _), c in r.case.plan.choices.items() if n == name}, reverse=True):
            for new in range(old):
                if r.accept(_with_plan(r.case, moved(r.case.plan, name, {old: new}))):
                    break


def moved(plan: Plan, name: str, to: dict[int, int]) -> Plan:
    """The plan with numbers of streams or devices changed; 0 is plain."""
    choices = {key: to.get(c, c) if key[0] == name else c for key, c in plan.choices.items()}
    return Plan({key: c for key, c in choices.items() if key[0] != name or c}, plan.seed)


def drop_devices(r: Reduction) -> None:
    """Leave out the devices that nothing runs on, roles numbered anew; only where the case holds its places."""
    case = r.case
    plans = [case.plan] if case.control is None else [case.plan, case.control]
    used = sorted({role for plan in plans for role in plan.devices(case.program) if role})
    if case.places is None or not used or len(used) == len(case.devices):
        return
    to = {old: i for i, old in enumerate(used, 1)}
    candidate = evolve(
        case,
        plan=moved(case.plan, "device", to),
        control=None if case.control is None else moved(case.control, "device", to),
        devices=tuple(case.devices[i - 1] for i in used),
        places=(case.places[0], *(case.places[i] for i in used)),
    )
    r.accept(candidate)
