"""The honesty counts: what was run, and what was skipped, unknown, vacuous or out of reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from offload_fuzz.device import Place
from offload_fuzz.execute import Run
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program


@define
class Counts:
    """Sums over programs and plans; `merge` adds another. Every field is a plain number or a table of numbers."""

    programs: int = 0
    cases: int = 0
    judged: int = 0
    unknown: int = 0
    vacuous: int = 0
    rejected: int = 0
    skipped: int = 0
    out_of_memory: int = 0
    told: int = 0
    watched: int = 0
    transfers: int = 0
    moved_bytes: int = 0
    wild: int = 0
    large: int = 0
    pairs_covered: int = 0
    pairs_reachable: int = 0
    pairs_unreachable: int = 0
    failures: int = 0
    unshrunk: int = 0
    executions: int = 0
    crashes: int = 0
    hangs: int = 0
    untold: dict[str, int] = field(factory=Counter)
    nodes: dict[str, int] = field(factory=Counter)
    ops: dict[str, int] = field(factory=Counter)
    freedoms: dict[str, int] = field(factory=Counter)
    runnable: dict[str, int] = field(factory=Counter)
    placed: dict[str, int] = field(factory=Counter)
    crossable: dict[str, int] = field(factory=Counter)
    crossed: dict[str, int] = field(factory=Counter)

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add counts given as a mapping."""
        for name, value in other.items():
            mine = getattr(self, name)
            if isinstance(value, Mapping):
                for key, n in value.items():
                    mine[key] = mine.get(key, 0) + n
            else:
                setattr(self, name, mine + value)

    def program(self, program: Program) -> None:
        """Count a program."""
        self.programs += 1
        size = str(len(program.nodes))
        self.nodes[size] = self.nodes.get(size, 0) + 1
        for node in program.nodes:
            self.ops[node.op] = self.ops.get(node.op, 0) + 1

    def plan(self, plan: Plan) -> None:
        """Count a case run and the freedoms that are not plain in it."""
        self.cases += 1
        for name in {name for name, _ in plan.choices}:
            self.freedoms[name] = self.freedoms.get(name, 0) + 1

    def ledger(self, run: Run, places: Sequence[Place]) -> None:
        """Count what the devices told of a run, and who did not tell of all transfers and launches."""
        ledger = run.ledger
        if ledger is None:
            return
        told = watched = True
        for place, p in enumerate(places[1:], 1):
            watched = watched and ledger.tells(place, "misreads")
            if not (ledger.tells(place, "transfers") and ledger.tells(place, "launches")):
                self.untold[p.name] = self.untold.get(p.name, 0) + 1
                told = False
            moved = ledger.moved(place) or ()
            self.transfers += len(moved)
            self.moved_bytes += sum(nbytes for _, nbytes in moved)
        self.told += told
        self.watched += watched

    @property
    def median_nodes(self) -> int:
        """The median number of nodes of a program."""
        total = sum(self.nodes.values())
        seen = 0
        for size in sorted(self.nodes, key=int):
            seen += self.nodes[size]
            if 2 * seen >= total:
                return int(size)
        return 0

    def as_json(self) -> dict[str, Any]:
        """A mapping of plain numbers and tables, without zeros."""
        from attrs import asdict

        return {k: dict(sorted(v.items())) if isinstance(v, dict) else v for k, v in asdict(self).items() if v}
