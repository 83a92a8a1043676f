"""A unit of work: a fixed number of case runs drawn from one Hypothesis engine with its own seed.

Failures are recorded, never raised inside the engine; every setting is pinned and nothing is inherited from the
ambient profile. With the same settings a unit generates the same cases in any process.
"""

from __future__ import annotations

import hashlib
import unittest
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from attrs import evolve, frozen
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from offload_fuzz.adapters.pool import host, open_places
from offload_fuzz.campaign.cells import CellKey, Cells, Edges, as_rows
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.coverage import count_pairs, count_placed
from offload_fuzz.campaign.extension import find_oracles, find_strategy, load
from offload_fuzz.campaign.journal import GENERATING, RUNNING, SHRINKING
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.campaign.steering import steered
from offload_fuzz.case import Case
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import Place
from offload_fuzz.enclosure import is_float
from offload_fuzz.errors import InternalError, OffloadError, UsageError
from offload_fuzz.finding.diagnose import Diagnosis, diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.shrink import on_places_of, shrink
from offload_fuzz.finding.store import Finding, make_finding, with_expected
from offload_fuzz.issuing import check_support
from offload_fuzz.oracles import Verdict, judge
from offload_fuzz.plan import Plan
from offload_fuzz.reference import quiet
from offload_fuzz.strategies import known_dtypes, known_ops, placements, seeded_cases
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.modes import MODE_BYTES, plan_for
from offload_fuzz.strategies.placements import coverage, parse_spec
from offload_fuzz.trial import Planned, new_trial, run_plan

#: Plans that a large program gets; a small one gets what --plans says.
LARGE_PLANS = 3
LARGE_SIZE = 10_000
#: Failing programs that one unit shrinks; further ones are counted.
SHRINKS_PER_UNIT = 8
MIN_NODES = 6
#: Plans for each placement of a program where a place compiles each new op and shape.
PLANS_PER_COMPILATION = 4
ENTROPY_BYTES = 16
#: Of so many plans of a program all but the first are steered, so that some remain as they are drawn.
STEERED = 4


class UnitDone(unittest.SkipTest):
    """Ends a unit: Hypothesis passes skips on at once."""

    def __init__(self) -> None:
        super().__init__("the unit is done")


@frozen(eq=False)
class Workbench:
    """What units need, opened once per process."""

    settings: Settings
    places: tuple[Place, ...]
    drawn: st.SearchStrategy[Iterator[tuple[Any, bytes]]]
    """Some cases, each with bytes for its further plans."""

    examiner: Examiner


def open_workbench(options: Settings) -> Workbench:
    """Open devices, load extensions, find strategy and oracles; raises `UsageError` or `MissingDevice`."""
    modules = load(options.load)
    parse_spec(options.plans)
    places = open_places(options.devices)
    if options.contract is not None:
        contract = contract_named(options.contract)
        places = (
            host(),
            *(evolve(p, features=evolve(p.features, contract=contract)) for p in places[1:]),
        )
    drawn: st.SearchStrategy[Iterator[tuple[Any, bytes]]]
    if options.strategy is None:
        excluded = set(known_ops(options.exclude_ops))
        ops = [o for o in known_ops(options.ops) if o not in excluded]
        if not ops:
            raise UsageError("--ops without --exclude-ops leaves no op; name at least one [run]")
        least = min(MIN_NODES, options.max_nodes)
        drawn = seeded_cases(places, options.max_nodes, least, ops, known_dtypes(options.dtypes))
    else:
        entropy = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
        drawn = st.tuples(find_strategy(options.strategy, modules, places), entropy).map(lambda one: iter((one,)))
    return Workbench(options, places, drawn, Examiner(places, find_oracles(options.oracles, modules)))


def unit_seed(campaign_seed: int, unit: int) -> int:
    """The seed of a unit's engine."""
    return int.from_bytes(hashlib.sha256(f"{campaign_seed}/{unit}".encode()).digest()[:8], "big")


def plans_of(case: Case, entropy: bytes, spec: str, places: tuple[Place, ...]) -> tuple[list[Plan], Counts]:
    """The plans that a program gets: its own, then one per placement of `spec`; and what pairs they cover."""
    program = case.program
    found, allowed = placements(program, places, spec, Choices.expanded(entropy, 16 + 16 * len(program.nodes) ** 2))
    if is_large(case):
        found = found[: LARGE_PLANS - 1]
    if any(p.features.shapes == "pool" for p in places):  # what was compiled for one plan serves the others
        found = [placement for placement in found for _ in range(PLANS_PER_COMPILATION)]
    size = 16 + MODE_BYTES * len(program.nodes)
    plans = [case.plan]
    for i, placement in enumerate(found):
        plans.append(plan_for(program, placement, places, Choices.expanded(entropy + i.to_bytes(4, "big"), size)))
    done = [case.plan.devices(program), *found]
    c = coverage(program, allowed, len(places), done)
    counts = Counts(pairs_covered=c.covered, pairs_reachable=c.reachable, pairs_unreachable=c.unreachable)
    count_pairs(counts, program, allowed, done)
    return plans, counts


def leaving_out(plan: Plan, freedoms: Collection[str]) -> Plan:
    """`plan` with all choices of these freedoms plain."""
    return plan.without(*[key for key in plan.choices if key[0] in freedoms])


def is_large(case: Case) -> bool:
    """Whether any value has 10 thousand elements or more."""
    return any(t.size >= LARGE_SIZE for t in case.program.types)


def is_wild(case: Case) -> bool:
    """Whether any input has NaN, an infinity, -0.0, a subnormal or a number near overflow."""
    return any(_wild(x) for x in case.program.inputs)


def _wild(x: Any) -> bool:
    if x.dtype.kind == "c":
        return _wild(x.real) or _wild(x.imag)
    if is_float(x.dtype):
        w = x.astype(np.float64)
        big = float(np.finfo(np.float32).max) / 4 if x.dtype.itemsize > 2 else 16384.0
        odd = ~np.isfinite(w) | ((w == 0) & np.signbit(w)) | ((w != 0) & (np.abs(w) < 2.0**-14)) | (np.abs(w) > big)
        return bool(odd.any())
    if x.dtype.kind in "iu" and x.size:  # not the 4-bit ones, which are full soon
        return bool(int(x.max()) > np.iinfo(x.dtype).max // 4)
    return False


Emit = Callable[[str, dict[str, Any]], None]


class Unit:
    """Runs one unit. emit(kind, data) gets `program`, `failure` and `finding` records as they happen."""

    def __init__(
        self, bench: Workbench, number: int, size: int, emit: Emit, journal: Any, skip: tuple[int, int]
    ) -> None:
        self.bench = bench
        self.number = number
        self.left = size
        self.emit = emit
        self.journal = journal
        self.skip = skip
        self.program = -1
        self.shrinks = 0
        self.cells = Cells()
        self.fresh: dict[CellKey, int] = {}
        self.error: Exception | None = None
        self.wanted: tuple[int, int] | None = None
        self.found: Case | None = None

    def run(self) -> None:
        """Generate and run; raises `UsageError` for a strategy that raises, and what `InternalError` came up."""
        self.journal.write(GENERATING, self.number, 0)
        test = given(self.bench.drawn)(self._guarded)
        test = seed(unit_seed(self.bench.settings.seed, self.number))(test)
        test = settings(
            max_examples=max(self.left, 1),
            derandomize=False,
            database=None,
            verbosity=Verbosity.quiet,
            phases=[Phase.generate],
            stateful_step_count=50,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            deadline=None,
            print_blob=False,
            backend="hypothesis",
        )(test)
        try:
            test()
        except UnitDone:
            pass
        except OffloadError:
            raise
        except Exception as error:
            name = self.bench.settings.strategy
            if name is None:
                raise InternalError(f"strategy cases raised {type(error).__name__}: {error}") from error
            raise UsageError(f"strategy {name} raised {type(error).__name__}: {error} [--strategy]; mend it") from error
        if self.error is not None:
            raise self.error

    def case_at(self, program: int, plan: int) -> Case | None:
        """Generate, without running, the case at a place in the unit."""
        self.wanted = (program, plan)
        self.run()
        return self.found

    def _guarded(self, drawn: Iterator[tuple[Any, bytes]]) -> None:
        try:
            with quiet():
                for case, entropy in self._grown(drawn):
                    self._one(case, entropy)
        except UnitDone:
            raise
        except Exception as error:  # kept, and raised outside the engine
            self.error = error
            raise UnitDone() from error

    def _grown(self, drawn: Iterator[tuple[Any, bytes]]) -> Iterator[tuple[Any, bytes]]:
        """The cases of one draw; raises `InternalError` for what our own strategy raises."""
        try:
            yield from drawn
        except OffloadError:
            raise
        except Exception as error:
            raise InternalError(f"strategy cases raised {type(error).__name__}: {error}") from error

    def _one(self, case: Any, entropy: bytes) -> None:
        if not isinstance(case, Case):
            raise UsageError(f"strategy gave {type(case).__name__} but should give a case, as CaseBuilder.returns does")
        self.program += 1
        if self.bench.settings.strategy is not None:
            check_support(case.program, case.plan, self.bench.places)
        if case.values is None:
            case = evolve(case, values=new_trial(case.program, self.bench.places).values)
        plans, counts = plans_of(case, entropy, self.bench.settings.plans, self.bench.places)
        plans = plans[: self.left]
        self.left -= len(plans)
        plans, self.fresh = self._reaching(case, plans)
        if self.wanted is not None:
            if self.program == self.wanted[0]:
                self.found = evolve(case, plan=plans[min(self.wanted[1], len(plans) - 1)], values=None)
                raise UnitDone()
        elif self.program >= self.skip[0]:
            start = self.skip[1] if self.program == self.skip[0] else 0
            self._trial(case, plans, counts, start)
        if self.left <= 0:
            raise UnitDone()

    def _reaching(self, case: Case, plans: list[Plan]) -> tuple[list[Plan], dict[CellKey, int]]:
        """The plans as they are run, and the cells that no program of this unit has reached before."""
        options, places = self.bench.settings, self.bench.places
        values = case.values
        assert values is not None
        edges = Edges(case.program, places, lambda v: values[v].value, options.without)
        if options.without:
            plans = [leaving_out(plan, options.without) for plan in plans]
        fresh: dict[CellKey, int] = {}
        masks = self.cells.masks
        for i, plan in enumerate(plans):
            if options.steer and i % STEERED:
                plans[i] = steered(plan, edges, masks, fresh, self.number)
            else:
                edges.reached(plan, masks, fresh)
        return plans, fresh

    def _trial(self, case: Case, plans: list[Plan], counts: Counts, start: int) -> None:
        bench, journal = self.bench, self.journal
        trial = new_trial(case.program, bench.places, case.values)
        prover = bench.examiner.prover
        for i in range(start, len(plans)):
            journal.write(RUNNING, self.number, self.program, i, i - start)
            trial.planned.append(Planned(plans[i], run_plan(case.program, plans[i], bench.places, prover)))
            counts.plan(plans[i])
            counts.ledger(trial.planned[-1].run, bench.places)
        journal.write(GENERATING, self.number, self.program, len(plans), len(plans) - start)
        found, unknown = judge(trial, bench.examiner.oracles)
        if start == 0:
            counts.program(case.program)
            counts.wild += is_wild(case)
            counts.large += is_large(case)
            counts.skipped += case.skipped
        count_placed(counts, case.program, plans[start:])
        full = sum(p.run.failure is not None and p.run.failure.out_of_memory for p in trial.planned)
        counts.out_of_memory += full
        counts.judged += (len(plans) - start - full) * len(case.program.outputs)
        counts.unknown += unknown
        counts.vacuous += sum(e is not None and e.is_vacuous for e in trial.expected)
        for verdict in found:
            if _is_echo(verdict.kind, {v.kind for v in found}):
                continue  # the same wrong result, said a second time
            if verdict.failed:
                counts.failures += 1
                self._failure(case, trial.planned, verdict, counts)
            else:
                raise UsageError(f"oracle {verdict.claim} raised {verdict.message} [--oracles]; mend it")
        record = {"program": self.program, "cases": len(plans) - start, "counts": counts.as_json()}
        self.emit("program", {**record, "cells": as_rows(self.fresh)})

    def _failure(self, case: Case, planned: list[Planned], verdict: Verdict, counts: Counts) -> None:
        control = planned[verdict.control].plan if verdict.control is not None else None
        failing = evolve(case, plan=planned[verdict.plan].plan, control=control, values=None)
        origin = {
            "seed": self.bench.settings.seed,
            "unit": self.number,
            "program": self.program,
            "nodes": len(case.program.nodes),
            "choices": len(failing.plan.choices),
        }
        if self.shrinks >= SHRINKS_PER_UNIT:
            counts.unshrunk += 1
            return
        self.shrinks += 1
        self.journal.write(SHRINKING, self.number, self.program, verdict.plan)
        raw = make_finding(failing, verdict, Diagnosis((), verdict.value, 1, 1), 0, origin)
        self.emit("failure", {"program": self.program, "id": raw.id, "text": raw.text()})
        finding, executions = reduce_to_finding(
            failing, verdict, self.bench.examiner, self.bench.settings, origin, self._tick
        )
        counts.executions += executions
        self.emit("finding", {"program": self.program, "id": finding.id, "text": finding.text()})

    def _tick(self) -> None:
        self.journal.write(SHRINKING, self.number, self.program)


def _is_echo(kind: str, kinds: set[str]) -> bool:
    """Whether another verdict of the same trial says more of what is most likely the same failure."""
    if kind == "stale read":
        return not kinds <= {"stale read", "hidden fallback", "extra transfer"}
    return kind == "plans disagree" and "wrong value" in kinds


def reduce_to_finding(
    case: Case,
    verdict: Verdict,
    examiner: Examiner,
    options: Settings,
    origin: dict[str, Any],
    tick: Callable[[], None],
) -> tuple[Finding, int]:
    """Shrink, diagnose and name a failing case; also the number of executions that took."""
    before = examiner.count[0]
    reduction = shrink(case, verdict, examiner, options.shrink_budget, tick)
    examiner = on_places_of(reduction.case, examiner)
    diagnosis = diagnose(reduction.case, reduction.verdict, examiner, attempts=reduction.attempts)
    trial = new_trial(reduction.case.program, examiner.places)
    small = with_expected(reduction.case, trial)
    executions = examiner.count[0] - before
    return make_finding(small, reduction.verdict, diagnosis, executions, origin), executions
