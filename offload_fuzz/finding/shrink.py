"""The structural reducer: fewest nodes, crossings and unusual choices, smallest arrays that still fail the same way.

Every accepted step has been run and failed with the same kind of verdict; the work is budgeted in executions. The steps
are made in a fixed order, large ones first, over and over until none is left that still fails: then the case is
one-minimal.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from offload_fuzz.case import Case
from offload_fuzz.contract_files import contract_named
from offload_fuzz.finding.arrays import shrink_made, shrink_shapes, simplify_dtype
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.ops import canonical_ops, simplify_ops
from offload_fuzz.finding.plainer import as_layout, drop_devices, merge_streams, plain_choices
from offload_fuzz.finding.raising import allow_for_flakes
from offload_fuzz.finding.reduction import BUDGET, Fails, Reduction, Values, fingerprint
from offload_fuzz.finding.structure import (
    bypass,
    cut_off,
    fewer_outputs,
    halve_end,
    halve_start,
    one_output,
    own_inputs,
    to_constants,
)
from offload_fuzz.finding.values import simplify_data
from offload_fuzz.oracles import Verdict
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.trial import contract_of_places, new_trial
from offload_fuzz.types import Array

__all__ = ["BUDGET", "Fails", "Reduction", "Values", "known_values", "on_places_of", "reduce", "shrink"]


def shrink(
    case: Case, verdict: Verdict, examiner: Examiner, budget: float = BUDGET, tick: Callable[[], None] = lambda: None
) -> Reduction:
    """Reduce a failing case on the examiner's places, keeping the verdict's kind; `tick` is called before each run.

    Devices that it does not need are left out: `on_places_of` gives the examiner of what is left.
    """
    reduction = reduction_of(case, verdict, examiner, budget)
    reduction.tick = tick
    allow_for_flakes(reduction)
    reduce(reduction, known_values)
    return reduction


def reduction_of(case: Case, verdict: Verdict, examiner: Examiner, budget: float = BUDGET) -> Reduction:
    """A reduction that has not begun, judged by the examiner's oracles."""
    kind = verdict.kind
    all_known = all(k.enclosure is not None for k in new_trial(case.program, examiner.places).values)
    placed = evolve(case, places=examiner.places)
    return Reduction(placed, verdict, lambda c: on_places_of(c, examiner).fails_like(c, kind, all_known), budget)


def on_places_of(case: Case, examiner: Examiner) -> Examiner:
    """The examiner on the places that a case holds."""
    if case.places is None or case.places == examiner.places:
        return examiner
    return evolve(examiner, places=case.places)


def reduce(r: Reduction, values: Values) -> None:
    """Run the steps over and over until none makes progress (the case is one-minimal) or the budget is spent."""
    r.tried.add(fingerprint(r.case))
    one_output(r)
    while not r.spent:
        before = r.case
        _round(r, values)
        if r.case is before:
            r.minimal = not r.spent
            return


def _round(r: Reduction, values: Values) -> None:
    """Every single step once, and large steps before them."""
    halve_end(r)
    halve_start(r, values)
    fewer_outputs(r)
    cut_off(r)
    to_constants(r, values)
    bypass(r)
    plain_choices(r)
    as_layout(r)
    merge_streams(r)
    simplify_ops(r, values)
    shrink_made(r)
    shrink_shapes(r)
    own_inputs(r)
    simplify_data(r)
    simplify_dtype(r)
    canonical_ops(r, values)
    drop_devices(r)


def known_values(case: Case) -> list[Array]:
    """The reference's values, by the contract of the case's places, or a strict one: data only, no judgement."""
    contract = contract_named("ieee") if case.places is None else contract_of_places(case.places)
    with quiet():
        return [k.value for k in evaluate_program(case.program, contract)]
