"""A case as a picture: lanes (one per place), boxes (one per value) and arrows, as data for whoever draws it."""

from __future__ import annotations

from typing import Any

from offload_fuzz.campaign.coverage import HOST, role_name
from offload_fuzz.case import Case, device_name
from offload_fuzz.plan import FREEDOMS, Plan, phrase_of
from offload_fuzz.program import Program, attribute_text


def graph(case: Case, divergent: int | None = None) -> dict[str, Any]:
    """lanes, nodes in the order of the program, edges, and the phrases of the choices of the whole schedule."""
    program, plan = case.program, case.plan
    roles = {role_name(i): device_name(case, i) for i in range(len(case.devices) + 1)}
    nodes = [
        {"value": v, "role": HOST, "kind": "input", "title": f"v{v}: input", "type": str(t), "choices": []}
        for v, t in enumerate(program.types[: len(program.inputs)])
    ]
    nodes += [
        {
            "value": v,
            "role": role_name(plan.get("device", v)),
            "kind": "node",
            "title": f"v{v}: {n.op}{attribute_text(n)}",
            "type": str(n.type),
            "choices": _choices(plan, "node", v),
        }
        for v, n in program.numbered()
    ]
    nodes.append(
        {"value": program.returns, "role": HOST, "kind": "return", "title": "return", "type": "", "choices": []}
    )
    for node in nodes:
        node["divergent"] = node["value"] == divergent
    where = {node["value"]: node["role"] for node in nodes}
    used = set(where.values())
    return {
        "lanes": [{"role": r, "device": d} for r, d in roles.items() if r in used],
        "nodes": nodes,
        "edges": [_edge(plan, where, a, b, k) for a, b, k in _uses(program)],
        "schedule": [phrase_of(name, c) for (name, _), c in plan.non_plain() if _scope(name) == "schedule"],
    }


def _uses(program: Program) -> list[tuple[int, int, int]]:
    """(value, user, operand position) of every use, the return last."""
    found = [(o, v, k) for v, n in program.numbered() for k, o in enumerate(n.operands)]
    return found + [(v, program.returns, k) for k, v in enumerate(program.outputs)]


def _edge(plan: Plan, where: dict[Any, Any], a: int, b: int, k: int) -> dict[str, Any]:
    crosses = where[a] != where[b]
    return {
        "from": a,
        "to": b,
        "operand": k,
        "crosses": crosses,
        "transfer": f"{_direction(where[a], where[b])}, {plan.get('transfer', b, k)}" if crosses else "",
        "choices": _choices(plan, "operand", b, k),
    }


def _direction(source: str, target: str) -> str:
    return "upload" if source == HOST else "download" if target == HOST else "copy"


def _scope(name: str) -> str:
    scope = FREEDOMS[name].scope
    return "operand" if scope == "edge" else scope


def _choices(plan: Plan, scope: str, *site: int) -> list[str]:
    """The phrases of what is not plain at a site, but for the device and the transfer, which are drawn."""
    found = [
        phrase_of(name, c)
        for (name, at), c in plan.non_plain()
        if at == site and _scope(name) == scope and name not in ("device", "transfer")
    ]
    return [" ".join(text.replace(" of  ", " ").split()) for text in found]  # without the name of the operand
