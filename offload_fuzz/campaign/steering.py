"""Steering: the transfer modes and layouts of a plan are led to cells that its unit has not reached.

It remembers no more than its unit, so that a unit generates the same cases in any process and after any other. Units
begin their search at different cells: what one leaves out, the next ones begin with.
"""

from __future__ import annotations

from offload_fuzz.campaign.cells import LAYOUTS, ONE_LAYOUT, TRANSFERS, CellKey, Edges
from offload_fuzz.plan import Plan

CELLS = len(LAYOUTS) * len(TRANSFERS)
#: Steps from one unit's first cell to the next one's; no divisor of the number of cells.
STRIDE = 7


def steered(plan: Plan, edges: Edges, masks: dict[CellKey, int], fresh: dict[CellKey, int], unit: int) -> Plan:
    """`plan` with other transfer modes and layouts where those reach cells that are not in `masks`; adds its cells.

    Where an edge has no such cell left its choices stay, and its route stays as it is drawn.
    """
    choices = dict(plan.choices)
    ways, roles = edges.ways, edges.roles(plan)
    constants = {site for name, site in choices if name == "constant"}  # they cross in one way alone
    begin = unit * STRIDE % CELLS
    for transfer, layout, route, maker, user, gives, takes, dtype, value in edges.edges:
        p, q = roles[maker], roles[user]
        if p == q:
            continue
        way = ways[p, q]
        key = (takes if q else gives, dtype, p, q)
        seen = masks.get(key, 0)
        if transfer[1] in constants:
            if not seen & 1:
                masks[key], fresh[key] = seen | 1, fresh.get(key, 0) | 1
            continue
        uploads = way.uploads
        if p and q and route in choices:
            uploads = edges.over_host(choices[route], p, q, dtype, way)
        missing = (way.mask if uploads else way.copies) & ~seen
        if missing > ONE_LAYOUT:
            missing &= edges.arrangeable(value)
        if not missing:
            continue
        later = missing >> begin << begin or missing
        bit = later & -later  # the lowest
        laid, mode = divmod(bit.bit_length() - 1, len(TRANSFERS))
        if mode:
            choices[transfer] = TRANSFERS[mode]
        else:
            choices.pop(transfer, None)
        if laid:
            choices[layout] = LAYOUTS[laid]
        else:
            choices.pop(layout, None)
        masks[key] = seen | bit
        fresh[key] = fresh.get(key, 0) | bit
    return Plan(choices, plan.seed)
