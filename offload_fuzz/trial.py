"""A trial: one program, what the contract allows for each of its values, and the runs of its plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from attrs import evolve, field, frozen

from offload_fuzz import schedule as s
from offload_fuzz.contract import LIBERTIES, Contract, union
from offload_fuzz.device import Place
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.errors import InternalError
from offload_fuzz.execute import Run, execute
from offload_fuzz.happens_before import Prover
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.recovery import recover, working_at_first
from offload_fuzz.reference import Known, evaluate_program, quiet

#: One in so many schedules is proved anew although its shape is remembered.
REPROVED = 1000


@frozen(eq=False, slots=True)
class Planned:
    """A plan and the run that it gave."""

    plan: Plan
    run: Run


@frozen(eq=False)
class Trial:
    """program on places (the host first) under `contract`; values: what the reference knows of every value.

    expected: per output its enclosure, None where unknown; expected_bytes: of outputs that are singletons. stored:
    `expected` comes from a file and counts for every run.
    """

    program: Program
    places: tuple[Place, ...]
    contract: Contract
    values: tuple[Known, ...]
    expected: tuple[Enclosure | None, ...]
    planned: list[Planned] = field(factory=list)
    stored: bool = False
    _compiled: dict[Any, tuple[Enclosure | None, ...]] = field(factory=dict)
    expected_bytes: tuple[bytes | None, ...] = field(init=False)

    @expected_bytes.default
    def _bytes(self) -> tuple[bytes | None, ...]:
        return tuple(e.lo.tobytes() if e is not None and e.is_singleton else None for e in self.expected)

    def expected_of(self, run: Run) -> tuple[Enclosure | None, ...]:
        """What is allowed for the outputs of a run: `expected`, and more where nodes were compiled together."""
        if not run.regions or self.stored:
            return self.expected
        found = self._compiled.get(run.regions)
        if found is None:
            with quiet():
                values = evaluate_program(self.program, self.contract, run.regions)
            found = self._compiled[run.regions] = tuple(values[v].enclosure for v in self.program.outputs)
        return found


@lru_cache(maxsize=256)
def contract_of_places(places: tuple[Place, ...]) -> Contract:
    """The weakest promises over the places; one that compiles nothing takes no liberties there, whatever it says."""
    contracts = [p.features.contract for p in places]
    none = frozenset(LIBERTIES)
    return union(
        c if p.features.compile else evolve(c, compiled_excludes=none, compiled_rewrites=frozenset())
        for p, c in zip(places, contracts, strict=True)
    )


def new_trial(
    program: Program,
    places: tuple[Place, ...],
    values: tuple[Known, ...] | None = None,
    expected: tuple[Enclosure | None, ...] | None = None,
) -> Trial:
    """A trial without runs; evaluates the reference unless `values` are known already.

    expected: stored enclosures of the outputs, which then count instead of the reference's.
    """
    contract = contract_of_places(places)
    if values is None:
        with quiet():
            values = tuple(evaluate_program(program, contract))
    if expected is None:
        return Trial(program, places, contract, values, tuple(values[v].enclosure for v in program.outputs))
    return Trial(program, places, contract, values, expected, stored=True)


def run_plan(
    program: Program,
    plan: Plan,
    places: Sequence[Place],
    prover: Prover,
    before: Callable[[s.Command], None] | None = None,
    after: Callable[[list[Any]], None] | None = None,
) -> Run:
    """Lower, prove and execute one plan; raises `InternalError` for a schedule that the checker rejects.

    Where a device runs out of memory, what it does after that is looked at too.
    """
    schedule = lower(program, plan, places)
    violation = prover.check(schedule, reprove=plan.seed % REPROVED == 1)
    if violation is not None:
        raise InternalError(f"the checker rejects a schedule that was lowered: {violation.message}")
    working_at_first(tuple(places))
    with quiet():
        run = execute(schedule, program, places, plan.seed, plan.get("repeat"), before, after)
        if run.failure is not None and run.failure.out_of_memory:
            return evolve(run, recovery=recover(schedule, program, places, run, plan.get("repeat"), plan.seed))
        return run
