"""Throughput: what each part of a trial costs, and what one more plan costs beside its bare backend calls.

    python benchmarks/throughput.py [--devices simulated:0,torch:cpu] [--programs 60] [--ops add,exp]

Every figure of one run comes from the same process, so that ratios can be compared; absolute times are the machine's.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.campaign.cells import CellKey, Edges
from offload_fuzz.campaign.steering import steered
from offload_fuzz.campaign.unit import STEERED
from offload_fuzz.campaign.worker import YOUNG_OBJECTS
from offload_fuzz.case import Case
from offload_fuzz.device import Place
from offload_fuzz.execute import execute
from offload_fuzz.happens_before import Prover
from offload_fuzz.lower import lower
from offload_fuzz.oracles import default_oracles, judge
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.strategies import PER_SEED, seeded_cases
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.modes import plan_for
from offload_fuzz.strategies.placements import allowed_roles
from offload_fuzz.trial import Planned, contract_of_places, new_trial, run_plan

SIZES = (5, 10, 30)
PLANS = (1, 2, 4, 8, 16, 32, 64)


def clock(work: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def draw(
    places: tuple[Place, ...], nodes: int, count: int, ops: Sequence[str] | None = None
) -> tuple[list[Case], float]:
    """Cases of `nodes` steps among `count` drawn, small ones only, and the CPU seconds that drawing each took."""
    found: list[Case] = []
    ended = [time.process_time()]

    def take(drawn: Iterator[tuple[Case, bytes]]) -> None:
        for case, _ in drawn:
            found.append(case)
            ended.append(time.process_time())

    strategy = seeded_cases(places, nodes, nodes, ops, None)
    test = settings(
        max_examples=1 + count // PER_SEED, database=None, phases=[Phase.generate], deadline=None,
        verbosity=Verbosity.quiet, suppress_health_check=list(HealthCheck), derandomize=False, print_blob=False,
    )(seed(1)(given(strategy)(take)))  # fmt: skip  # one pinned test
    ended[0] = time.process_time()
    test()
    spent = [after - before for before, after in pairwise(ended)]
    small = [i for i, c in enumerate(found) if max(t.size for t in c.program.types) < 10_000]
    return [found[i] for i in small], sum(spent[i] for i in small) / max(len(small), 1)


class Timed:
    """A device whose calls are timed: what a plan costs in the backend alone."""

    def __init__(self, place: Place) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.name = place.name
        self.place = Place(self, place.features)
        self.inner = place.device
        for method in (
            "upload",
            "download",
            "launch",
            "record",
            "wait",
            "synchronize",
            "copy",
            "release",
            "reset",
            "place_of",
            "ledger",
            "touched",
        ):
            if hasattr(self.inner, method):
                setattr(self, method, self._timed(getattr(self.inner, method)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                self.seconds += time.perf_counter() - start
                self.calls += 1

        return timed


def plans_for(program: Program, places: Sequence[Place], count: int) -> list[Any]:
    """`count` plans, each with its own placement and modes."""
    made = []
    allowed = allowed_roles(program, places)
    for i in range(count):
        choices = Choices.expanded(i.to_bytes(4, "big"), 64 + 40 * len(program.nodes))
        made.append(plan_for(program, [choices.pick(roles) for roles in allowed], places, choices))
    return made


def measure(device: str, nodes: int, count: int, ops: Sequence[str] | None) -> dict[str, float]:
    """Microseconds per program and per plan for programs of `nodes` nodes, of `ops`, on the host and `device`."""
    places = open_places((device,))
    drawn, seconds = draw(places, nodes, count, ops)
    contract = contract_of_places(places)
    prover, oracles = Prover(), default_oracles()
    totals = {"draw": seconds * len(drawn), "evaluate": 0.0, "lower": 0.0, "prove": 0.0, "execute": 0.0, "judge": 0.0}
    totals["cells"] = 0.0
    masks: dict[CellKey, int] = {}  # fewer are new than in a unit, which begins anew after 250 case runs
    plans_run = 0
    for case in drawn:
        with quiet():
            totals["evaluate"] += clock(lambda c=case: evaluate_program(c.program, contract))  # type: ignore[misc]  # bound now
        trial = new_trial(case.program, places, case.values)
        plans = plans_for(case.program, places, 10)
        totals["cells"] += clock(lambda c=case, p=plans: reach(c, p, places, masks))  # type: ignore[misc]  # bound now
        for plan in plans:
            start = time.process_time()
            schedule = lower(case.program, plan, places)
            lowered = time.process_time()
            prover.check(schedule)
            proved = time.process_time()
            with quiet():
                run = execute(schedule, case.program, places, plan.seed, plan.get("repeat"))
            done = time.process_time()
            trial.planned.append(Planned(plan, run))
            totals["lower"] += lowered - start
            totals["prove"] += proved - lowered
            totals["execute"] += done - proved
            plans_run += 1
        totals["judge"] += clock(lambda t=trial: judge(t, oracles))  # type: ignore[misc]  # bound now
    programs = len(drawn)
    out = {k: v / (programs if k in ("draw", "evaluate") else plans_run) * 1e6 for k, v in totals.items()}
    whole = sum(totals.values()) - totals["evaluate"]  # drawing evaluates as it goes
    out["programs/s"], out["plans/s"] = programs / whole, plans_run / whole
    whole_plan, bare = marginal(drawn[: max(4, count // 12)], places)
    out["bare"], out["ratio"] = bare, whole_plan / bare
    return out


def reach(case: Case, plans: list[Plan], places: tuple[Place, ...], masks: dict[CellKey, int]) -> None:
    """Steer and count `plans` as a unit does; they are changed in place."""
    known = case.values or ()
    edges, fresh = Edges(case.program, places, lambda v: known[v].value), dict[CellKey, int]()
    for i, plan in enumerate(plans):
        if i % STEERED:
            plans[i] = steered(plan, edges, masks, fresh, 0)
        else:
            edges.reached(plan, masks, fresh)


def marginal(drawn: Sequence[Case], places: tuple[Place, ...]) -> tuple[float, float]:
    """Microseconds that one more plan takes, and those of its bare backend calls: slopes of wall time over 1 to 64."""
    timed = [Timed(p) for p in places]
    wrapped = tuple(t.place for t in timed)
    prover, oracles = Prover(), default_oracles()
    ours: list[float] = []
    bare: list[float] = []
    for n in PLANS:
        total = backend = 0.0
        for case in drawn:
            trial = new_trial(case.program, places, case.values)
            plans = plans_for(case.program, places, n)
            start = time.perf_counter()
            for plan in plans:
                trial.planned.append(Planned(plan, run_plan(case.program, plan, places, prover)))
            judge(trial, oracles)
            total += time.perf_counter() - start
            for t in timed:
                t.seconds = 0.0
                t.calls = 0
            for plan in plans:
                with quiet():
                    execute(lower(case.program, plan, wrapped), case.program, wrapped, plan.seed, plan.get("repeat"))
            # a timed call costs two clock readings, of which one lies inside the measured span
            backend += sum(t.seconds - t.calls * CLOCK_COST for t in timed)
        ours.append(total)
        bare.append(backend)
    slopes = [float(np.polyfit(PLANS, seconds, 1)[0]) / len(drawn) * 1e6 for seconds in (ours, bare)]
    return slopes[0], slopes[1]


def yardstick() -> float:
    """CPU microseconds of 1,000 turns of a bare Python loop, the least of nine: to compare machines by."""

    def turns() -> float:
        start = time.process_time()
        for _ in range(100_000):
            pass
        return (time.process_time() - start) * 10

    return min(turns() for _ in range(9)) * 1000


def _clock_cost() -> float:
    start = time.perf_counter()
    for _ in range(10_000):
        time.perf_counter()
    return (time.perf_counter() - start) / 10_000


CLOCK_COST = _clock_cost()
COLUMNS = ("draw", "evaluate", "cells", "lower", "prove", "execute", "judge", "programs/s", "plans/s", "bare", "ratio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", default="numpy,simulated:0,torch:cpu")
    parser.add_argument("--programs", type=int, default=60)
    parser.add_argument("--ops", default="", help="those that programs are made of (default: all)")
    options = parser.parse_args()
    ops = options.ops.split(",") if options.ops else None
    print("microseconds: draw, evaluate per program; cells, lower, prove, execute, judge per plan (10 a program)")
    print("programs/s, plans/s: per CPU second; bare: backend calls of a further plan; ratio: all of it / bare")
    print(f"this machine: {yardstick():.1f} us of CPU for 1,000 turns of a bare Python loop")
    print(f"{'device':14} {'nodes':>5} " + " ".join(f"{c:>10}" for c in COLUMNS))
    for device in options.devices.split(","):
        draw(
            open_places((device,)), SIZES[0], 1000
        )  # caches and first calls; Hypothesis reads the modules once, at a random draw
        gc.freeze()  # as a worker does: what backends imported is not walked by every collection
        gc.set_threshold(YOUNG_OBJECTS)
        for nodes in SIZES:
            row = measure(device, nodes, options.programs, ops)
            print(f"{device:14} {nodes:5d} " + " ".join(f"{row[c]:10.1f}" for c in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
