"""Which cells of the boundary features leave reachable, and why the others are not.

Whether an op takes a dtype is asked of its own type rule, with the smallest operands that the strategies draw for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

from attrs import define, evolve, frozen

from offload_fuzz.campaign.cells import FULL, ONE_LAYOUT, ways_of
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.device import Features, Place, parse_features
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops.base import OPS, DTypeName, Op, SameWidthDType
from offload_fuzz.ops.shape_domains import ResultDType
from offload_fuzz.program import Node
from offload_fuzz.schedule import HOST
from offload_fuzz.strategies import CaseBuilder, Step
from offload_fuzz.strategies.builder import ALL_DTYPES
from offload_fuzz.strategies.operands import ALWAYS_FRESH
from offload_fuzz.types import ArrayType, is_complex

#: Why cells cannot be reached: the first that applies counts.
REASONS = (
    "the op has no operand (or result) of the dtype",
    "left out by the options of the run",
    "the device does not run the op on the dtype",
    "the device that would give it makes nothing of the dtype, or the operand is a fresh input always",
    "no host array is handed over on the way, so there is none to lay out",
    "the device has no such transfer mode on the way",
)
LEFT_OUT, NOT_LAID_OUT, NO_MODE = REASONS[1], REASONS[4], REASONS[5]


@frozen
class Signature:
    """Dtypes that an op takes and gives together; moved: those of operands that may come from another node."""

    operands: tuple[str, ...]
    moved: frozenset[str]
    result: str


def signatures(name: str, dtypes: Collection[str] = ALL_DTYPES) -> list[Signature]:
    """The signatures of an op where inputs and casts are of `dtypes`; none where the strategies cannot draw it."""
    return [s for s, needs in _signatures(name) if needs <= {*dtypes}]


@cache
def _signatures(name: str) -> list[tuple[Signature, set[str]]]:
    """The signatures of an op, each with the dtypes that inputs and casts have in it."""
    op = OPS[name]
    drawn = _draw(op, ALL_DTYPES)
    found = []
    for dtype in (d for d in ALL_DTYPES if d in op.dtypes and drawn is not None):
        # attributes may hold for the drawn dtype only, as a number to fill with
        found.append(_signed(op, drawn, dtype) or _signed(op, _draw(op, (dtype,)), dtype))
    return [s for some in found for s in some]


def _draw(op: Op, dtypes: tuple[str, ...]) -> tuple[Node, list[ArrayType]] | None:
    """The smallest node of an op, and the types of its operands; None if the strategies cannot draw one."""
    builder = CaseBuilder((), dtypes)
    node = builder._draw_node(op, Step(op.name), (), {}, 2)
    return None if node is None else (node, [builder.types[o] for o in node.operands])


def _signed(op: Op, drawn: tuple[Node, list[ArrayType]] | None, dtype: str) -> list[tuple[Signature, set[str]]]:
    """The signatures for operands of `dtype`, by the type rule on the shapes and attributes of a drawn node."""
    if drawn is None:
        return []
    node, types = drawn
    naming = [n for n, domain in op.attributes.items() if isinstance(domain, DTypeName | SameWidthDType)]
    dtypes = [dtype if need.dtype == "same" else need.dtype for need in op.operands]
    given = [evolve(t, dtype=d) for t, d in zip(types, dtypes, strict=True)]
    moved = {d for d, need in zip(dtypes, op.operands, strict=True) if need.relation not in ALWAYS_FRESH}
    found = []
    for attributes in _attributes(op, node.attributes, dtype):
        try:
            result = op.result_type(given, attributes)
        except InvalidProgram:  # these do not go together
            continue
        signature = Signature(tuple(dtypes), frozenset(moved), result.dtype)
        found.append((signature, {dtype, *(attributes[n] for n in naming)}))
    return found


def _attributes(op: Op, drawn: Any, dtype: str) -> Iterator[dict[str, Any]]:
    """The attributes of a node for operands of `dtype`, once for each dtype that one of them names."""
    names = []
    for name, domain in op.attributes.items():
        if isinstance(domain, DTypeName | SameWidthDType):
            real = isinstance(domain, DTypeName) and is_complex(dtype)  # complex numbers are cast to complex ones only
            names.append([(name, d) for d in ALL_DTYPES if is_complex(d) or not real])
        elif isinstance(domain, ResultDType):
            names.append([(name, dtype)])
    for chosen in product(*names):
        yield {**drawn, **dict(chosen)}


# --------------------------------------------------------------------------------------------------- what is reachable
@define
class Reachable:
    """roles: how many, with the host; ops; pairs: (from, to) -> the (op, dtype) there; masks: -> bits of each of them.

    unreachable: the other cells of the full product of these ops and all dtypes, layouts, transfer modes and ways, by
    reason.
    """

    roles: int
    ops: tuple[str, ...]
    pairs: dict[tuple[int, int], frozenset[tuple[str, str]]]
    masks: dict[tuple[int, int], int]
    unreachable: dict[str, int]

    @property
    def count(self) -> int:
        """How many cells can be reached."""
        return sum(len(found) * self.masks[way].bit_count() for way, found in self.pairs.items())


def features_json(features: Features) -> dict[str, Any]:
    """What of the features says which cells there are, as JSON data."""
    return {
        "ops": {op: sorted(d) if d is not None else None for op, d in features.ops.items() if op in OPS},
        "dtypes": sorted(features.dtypes),
        "transfers": features.transfers,
        "peers": features.peers,
    }


@frozen
class Ends:
    """(op, dtype) that an op can give, can take, and can take from another node."""

    gives: frozenset[tuple[str, str]]
    takes: frozenset[tuple[str, str]]
    moved: frozenset[tuple[str, str]]


def _ends(ops: Collection[str], dtypes: Collection[str], features: Features | None = None) -> Ends:
    """What the type rules of `ops` allow, and a device of these features if any are given."""
    gives: set[tuple[str, str]] = set()
    takes: set[tuple[str, str]] = set()
    moved: set[tuple[str, str]] = set()
    for op in ops:
        for s in signatures(op, dtypes):
            types = [ArrayType(d, ()) for d in s.operands]
            if features is None or features.supports(op, types, ArrayType(s.result, ())):
                gives.add((op, s.result))
                takes.update((op, d) for d in s.operands)
                moved.update((op, d) for d in s.moved)
    return Ends(frozenset(gives), frozenset(takes), frozenset(moved))


def reachable(devices: Sequence[Mapping[str, Any]], settings: Settings) -> Reachable:
    """What can be reached on devices of these features, as `features_json` gives them, by campaigns of `settings`."""
    host = Place(None, Features({}, frozenset(ALL_DTYPES)), spec="host")
    known = [{**d, "ops": {op: dtypes for op, dtypes in d["ops"].items() if op in OPS}} for d in devices]
    places = (host, *[Place(None, parse_features(f, f"d{i}"), spec=f"d{i}") for i, f in enumerate(known)])
    drawn = OPS if settings.strategy is not None or settings.ops is None else settings.ops
    ops = [op for op in OPS if op in drawn and op not in settings.exclude_ops]
    dtypes = ALL_DTYPES if settings.dtypes is None else settings.dtypes
    possible, chosen = _ends(ops, ALL_DTYPES), _ends(ops, dtypes)
    runs = [chosen, *[_ends(ops, dtypes, p.features) for p in places[1:]]]
    out = Reachable(len(places), tuple(ops), {}, {}, dict.fromkeys(REASONS, 0))
    ways = ways_of(places, settings.without)
    for (p, q), way in ways_of(places).items():
        side = "gives" if q == HOST else "takes"
        able: frozenset[tuple[str, str]] = getattr(runs[q or p], side)
        found = able
        if p != HOST and q != HOST:
            made = {dtype for _, dtype in runs[p].gives}
            found = frozenset((op, dtype) for op, dtype in runs[q].moved if dtype in made)
        mask = ways[p, q].mask if (p, q) in ways else 0
        out.pairs[p, q], out.masks[p, q] = found, mask
        unlaid = 0 if way.mask > ONE_LAYOUT else FULL & ~ONE_LAYOUT
        pairs = (len(ops) * len(ALL_DTYPES), len(getattr(possible, side)), len(getattr(chosen, side)), len(able))
        for reason, more, less in zip(REASONS, pairs, (*pairs[1:], len(found)), strict=False):
            out.unreachable[reason] += (more - less) * FULL.bit_count()
        out.unreachable[LEFT_OUT] += len(found) * (way.mask & ~mask).bit_count()
        out.unreachable[NOT_LAID_OUT] += len(found) * unlaid.bit_count()
        out.unreachable[NO_MODE] += len(found) * (FULL & ~way.mask & ~unlaid).bit_count()
    return out
