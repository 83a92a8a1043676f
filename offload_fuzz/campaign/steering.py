"""Steering: the transfer modes and layouts of a plan are led to cells that its unit has not reached.

It remembers no more than its unit, so that a unit generates the same cases in any process and after any other. Units
begin their search at different cells: what one leaves out, the next ones begin with.
"""

from __future__ import annotations

from offload_fuzz.campaign.cells import LAYOUTS, TRANSFERS, CellKey, Edges
from offload_fuzz.plan import Plan

CELLS = len(LAYOUTS) * len(TRANSFERS)
#: Steps from one unit's first cell to the next one's; no divisor of the number of cells.
STRIDE = 7


def steered(plan: Plan, edges: Edges, masks: dict[CellKey, int], fresh: dict[CellKey, int], unit: int) -> Plan:
    """`plan` with other transfer modes and layouts where those reach cells that are not in `masks`; adds its cells.

    Where an edge has no such cell left its choices stay.
    """
    choices = dict(plan.choices)
    roles = edges.roles(plan)
    begin = unit * STRIDE % CELLS
    for e in edges.edges:
        p, q = roles[e.maker], roles[e.user]
        if p == q:
            continue
        way = edges.ways[p, q]
        key = (e.takes if q else e.gives, e.dtype, p, q)
        missing = way.mask & ~masks.get(key, 0)
        if missing and way.laid_out:
            missing &= edges.arrangeable(e.value)
        if not missing:
            continue
        later = missing >> begin << begin
        at = ((later or missing) & -(later or missing)).bit_length() - 1
        layout, transfer = divmod(at, len(TRANSFERS))
        for choice, key_of, names in ((transfer, e.transfer, TRANSFERS), (layout, e.layout, LAYOUTS)):
            if choice:
                choices[key_of] = names[choice]
            else:
                choices.pop(key_of, None)
        masks[key] = masks.get(key, 0) | 1 << at
        fresh[key] = fresh.get(key, 0) | 1 << at
    return Plan(choices, plan.seed)
