"""What to try: Hypothesis strategies for programs, plans and cases. A campaign's cases are made by the same builder.

cases(devices)      a program with a plan: every node drawn together with its placement and modes
programs()          a program alone
plans(program)      a plan for a program
inputs()            input data
steps(ops, devices) an op with its placement and modes, for `CaseBuilder.apply`
"""

if __name__ != "offload_fuzz.strategies":
    raise ImportError("import it as offload_fuzz.strategies")

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from attrs import frozen
from hypothesis import strategies as st

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case
from offload_fuzz.device import Place
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.ops.base import OPS, DTypeName, Index, SameWidthDType, find_op
from offload_fuzz.plan import Plan
from offload_fuzz.program import Node, Program
from offload_fuzz.reference import quiet
from offload_fuzz.types import DTYPES, Array, ArrayType

from .arrays import draw_data, draw_dtype, draw_shape
from .builder import ALL_DTYPES, HEADER_BYTES, STEP_BYTES, CaseBuilder, Step
from .choices import Choices
from .modes import plan_for
from .placements import placements as placements

#: Shares of wild programs (percent) and of large ones (permille), by Hypothesis's bytes, of which fewer are high, and
#: by the even ones of a seed: either way about 30% are wild.
DRAWN_SHARES, SEEDED_SHARES = (42, 18), (30, 18)
LARGE_NODES = 4
#: Bytes of a seed, enough that a campaign never meets one twice, and the cases that are grown from it: about as many
#: nodes as there are ops.
SEED_BYTES, PER_SEED = 12, 16
#: How often an op with such an attribute is in the deck: there is more to try of a cast, or of what an index selects.
CARDS = {DTypeName: 5, SameWidthDType: 2, Index: 3}
#: How often (percent) a step takes an op that its program has already, as what a first launch leaves behind takes two.
AGAIN = 10


def _bytes(n: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=n, max_size=n)


@lru_cache(maxsize=64)
def _op_table(ops: tuple[str, ...], dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """The ops that can be drawn for these dtypes, the simplest first."""
    found = tuple(o for o in ops if any(d in OPS[o].dtypes for d in dtypes))
    if not found:
        raise UsageError(f"no op of {', '.join(ops)} takes any of the dtypes {', '.join(dtypes)}; widen either list")
    return tuple(sorted(found, key=lambda o: (len(OPS[o].operands) or 9, len(OPS[o].attributes), list(OPS).index(o))))


def known_ops(ops: Sequence[str] | None) -> tuple[str, ...]:
    """The names as a tuple, all registered ops for None; raises `UsageError` for one that is unknown."""
    return tuple(OPS) if ops is None else tuple(find_op(o, "ops").name for o in ops)


def known_dtypes(dtypes: Sequence[str] | None) -> tuple[str, ...]:
    """The names as a tuple, all dtypes for None; raises `UsageError` for one that is unknown."""
    if dtypes is None:
        return ALL_DTYPES
    for d in dtypes:
        if d not in DTYPES:
            raise one_of("dtype", d, DTYPES, "dtypes")
    return tuple(dtypes)


def _case(
    header: bytes,
    steps: Sequence[bytes],
    devices: Any,
    ops: tuple[str, ...],
    dtypes: tuple[str, ...],
    shares: tuple[int, int],
    deck: Iterator[str] | None,
) -> Case:
    """A case from the bytes of its header and steps; the ops are drawn by each step's bytes, or dealt from `deck`."""
    wild, large = shares
    builder = CaseBuilder(devices, dtypes)
    flavour = Choices(header[:4])
    builder.header = Choices(header[4:])
    builder.wild = flavour.chance(wild)
    builder.large = flavour.below(1000) >= 1000 - large
    with quiet():
        for data in steps[:LARGE_NODES] if builder.large else steps:
            op = Choices(data).pick(ops) if deck is None else _dealt(deck, Choices(data), builder)
            builder.skipped += builder._step(Step(op, data), (), {}) is None
        if not builder.types:
            builder.input(draw_data(Choices(header), ArrayType(dtypes[0], ()), False))
    return builder.returns()


def _dealt(deck: Iterator[str], choices: Choices, builder: CaseBuilder) -> str:
    """The next op of the deck, or now and then one that the program has already."""
    if choices.chance(AGAIN):
        had = [source.op for source in builder.sources if isinstance(source, Node)]
        if had:
            return choices.pick(had)
    return next(deck)


def _deck(seed: bytes, ops: tuple[str, ...]) -> Iterator[str]:
    """The ops in a drawn order, then in another one; an op with a wide attribute is in it several times."""
    cards = _cards(ops)
    for number in count():
        drawn = Choices.expanded(seed + number.to_bytes(4, "big"), 4 * len(cards)).data
        yield from (cards[i] for i in np.frombuffer(drawn, np.uint32).argsort(kind="stable"))


@lru_cache(maxsize=64)
def _cards(ops: tuple[str, ...]) -> tuple[str, ...]:
    """Each op as often as its widest attribute asks."""
    return tuple(
        o for o in ops for _ in range(max((CARDS.get(type(d), 1) for d in OPS[o].attributes.values()), default=1))
    )


def cases(
    devices: Sequence[Any] = ("simulated:0", "simulated:1"),
    max_nodes: int = 16,
    min_nodes: int = 1,
    ops: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
) -> st.SearchStrategy[Case]:
    """Cases of at most `max_nodes` nodes: each list element is a node with its placement and modes.

    devices: specs or devices that fill the roles d0, d1, ...; ops, dtypes: names to draw from (default: all).
    Raises `UsageError` for unknown names or devices.
    """
    make = _case_maker(devices, max_nodes, min_nodes, ops, dtypes, DRAWN_SHARES)
    return st.builds(make, _bytes(HEADER_BYTES), st.lists(_bytes(STEP_BYTES), min_size=min_nodes, max_size=max_nodes))


def seeded_cases(
    devices: Sequence[Any], max_nodes: int, min_nodes: int, ops: Sequence[str] | None, dtypes: Sequence[str] | None
) -> st.SearchStrategy[Iterator[tuple[Case, bytes]]]:
    """The cases of `cases`, `PER_SEED` grown from each short seed drawn, each with a seed for its further plans.

    For the campaign, which has a reducer of its own: these do not shrink. Hypothesis takes 0.3 ms for a test case
    whatever is in it and another 0.4 ms for the bytes of ten nodes; and it repeats parts of one list in the next, by
    which one in twelve of `cases` is a duplicate. The seed of zeros gives the simplest case, once.

    The ops of the cases of one seed are dealt like cards: none comes again before all have come, so that a given op is
    met in half as many programs on average, and never in more than the deck has cards. One step in ten repeats an op.
    """
    make = _case_maker(devices, max_nodes, min_nodes, ops, dtypes, SEEDED_SHARES)

    def grow(data: bytes) -> Iterator[tuple[Case, bytes]]:
        if not any(data):
            yield make(bytes(HEADER_BYTES), [bytes(STEP_BYTES)] * min_nodes), data
            return
        deck = _deck(data + b"ops", make.ops)
        for number in range(PER_SEED):
            seed = data + bytes([number])
            nodes = min_nodes + Choices.expanded(seed + b"nodes", 2).below(max_nodes + 1 - min_nodes)
            drawn = Choices.expanded(seed, HEADER_BYTES + nodes * STEP_BYTES).data
            steps = [drawn[at : at + STEP_BYTES] for at in range(HEADER_BYTES, len(drawn), STEP_BYTES)]
            yield make(drawn[:HEADER_BYTES], steps, deck), seed + b"plans"

    return _bytes(SEED_BYTES).map(grow)


@frozen
class _CaseMaker:
    """Makes cases for some devices, of these ops and dtypes."""

    places: tuple[Place, ...]
    ops: tuple[str, ...]
    dtypes: tuple[str, ...]
    shares: tuple[int, int]

    def __call__(self, header: bytes, steps: Sequence[bytes], deck: Iterator[str] | None = None) -> Case:
        return _case(header, steps, self.places, self.ops, self.dtypes, self.shares, deck)


def _case_maker(
    devices: Sequence[Any],
    max_nodes: int,
    min_nodes: int,
    ops: Sequence[str] | None,
    dtypes: Sequence[str] | None,
    shares: tuple[int, int],
) -> _CaseMaker:
    """What makes a case out of the bytes of its header and of its steps."""
    if not 1 <= min_nodes <= max_nodes:
        raise UsageError(f"min_nodes is {min_nodes} and max_nodes {max_nodes} but 1 <= min_nodes <= max_nodes [cases]")
    names = known_dtypes(dtypes)
    return _CaseMaker(open_places(tuple(devices)), _op_table(known_ops(ops), names), names, shares)


def programs(
    max_nodes: int = 16, min_nodes: int = 1, ops: Sequence[str] | None = None, dtypes: Sequence[str] | None = None
) -> st.SearchStrategy[Program]:
    """Programs of at most `max_nodes` nodes, without a plan."""
    return cases((), max_nodes, min_nodes, ops, dtypes).map(lambda case: case.program)


def plans(program: Program, devices: Sequence[Any] = ("simulated:0", "simulated:1")) -> st.SearchStrategy[Plan]:
    """Plans for `program` on these devices; the plain plan is the simplest."""
    places = open_places(tuple(devices))

    def plan(data: bytes) -> Plan:
        choices = Choices(data) if not any(data) else Choices.expanded(data, 64 + 32 * len(program.nodes))
        (placement,), _ = placements(program, places, "random:1", choices)
        return plan_for(program, placement, places, choices)

    return _bytes(16).map(plan)


def inputs(
    dtypes: Sequence[str] | None = None, shapes: Sequence[tuple[int, ...]] | None = None, wild: bool = False
) -> st.SearchStrategy[Array]:
    """Input data: small dyadic numbers, or with `wild` also NaN, infinities, -0.0, subnormals and full-range bits."""
    names = known_dtypes(dtypes)

    @st.composite  # so that Hypothesis shows the array, not the call that made it
    def data(draw: st.DrawFn) -> Array:
        choices = Choices(draw(_bytes(32)))
        dtype = draw_dtype(choices, names)
        shape = choices.pick(tuple(shapes)) if shapes else draw_shape(choices)
        return draw_data(choices, ArrayType(dtype, shape), wild)

    return data()


def steps(ops: Sequence[str] | None = None, devices: Sequence[Any] = ()) -> st.SearchStrategy[Step]:
    """Steps: one of `ops` together with its placement on the host or one of `devices`, and its modes."""
    table = known_ops(ops)
    open_places(tuple(devices))
    return _bytes(STEP_BYTES).map(lambda data: Step(Choices(data).pick(table), data))


__all__ = [
    "CaseBuilder",
    "Step",
    "cases",
    "inputs",
    "known_dtypes",
    "known_ops",
    "placements",
    "plans",
    "programs",
    "steps",
]
