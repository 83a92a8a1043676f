"""The reducer: every accepted step fails the same way, what is left is needed, a big case comes down to its core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case, parse_case
from offload_fuzz.finding.diagnose import diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.identity import identity
from offload_fuzz.finding.rebuild import Change, rebuild
from offload_fuzz.finding.shrink import shrink
from offload_fuzz.finding.store import make_finding
from offload_fuzz.ops import OPS
from offload_fuzz.oracles import Verdict
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder
from offload_fuzz.wellformed import check_program

STRIDES = ("simulated:0+upload_strides_ignored",)


def failing(nodes: int, layout: str = "strided") -> tuple[Case, Examiner, Verdict]:
    """A chain of `nodes` additions on a device that ignores strides, one operand of the middle one laid out oddly."""
    b = Builder()
    x = b.input(np.arange(12, dtype=np.float32).reshape(3, 4))
    y = b.input(np.arange(12, dtype=np.float32).reshape(3, 4) + 1)
    v = x
    for _ in range(nodes):
        v = b.apply("add", v, y)
    program = b.returns(v)
    middle = 2 + nodes // 2
    choices: dict[Key, Any] = {("device", (u,)): 1 for u, _ in program.numbered()}
    plan = Plan({**choices, ("layout", (middle, 1)): layout, ("sync", ()): "minimal", ("order", ()): 2})
    case = Case(program, plan, STRIDES)
    examiner = Examiner(open_places(STRIDES))
    verdict = examiner.fails_like(case, "wrong value")
    assert verdict is not None
    return case, examiner, verdict


@pytest.mark.parametrize("nodes", [1, 5, 40])
def test_a_chain_comes_down_to_one_node_and_the_layout_that_matters(nodes: int) -> None:
    case, examiner, verdict = failing(nodes)
    small = shrink(case, verdict, examiner).case
    assert len(small.program.nodes) == 1
    assert sorted(name for name, _ in small.plan.choices) == ["device", "layout"]
    assert max(t.size for t in small.program.types) <= 4
    check_program(small.program)


def test_every_accepted_step_fails_the_same_way() -> None:
    case, examiner, verdict = failing(8)
    seen: list[Case] = []
    reduction = shrink(case, verdict, examiner)
    original = reduction.fails

    def watched(candidate: Case) -> Verdict | None:
        found = original(candidate)
        if found is not None:
            seen.append(candidate)
        return found

    again = evolve(reduction, case=case, verdict=verdict, executions=0, fails=watched)
    from offload_fuzz.finding.shrink import reduce

    reduce(again, lambda c: [k.value for k in examiner.trial(c.program, []).values])
    assert seen
    assert all(examiner.fails_like(c, "wrong value") is not None for c in seen)


def test_the_budget_of_executions_is_kept() -> None:
    case, examiner, verdict = failing(20)
    before = examiner.count[0]
    shrink(case, verdict, examiner, budget=10)
    assert examiner.count[0] - before <= 10


def test_each_choice_that_is_left_is_shown_to_be_needed() -> None:
    case, examiner, verdict = failing(6)
    reduction = shrink(case, verdict, examiner)
    diagnosis = diagnose(reduction.case, reduction.verdict, examiner)
    assert all(need.passes for need in diagnosis.needs)
    assert diagnosis.failures == diagnosis.repeats == 3


def test_the_id_does_not_depend_on_seed_layout_or_size_but_on_the_kind() -> None:
    ids = set()
    for nodes, layout in ((2, "strided"), (9, "negative"), (4, "fortran")):
        case, examiner, verdict = failing(nodes, layout)
        small = shrink(case, verdict, examiner).case
        ids.add(identity("wrong value", evolve(small, plan=Plan(small.plan.choices, 99))))
    assert len(ids) == 1
    assert identity("raised", small) not in ids


def test_a_finding_is_read_back_as_its_case() -> None:
    case, examiner, verdict = failing(3)
    reduction = shrink(case, verdict, examiner)
    finding = make_finding(reduction.case, verdict, diagnose(reduction.case, verdict, examiner), 9, {"seed": 1})
    read, known = parse_case(finding.text(), "finding")
    assert read == reduction.case
    assert known["id"] == finding.id
    assert known["kind"] == "wrong value"


def test_rebuilding_drops_what_is_not_needed_and_moves_choices_along() -> None:
    case, _, _ = failing(4)
    middle = 2 + 4 // 2
    cut = rebuild(case, Change(outputs=[middle], constants={middle - 1: np.zeros((3, 4), np.float32)}))
    assert [n.op for n in cut.program.nodes] == ["add"]
    assert cut.plan.get("layout", 2, 1) == "strided"
    check_program(cut.program)


class OffByOne:
    """The host, but for `full`, which gives one more than it should."""

    name = "offbyone:0"
    features: dict[str, Any] = {"ops": ["full", "add", "sum"], "dtypes": ["float32"], "contract": "numpy"}  # noqa: RUF012  # read only

    def upload(self, array: Any) -> Any:
        return array.copy()

    def download(self, buffer: Any) -> Any:
        return buffer.copy()

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        result = np.asarray(OPS[op].numpy(*operands, **attributes))
        return result + np.float32(1) if op == "full" else result


def test_a_choice_of_a_returned_value_follows_it_when_others_are_dropped() -> None:
    b = Builder()
    x = b.input(np.ones(3, np.float32))
    made = [b.apply("negative", x), b.apply("abs", x), b.apply("square", x)]
    program = b.returns(*made)
    case = Case(program, Plan({("destination", (program.returns, 2)): "strided"}), ("simulated:0",))
    alone = rebuild(case, Change(outputs=[made[2]]))
    assert dict(alone.plan.choices) == {("destination", (alone.program.returns, 0)): "strided"}
    without = rebuild(case, Change(outputs=[made[0], made[1]]))
    assert dict(without.plan.choices) == {}
    twice = rebuild(case, Change(outputs=[made[2], made[0], made[2]]))
    assert dict(twice.plan.choices) == {("destination", (twice.program.returns, 0)): "strided"}


def test_what_a_node_without_operands_makes_comes_down_to_one_element() -> None:
    b = Builder()
    v = b.apply("full", shape=(4, 5), fill_value=2.5, dtype="float32")
    v = b.apply("sum", b.apply("add", v, v), axis=(1,), keepdims=False)
    program = b.returns(v)
    places = open_places((OffByOne(),))
    case = Case(program, Plan({("device", (0,)): 1}), (places[1].spec,))
    examiner = Examiner(places)
    verdict = examiner.fails_like(case, "wrong value")
    assert verdict is not None
    small = shrink(case, verdict, examiner).case
    (node,) = small.program.nodes
    assert (node.op, dict(node.attributes)) == ("full", {"shape": (), "fill_value": 1.0, "dtype": "float32"})
    check_program(small.program)


def test_the_id_does_not_depend_on_the_order_in_which_nodes_are_written_or_on_the_number_of_a_device() -> None:
    def written(first: str, second: str, role: int) -> Case:
        b = Builder()
        x = b.input(np.ones(3, np.float32))
        made = {op: b.apply(op, x) for op in (first, second)}
        program = b.returns(b.apply("add", made["negative"], made["square"]))
        return Case(program, Plan({("device", (made["negative"],)): role}), ("simulated:0", "simulated:1"))

    ids = {identity("wrong value", written(*ops, role)) for ops in (("negative", "square"), ("square", "negative"))
           for role in (1, 2)}  # fmt: skip  # one set
    assert len(ids) == 1
    swapped = written("negative", "square", 1)
    assert identity("wrong value", evolve(swapped, plan=Plan({("device", (2,)): 1}))) not in ids


def test_a_reduction_that_is_one_minimal_has_no_single_step_left() -> None:
    case, examiner, verdict = failing(12)
    reduction = shrink(case, verdict, examiner)
    assert reduction.minimal
    again = shrink(reduction.case, reduction.verdict, examiner)
    assert again.minimal
    assert again.case == reduction.case


def test_no_case_is_run_twice_in_one_reduction() -> None:
    from offload_fuzz.finding.reduction import fingerprint
    from offload_fuzz.finding.shrink import known_values, reduce, reduction_of

    case, examiner, verdict = failing(12)
    reduction = reduction_of(case, verdict, examiner)
    original, seen = reduction.fails, [fingerprint(reduction.case)]

    def watched(candidate: Case) -> Verdict | None:
        seen.append(fingerprint(candidate))
        return original(candidate)

    reduction.fails = watched
    reduce(reduction, known_values)
    assert len(seen) == len(set(seen)) == reduction.executions + 1
