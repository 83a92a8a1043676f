"""The plan: a choice for every freedom that a runtime has. `FREEDOMS` is the table that all others loop over.

A plan is kept sparse: only choices that are not plain are in it, so what is left after shrinking is the diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from offload_fuzz.errors import InvalidProgram, one_of, require
from offload_fuzz.program import Program, pretty_by_repr

#: Where a choice is made: () for the schedule, (value,) for a node, (user, k) for operand k of node `user`, where
#: `user` is `program.returns` for the values returned.
Site: TypeAlias = tuple[int, ...]
Key: TypeAlias = tuple[str, Site]


@frozen
class Freedom:
    """One thing that a runtime may choose.

    scope: node, operand, edge (an operand that crosses between places) or schedule. choices: plain first; for device
    and stream, numbers. needs: the device feature without which only the plain choice is lawful. phrase: how a printed
    case says it, with {choice}.
    """

    name: str
    scope: str
    choices: tuple[Any, ...]
    needs: str
    phrase: str

    @property
    def plain(self) -> Any:
        return self.choices[0]


ROLES = tuple(range(8))

FREEDOMS: dict[str, Freedom] = {
    f.name: f
    for f in (
        Freedom("device", "node", ROLES, "", "on d{choice}"),
        Freedom("stream", "node", (0, 1, 2, 3), "streams", "on stream {choice}"),
        Freedom("reuse", "node", (False, True), "in_place", "in place of a dead operand"),
        Freedom("donate", "node", (False, True), "donate", "given the memory of a dead operand"),
        Freedom(
            "update",
            "node",
            ("functional", "assign", "out", "view", "strided view"),
            "update",
            "result put in its place by {choice}",
        ),
        Freedom("lifetime", "node", ("kept", "dropped"), "drop", "{choice} by the host after its last use"),
        Freedom("compile", "node", (False, True), "compile", "compiled together with the node before"),
        Freedom(
            "delay", "node", ("none", "copy", "launch", "event"), "delay", "a delay on the stream before the {choice}"
        ),
        Freedom("transfer", "edge", ("blocking", "async", "shared"), "transfers", "{operand} crosses {choice}"),
        Freedom("route", "edge", ("direct", "host", "third device"), "peers", "{operand} crosses over the {choice}"),
        Freedom(
            "destination", "edge", ("own", "offset", "strided"), "destination", "{operand} arrives in {choice} memory"
        ),
        Freedom("chunks", "edge", ("whole", "halves", "pieces of 3"), "chunks", "{operand} crosses in {choice}"),
        Freedom("constant", "operand", (False, True), "constants", "{operand} is a constant of the kernel"),
        Freedom(
            "layout",
            "operand",
            ("contiguous", "fortran", "strided", "negative", "broadcast"),
            "",
            "{operand} laid out {choice}",
        ),
        Freedom("alignment", "operand", (64, "element"), "", "{operand} aligned to its element only, not to 64 bytes"),
        Freedom("paging", "operand", ("any", "across"), "", "{operand} lies {choice} the border of two pages"),
        Freedom("pinned", "operand", (False, True), "pinned", "{operand} crosses from page-locked host memory"),
        Freedom("readonly", "operand", (False, True), "", "{operand} in a read-only host array"),
        Freedom(
            "overwrite",
            "edge",
            (False, True, "after a wait", "late"),  # True: at once
            "source_free",
            "source of {operand} overwritten {choice}",
        ),
        Freedom("order", "schedule", (0, 1, 2, 3), "", "independent nodes in order {choice}"),
        Freedom("sync", "schedule", ("full", "minimal", "early-event"), "", "{choice} synchronisation"),
        Freedom("repeat", "schedule", (1, 2), "", "run {choice} times"),
        Freedom("company", "schedule", ("alone", "before", "interleaved"), "", "a second program {choice}"),
        Freedom("readback", "schedule", (False, True), "", "every result read back as it is computed"),
    )
}


@frozen(eq=False, slots=True)
class Plan:
    """choices: (freedom, site) -> the choice, where it is not plain; seed: of a device's own lawful choices."""

    choices: Mapping[Key, Any]
    seed: int = 0

    def get(self, freedom: str, *site: int) -> Any:
        """The choice of `freedom` at `site`, plain unless stated."""
        key = (freedom, site)
        return self.choices[key] if key in self.choices else FREEDOMS[freedom].choices[0]

    def without(self, *keys: Key) -> Plan:
        """The plan with the choices at `keys` turned plain."""
        return Plan({k: c for k, c in self.choices.items() if k not in keys}, self.seed)

    def non_plain(self) -> Iterator[tuple[Key, Any]]:
        """The choices that are not plain, in table order, then by site."""
        order = {name: i for i, name in enumerate(FREEDOMS)}
        return iter(sorted(self.choices.items(), key=lambda item: (order[item[0][0]], item[0][1])))

    def devices(self, program: Program) -> tuple[int, ...]:
        """The role of each node, 0 for the host."""
        return tuple(self.get("device", v) for v, _ in program.numbered())

    _repr_pretty_ = pretty_by_repr

    def __repr__(self) -> str:
        choices = [f"{name}{list(site) if site else ''}={choice}" for (name, site), choice in self.non_plain()]
        return f"plan({', '.join([*choices, f'seed={self.seed}'])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return dict(self.choices) == dict(other.choices) and self.seed == other.seed

    def __hash__(self) -> int:
        return hash((frozenset(self.choices.items()), self.seed))


PLAIN = Plan({})


def sites(program: Program, scope: str) -> Iterator[Site]:
    """Every site of a scope in `program`."""
    if scope == "schedule":
        yield ()
        return
    for v, node in program.numbered():
        if scope == "node":
            yield (v,)
        else:
            yield from ((v, k) for k in range(len(node.operands)))
    if scope == "edge":
        yield from ((program.returns, k) for k in range(len(program.outputs)))


def check_plan(program: Program, plan: Plan, roles: int) -> None:
    """Raise `InvalidProgram` for a choice that is not in the table, at no site of the program, or of an absent role."""
    valid = {scope: set(sites(program, scope)) for scope in ("node", "operand", "edge", "schedule")}
    for (name, site), choice in plan.choices.items():
        if name not in FREEDOMS:
            raise one_of("freedom", name, FREEDOMS, "plan")
        freedom = FREEDOMS[name]
        scope = freedom.scope
        require(site in valid[scope], f"plan chooses {name} at {site}, which is no {scope} of the program")
        if not any(choice == c and type(choice) is type(c) for c in freedom.choices):
            raise one_of(f"choice of {name}", choice, freedom.choices, f"plan, at {site}")
        require(choice != freedom.plain, f"plan states the plain choice of {name} at {site}; leave it out")
        if name == "device" and choice > roles:
            raise InvalidProgram(f"plan places v{site[0]} on d{choice - 1} but the case has {roles} device role(s)")


def phrase_of(name: str, choice: Any, operand: str = "") -> str:
    """How a printed case says a non-plain choice, for example `v1 crosses async`; devices are counted from d0."""
    shown = choice - 1 if name == "device" else "once free" if choice is True else choice
    return FREEDOMS[name].phrase.format(choice=shown, operand=operand)


def describe(program: Program, key: Key, choice: Any) -> str:
    """The phrase of one non-plain choice and whose it is, for example `v3: v1 crosses async`."""
    (name, site) = key
    if not site:
        return phrase_of(name, choice)
    user, *at = site
    who = "return" if user == program.returns else f"v{user}"
    operand = ""
    if at:
        node = program.node_of(user) if user != program.returns else None
        operands = program.outputs if node is None else node.operands
        operand = f"v{operands[at[0]]}"
    return f"{who}: {phrase_of(name, choice, operand)}"
