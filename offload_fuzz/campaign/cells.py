"""Cells of the boundary: which op met which dtype in which layout, transfer mode and between which two places.

An *edge* is an operand of a node, or a returned value; it crosses where its value was made in another place. A cell is
(op, dtype, layout, transfer, from, to): the op that is given the value, or on the way to the host the op that made it;
the value's dtype; the layout of the host array handed over, which only an upload has; the transfer mode as lowered.

Cells are kept as bits: (op, dtype, from, to) -> a mask in which bit `layout * len(TRANSFERS) + transfer` is set.
Read-backs are for the judge and not counted. A layout counts only where it is another arrangement of the elements than
the plain one: a vector is not column-major, and stride 0 needs an axis of equal elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from attrs import define, field, frozen

from offload_fuzz.device import Place, are_peers
from offload_fuzz.host_arrays import constant_axes
from offload_fuzz.plan import FREEDOMS, Key, Plan
from offload_fuzz.program import Program
from offload_fuzz.schedule import HOST
from offload_fuzz.types import Array, ArrayType

LAYOUTS: tuple[str, ...] = FREEDOMS["layout"].choices
TRANSFERS: tuple[str, ...] = FREEDOMS["transfer"].choices
LAYOUT_NUMBER = {name: i for i, name in enumerate(LAYOUTS)}
#: The bits of one layout, at layout 0.
ONE_LAYOUT = (1 << len(TRANSFERS)) - 1
#: The bits of all layouts and transfer modes.
FULL = (1 << len(LAYOUTS) * len(TRANSFERS)) - 1
#: The bits of the layout that has stride 0.
STRIDE_0 = ONE_LAYOUT << (LAYOUT_NUMBER["broadcast"] * len(TRANSFERS))
CellKey: TypeAlias = tuple[str, str, int, int]
Row: TypeAlias = list[Any]


def bit_of(layout: str, transfer: str) -> int:
    """The bit of a layout and a transfer mode."""
    return 1 << (LAYOUT_NUMBER[layout] * len(TRANSFERS) + TRANSFERS.index(transfer))


@define
class Cells:
    """The cells that were reached; `merge` adds those of another campaign or unit."""

    masks: dict[CellKey, int] = field(factory=dict)

    def merge(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows as `rows` gives them."""
        for op, dtype, p, q, mask in rows:
            key = (op, dtype, p, q)
            self.masks[key] = self.masks.get(key, 0) | mask

    def rows(self) -> list[Row]:
        """[op, dtype, from, to, mask] in order."""
        return [[*key, mask] for key, mask in sorted(self.masks.items())]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return sum(mask.bit_count() for mask in self.masks.values())


# ------------------------------------------------------------------------------------------------------------- ways
@frozen
class Way:
    """From one place to another: what features make of each transfer mode that a plan states, and which layouts count.

    transfers: mode -> its number as lowered; mask: the bits that can be reached at all.
    """

    transfers: dict[str, int]
    laid_out: bool
    mask: int


@lru_cache(maxsize=64)
def ways_of(places: tuple[Place, ...], without: tuple[str, ...] = ()) -> dict[tuple[int, int], Way]:
    """The way between each two places, as lowering goes it; `without`: freedoms that plans never use."""
    found = {}
    for p, giver in enumerate(places):
        for q, taker in enumerate(places):
            if p == q or "device" in without:
                continue
            mover = (taker if q else giver).features
            peers = p != HOST and q != HOST and are_peers(giver.features.peers, mover.peers)
            uploads = q != HOST and not peers
            modes = {"blocking": 0}
            for i, mode in enumerate(TRANSFERS):
                if i and mode in mover.transfers and (uploads or mode == "async") and "transfer" not in without:
                    modes[mode] = i
            layouts = range(len(LAYOUTS) if uploads and "layout" not in without else 1)
            mask = sum(1 << (layout * len(TRANSFERS) + mode) for layout in layouts for mode in modes.values())
            found[p, q] = Way(modes, len(layouts) > 1, mask)
    return found


#: layout -> whether it arranges an array of this shape, with an element at least, in another way than the plain one.
ARRANGES: dict[str, Callable[[tuple[int, ...]], bool]] = {
    "fortran": lambda shape: sum(n > 1 for n in shape) > 1,
    "strided": lambda shape: any(n > 1 for n in shape),
    "negative": lambda shape: bool(shape) and shape[-1] > 1,
    "broadcast": lambda shape: any(n > 1 for n in shape),
}


@lru_cache(maxsize=1024)
def layouts_for(type: ArrayType) -> int:
    """The bits of the layouts that arrange an array of this type; for stride 0, if any of its data could."""
    found = ONE_LAYOUT
    for i, layout in enumerate(LAYOUTS):
        if i and type.size and ARRANGES.get(layout, bool)(type.shape):
            found |= ONE_LAYOUT << (i * len(TRANSFERS))
    return found


def repeats(array: Array) -> bool:
    """Whether the elements along some axis of a C-contiguous array, longer than 1, all have the same bits."""
    flat, step = array.reshape(-1), 1
    first = flat[:1].tobytes()
    for n in reversed(array.shape):
        if n > 1 and flat[step : step + 1].tobytes() == first:  # else that axis is none; asked first, as it is cheap
            return bool(constant_axes(array))
        step *= n
    return False


# ------------------------------------------------------------------------------------------------------------ edges
class Edge(NamedTuple):
    """An edge of a program, with what does not depend on the plan.

    transfer, layout: the keys of its choices; maker, user: positions of nodes, -1 for an input and for the return.
    gives, takes: the ops at its ends, empty for an input and for the return; value: its number.
    """

    transfer: Key
    layout: Key
    maker: int
    user: int
    gives: str
    takes: str
    dtype: str
    value: int


class Edges:
    """The edges of one program on some places, and which layouts its values can have.

    values: the reference's array of each value, by which stride 0 is judged.
    """

    __slots__ = ("edges", "layouts", "nodes", "types", "values", "ways")

    def __init__(
        self,
        program: Program,
        places: tuple[Place, ...],
        values: Callable[[int], Array],
        without: tuple[str, ...] = (),
    ) -> None:
        self.ways = ways_of(places, without)
        self.values = values
        self.types = types = program.types
        self.layouts: dict[int, int] = {}
        first, nodes, returns = len(program.inputs), program.nodes, program.returns
        self.nodes: list[Key] = [("device", (v,)) for v in range(first, returns)]
        uses = [(at, k, o) for at, node in enumerate(nodes) for k, o in enumerate(node.operands)]
        uses += [(-1, k, o) for k, o in enumerate(program.outputs)]
        self.edges: list[Edge] = []
        for at, k, o in uses:
            site = (first + at if at >= 0 else returns, k)
            maker = o - first if o >= first else -1
            gives, takes = nodes[maker].op if maker >= 0 else "", nodes[at].op if at >= 0 else ""
            self.edges.append(Edge(("transfer", site), ("layout", site), maker, at, gives, takes, types[o].dtype, o))

    def arrangeable(self, value: int) -> int:
        """The bits of the layouts that arrange a value in another way than the plain one, and of the plain one."""
        found = self.layouts.get(value)
        if found is None:
            found = layouts_for(self.types[value])
            if found & STRIDE_0 and not repeats(self.values(value)):
                found &= ~STRIDE_0
            self.layouts[value] = found
        return found

    def roles(self, plan: Plan) -> list[int]:
        """The role of each node, and that of the host last, for inputs and the return."""
        choices = plan.choices
        return [*[choices.get(node, HOST) for node in self.nodes], HOST]

    def reached(self, plan: Plan, masks: dict[CellKey, int], fresh: dict[CellKey, int]) -> None:
        """Add the cells of a plan to `masks`, and those that were not there yet to `fresh`."""
        choices, ways = plan.choices, self.ways
        if not choices:
            return
        roles = self.roles(plan)
        for transfer, layout, maker, user, gives, takes, dtype, value in self.edges:
            p, q = roles[maker], roles[user]
            if p == q:
                continue
            way = ways[p, q]
            key = (takes if q else gives, dtype, p, q)
            seen = masks.get(key, 0)
            if seen == way.mask:
                continue
            bit = 1 << way.transfers.get(choices[transfer], 0) if transfer in choices else 1
            if way.laid_out and layout in choices:
                laid = bit << (LAYOUT_NUMBER[choices[layout]] * len(TRANSFERS))
                bit = laid if laid & self.arrangeable(value) else bit
            if not seen & bit:
                masks[key] = seen | bit
                fresh[key] = fresh.get(key, 0) | bit


def as_rows(masks: Mapping[CellKey, int]) -> list[Row]:
    """Masks as `Cells.merge` takes them."""
    return [[*key, mask] for key, mask in masks.items()]
