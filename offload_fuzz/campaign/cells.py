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
from itertools import permutations
from typing import Any, NamedTuple, TypeAlias

from attrs import define, field, frozen

from offload_fuzz.device import Place, are_peers, relay
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
    """From one place to another: what features make of each transfer mode that a plan states, mode -> its number.

    uploads: whether the plain route ends in an upload from the host. uploaded, copied: modes of an upload, and of a
    download or a copy between devices. copies, mask: bits that the latter can reach, and that any route can.
    """

    uploads: bool
    uploaded: dict[str, int]
    copied: dict[str, int]
    copies: int
    mask: int


@lru_cache(maxsize=64)
def ways_of(places: tuple[Place, ...], without: tuple[str, ...] = ()) -> dict[tuple[int, int], Way]:
    """The way between each two places, as lowering goes it; `without`: freedoms that plans never use."""
    return {
        (p, q): _way(places, p, q, without) for p, q in permutations(range(len(places)), 2) if "device" not in without
    }


def _way(places: tuple[Place, ...], p: int, q: int, without: tuple[str, ...]) -> Way:
    mover = places[q or p].features
    peers = p != HOST and q != HOST and are_peers(places[p].features.peers, mover.peers)
    offered = mover.transfers if "transfer" not in without else ()
    uploaded = {mode: i for i, mode in enumerate(TRANSFERS) if not i or mode in offered}
    copied = {mode: i for mode, i in uploaded.items() if mode in ("blocking", "async")}
    copies = sum(1 << mode for mode in copied.values())
    layouts = range(len(LAYOUTS) if "layout" not in without else 1)
    laid = sum(1 << (layout * len(TRANSFERS) + mode) for layout in layouts for mode in uploaded.values())
    over_host = q != HOST and (not peers or "route" not in without)
    return Way(q != HOST and not peers, uploaded, copied, copies, laid if over_host else copies)


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

    transfer, layout, route: keys of its choices; maker, user: positions of nodes, -1 for an input and for the return.
    gives, takes: the ops at its ends, empty for an input and for the return; value: its number.
    """

    transfer: Key
    layout: Key
    route: Key
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

    __slots__ = ("edges", "layouts", "nodes", "places", "types", "values", "ways")

    def __init__(
        self,
        program: Program,
        places: tuple[Place, ...],
        values: Callable[[int], Array],
        without: tuple[str, ...] = (),
    ) -> None:
        self.places = places
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
            keys: tuple[Key, Key, Key] = (("transfer", site), ("layout", site), ("route", site))
            self.edges.append(Edge(*keys, maker, at, gives, takes, types[o].dtype, o))

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

    def over_host(self, route: str, p: int, q: int, dtype: str, way: Way) -> bool:
        """Whether a value goes from device `p` to `q` over the host, where the plan states a route."""
        if route == "third device" and relay(self.places, p, q, dtype) is not None:
            return False
        return way.uploads or route == "host"

    def reached(self, plan: Plan, masks: dict[CellKey, int], fresh: dict[CellKey, int]) -> None:
        """Add the cells of a plan to `masks`, and those that were not there yet to `fresh`."""
        choices, ways = plan.choices, self.ways
        if not choices:
            return
        roles = self.roles(plan)
        for transfer, layout, route, maker, user, gives, takes, dtype, value in self.edges:
            p, q = roles[maker], roles[user]
            if p == q:
                continue
            way = ways[p, q]
            key = (takes if q else gives, dtype, p, q)
            seen = masks.get(key, 0)
            if seen == way.mask:
                continue
            uploads = way.uploads
            if p and q and route in choices:
                uploads = self.over_host(choices[route], p, q, dtype, way)
            modes = way.uploaded if uploads else way.copied
            bit = 1 << modes.get(choices[transfer], 0) if transfer in choices else 1
            if uploads and layout in choices:
                laid = bit << (LAYOUT_NUMBER[choices[layout]] * len(TRANSFERS))
                bit = laid if laid & self.arrangeable(value) else bit
            if not seen & bit:
                masks[key] = seen | bit
                fresh[key] = fresh.get(key, 0) | bit


def as_rows(masks: Mapping[CellKey, int]) -> list[Row]:
    """Masks as `Cells.merge` takes them."""
    return [[*key, mask] for key, mask in masks.items()]
