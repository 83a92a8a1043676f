"""Which placements a program gets: every one, every device pair on every edge, a covering array, or drawn ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import combinations, product
from typing import Any

from attrs import frozen

from offload_fuzz.device import Place
from offload_fuzz.errors import UsageError
from offload_fuzz.program import Program
from offload_fuzz.types import ArrayType

from .choices import Choices

#: Programs with at most this many placements get all of them under the default.
EXHAUSTIVE_LIMIT = 16
Placement = tuple[int, ...]
SPECS = ("exhaustive", "edges", "operands", "chains", "covering:T", "random:N", "default")


@frozen
class Coverage:
    """Pairs (edge, role of producer, role of user) that the placements reach, of those that features allow."""

    covered: int
    reachable: int
    unreachable: int

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(
            self.covered + other.covered, self.reachable + other.reachable, self.unreachable + other.unreachable
        )


def parse_spec(spec: str) -> tuple[str, int]:
    """`--plans` as (name, number); raises `UsageError`."""
    match = re.fullmatch(r"(exhaustive|edges|operands|chains|default)|(covering|random):(\d+)", spec)
    number = int(match[3]) if match and match[3] else 0
    if not match or (match[2] and not 1 <= number <= 1000):
        raise UsageError(f"plans is {spec!r} but should be one of {', '.join(SPECS)}, T and N from 1 to 1000 [--plans]")
    return match[1] or match[2], number


def allowed_roles(program: Program, places: Sequence[Place]) -> list[tuple[int, ...]]:
    """Per node the roles that can run it, the host first."""
    types, found = program.types, tuple(places)
    return [roles_for(found, n.op, tuple([types[o].dtype for o in n.operands]), n.type.dtype) for n in program.nodes]


@lru_cache(maxsize=8192)
def roles_for(places: tuple[Place, ...], op: str, operands: tuple[str, ...], result: str) -> tuple[int, ...]:
    """The roles that can run `op` on operands of these dtypes, the host first."""
    types = [ArrayType(dtype, ()) for dtype in operands]
    able = [i for i, p in enumerate(places) if i and p.features.supports(op, types, ArrayType(result, ()))]
    return (0, *able)


def node_edges(program: Program) -> list[tuple[int, int]]:
    """(producer, user) as positions in `program.nodes`, each once."""
    first = len(program.inputs)
    return sorted({(o - first, i) for i, n in enumerate(program.nodes) for o in n.operands if o >= first})


def operand_groups(program: Program) -> list[tuple[int, ...]]:
    """(producer, producer, user) of each two operands of a node that are nodes themselves, as positions."""
    first = len(program.inputs)
    return sorted({(*pair, i) for i, n in enumerate(program.nodes)
                   for pair in combinations(sorted({o - first for o in n.operands if o >= first}), 2)})  # fmt: skip


def chains(program: Program) -> list[tuple[int, ...]]:
    """(node, its user, the user's user), as positions: a value that crosses twice."""
    users: dict[int, list[int]] = {}
    for a, b in node_edges(program):
        users.setdefault(a, []).append(b)
    return sorted({(a, b, c) for a, found in users.items() for b in found for c in users.get(b, ())})


#: What a spec covers: groups of nodes, each of which gets every lawful combination of roles.
GROUPS: dict[str, Callable[[Program], Sequence[tuple[int, ...]]]] = {
    "edges": node_edges,
    "operands": operand_groups,
    "chains": chains,
}


def coverage(program: Program, allowed: Sequence[tuple[int, ...]], roles: int, done: Sequence[Placement]) -> Coverage:
    """What `done` covers of the ordered device pairs on the edges between nodes."""
    edges = node_edges(program)
    reachable = sum(len(allowed[a]) * len(allowed[b]) for a, b in edges)
    covered = sum(len({(p[a], p[b]) for p in done}) for a, b in edges)
    return Coverage(covered, reachable, len(edges) * roles * roles - reachable)


# ---------------------------------------------------------------------------------------------------------- edges
def colour(count: int, groups: Sequence[tuple[int, ...]]) -> list[int]:
    """Colours of `count` nodes such that no two of a group have the same: 3 suffice for edges of two-operand ops."""
    before: list[set[int]] = [set() for _ in range(count)]
    for group in groups:
        for a, b in combinations(sorted(group), 2):
            before[b].add(a)
    colours: list[int] = []
    for near in before:
        taken = {colours[a] for a in near}
        colours.append(next(c for c in range(len(taken) + 1) if c not in taken))
    return colours


@cache
def pair_array(columns: int, levels: int) -> tuple[tuple[int, ...], ...]:
    """Rows in which every two columns show every ordered pair of levels.

    Up to three columns a Latin square gives an orthogonal array of levels**2 rows, and for a prime number of levels up
    to levels + 1 columns (Bose 1938); beyond that a covering array is made.
    """
    prime = levels > 1 and all(levels % q for q in range(2, levels))
    if columns <= 3 or (prime and columns <= levels + 1):
        rows = []
        for a, b in product(range(levels), repeat=2):
            rows.append((a, b, *((a + m * b) % levels for m in range(1, columns - 1)))[:columns])
        return tuple(dict.fromkeys(rows))
    return covering_array(columns, levels, 2)


@lru_cache(maxsize=256)
def covering_array(columns: int, levels: int, strength: int) -> tuple[tuple[int, ...], ...]:
    """Rows in which every `strength` columns show every combination of levels, made by covertable."""
    import covertable

    if columns <= strength or levels == 1:
        return tuple(product(range(levels), repeat=columns))
    rows = covertable.make([list(range(levels))] * columns, strength=strength)
    return tuple(tuple(int(x) for x in row) for row in rows)


def _groups(program: Program, wanted: str) -> list[tuple[int, ...]]:
    """The groups of a spec, and every edge, which may be in none of them."""
    return list(dict.fromkeys([*GROUPS[wanted](program), *node_edges(program)]))


def covering_placements(
    program: Program, groups: Sequence[tuple[int, ...]], allowed: Sequence[tuple[int, ...]], roles: int
) -> list[Placement]:
    """Placements in which every group of nodes shows every combination of roles that is lawful there.

    Each colour of the nodes is a column of an array of that strength: about roles**2 rows for edges, and for groups of
    three roles**3 and some more, whatever the size of the program.
    """
    if not program.nodes:
        return [()]
    colours = colour(len(program.nodes), groups)
    columns, strength = max(colours) + 1, max((len(g) for g in groups), default=1)
    rows = pair_array(columns, roles) if strength <= 2 else covering_array(columns, roles, strength)
    found = list(dict.fromkeys(_lawful([row[c] for c in colours], allowed) for row in rows))
    return found if all(len(a) == roles for a in allowed) else _complete(groups, allowed, found)


def _lawful(wanted: Sequence[int], allowed: Sequence[tuple[int, ...]]) -> Placement:
    return tuple(w if w in a else a[w % len(a)] for w, a in zip(wanted, allowed, strict=True))


def _complete(
    groups: Sequence[tuple[int, ...]], allowed: Sequence[tuple[int, ...]], found: list[Placement]
) -> list[Placement]:
    """Add placements for what devices of fewer ops left out, as many combinations to each as go together."""
    missing = {(g, roles) for g, group in enumerate(groups) for roles in product(*[allowed[n] for n in group])}
    missing -= {(g, tuple([row[n] for n in group])) for row in found for g, group in enumerate(groups)}
    while missing:
        fixed: dict[int, int] = {}
        for g, roles in sorted(missing):
            if all(fixed.get(n, role) == role for n, role in zip(groups[g], roles, strict=True)):
                fixed.update(zip(groups[g], roles, strict=True))
        row = tuple(fixed.get(i, a[0]) for i, a in enumerate(allowed))
        found.append(row)
        missing -= {(g, tuple([row[n] for n in group])) for g, group in enumerate(groups)}
    return found


# ------------------------------------------------------------------------------------------ plans that people use
HEAVY = frozenset({"matmul", "sum", "mean", "prod", "cumulative_sum", "sort", "exp", "log", "sin", "tanh", "pow"})


def _heavy(program: Program, allowed: Sequence[tuple[int, ...]], _: Choices) -> list[int]:
    """Compute-heavy nodes on the device; small, scalar and control work on the host."""
    return [a[-1] if n.op in HEAVY or n.type.size >= 64 else 0 for n, a in zip(program.nodes, allowed, strict=True)]


def _all_but_one(program: Program, allowed: Sequence[tuple[int, ...]], choices: Choices) -> list[int]:
    """Everything on the device but one node."""
    out = choices.below(max(len(program.nodes), 1))
    return [0 if i == out else a[-1] for i, a in enumerate(allowed)]


def _ping_pong(program: Program, allowed: Sequence[tuple[int, ...]], _: Choices) -> list[int]:
    """Every node on another place than the one before."""
    return [a[i % len(a)] for i, a in enumerate(allowed)]


def _split(program: Program, allowed: Sequence[tuple[int, ...]], choices: Choices) -> list[int]:
    """The first part on one place, the rest on another."""
    cut = choices.below(len(program.nodes) + 1)
    return [a[-1] if i < cut else a[0] if len(a) < 3 else a[1] for i, a in enumerate(allowed)]


def _fallback(program: Program, allowed: Sequence[tuple[int, ...]], choices: Choices) -> list[int]:
    """Everything on the device but the nodes of one op, which falls back to the host."""
    op = choices.pick([n.op for n in program.nodes]) if program.nodes else ""
    return [0 if n.op == op else a[-1] for n, a in zip(program.nodes, allowed, strict=True)]


PATTERNS: dict[str, Callable[[Program, Sequence[tuple[int, ...]], Choices], list[int]]] = {
    "compute-heavy": _heavy,
    "all-but-one": _all_but_one,
    "ping-pong": _ping_pong,
    "split": _split,
    "fallback": _fallback,
}


#: What the default covers, by share; zero bytes choose the first.
DEFAULT_GROUPS = ("edges",) * 12 + ("operands", "chains")


def placements(program: Program, places: Sequence[Place], spec: str, choices: Choices) -> tuple[list[Placement], Any]:
    """The placements that `spec` asks for, and the allowed roles per node.

    edges: every pair of roles on every edge; operands, chains: every combination on two operands and their user, on two
    edges in a row. default: all of them for a program with at most `EXHAUSTIVE_LIMIT`, else edge-complete (one program
    in 14 by operands, one by chains) plus one named pattern.
    Raises `UsageError` for an unknown spec, and for `exhaustive` where there are more than 100,000.
    """
    kind, number = parse_spec(spec)
    allowed = allowed_roles(program, places)
    total = 1
    for a in allowed:
        total *= len(a)
    if kind == "exhaustive" and total > 100_000:
        raise UsageError(f"exhaustive means {total} placements of this program; use --plans edges, or fewer nodes")
    if kind == "exhaustive" or (kind == "default" and total <= EXHAUSTIVE_LIMIT):
        return [tuple(p) for p in product(*allowed)], allowed
    if kind == "random":
        return [tuple(choices.pick(a) for a in allowed) for _ in range(number)], allowed
    if kind == "covering":
        rows = covering_array(len(allowed), len(places), number)
        return list(dict.fromkeys(_lawful(row, allowed) for row in rows)), allowed
    # most programs get their edges covered; now and then what takes three nodes to go wrong
    wanted = kind if kind != "default" else choices.pick(DEFAULT_GROUPS)
    found = covering_placements(program, _groups(program, wanted), allowed, len(places))
    if kind == "default":
        pattern = PATTERNS[choices.pick(tuple(PATTERNS))](program, allowed, choices)
        found = list(dict.fromkeys([*found, tuple(pattern)]))
    return found, allowed
