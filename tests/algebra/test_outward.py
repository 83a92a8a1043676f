"""Compiled regions: the enclosure holds what unrounded intermediate values give; small exact programs stay exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.contract import union
from offload_fuzz.contract_files import contract_named
from offload_fuzz.program import Builder, Program
from offload_fuzz.reference import evaluate_program
from offload_fuzz.types import Array

from .lawful import narrowed

IEEE = contract_named("ieee")
LONG = np.longdouble
CHAIN: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "square": np.square,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "maximum": np.maximum,
    "exp": np.exp,
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def chain(rng: np.random.Generator, dtype: str, ops: list[str], exact: bool) -> Program:
    """A random program of element-wise ops, every value of one type."""
    b = Builder()
    for _ in range(3):
        x = rng.integers(1, 9, 6) / 2.0 if exact else rng.standard_normal(6) * np.exp(rng.uniform(-2, 2, 6))
        b.input(np.asarray(x).astype(np.dtype(dtype)))
    values = [0, 1, 2]
    for op in ops:
        operands = [int(v) for v in rng.choice(values[-4:], CHAIN[op].nin)]
        values.append(b.apply(op, *operands))
    return b.returns(*values[3:])


def unrounded(program: Program, rng: np.random.Generator) -> list[Array]:
    """Every value of a program, computed from operands that are rounded or not, as drawn."""
    wide = [x.astype(LONG) for x in program.inputs]
    found = []
    for node in program.nodes:
        exactly = np.asarray(CHAIN[node.op](*[wide[o] for o in node.operands]))
        result = narrowed(exactly, node.type.np)
        found.append(result)
        wide.append(result.astype(LONG) if rng.integers(2) else exactly)
    return found


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_that_are_not_rounded_on_the_way_lie_inside(dtype: str) -> None:
    rng = np.random.default_rng(3)
    judged = 0
    for _ in range(300):
        program = chain(rng, dtype, [str(op) for op in rng.choice(list(CHAIN), 5)], exact=False)
        region = [v for v, _ in program.numbered()]
        known = evaluate_program(program, IEEE, [region])[3:]
        for _ in range(4):
            for k, got, node in zip(known, unrounded(program, rng), program.nodes, strict=True):
                if k.enclosure is not None:
                    judged += 1
                    assert k.enclosure.contains(got).all(), (program, node, got, k.enclosure)
    assert judged > 3000


def test_a_contracted_product_is_wrong_outside_a_region_and_right_inside() -> None:
    b = Builder()
    x = b.input(np.array([1 + 2.0**-12], np.float32))
    y = b.input(np.array([-1 - 2.0**-11], np.float32))
    program = b.returns(b.apply("add", b.apply("square", x), y))
    fused = np.array([2.0**-24], np.float32)  # the square keeps its last bit
    apart, together = (evaluate_program(program, IEEE, r)[-1].enclosure for r in ((), ([2, 3],)))
    assert apart is not None
    assert not apart.contains(fused).any()
    assert together is not None
    assert together.contains(fused).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_small_dyadic_programs_have_one_result_in_a_region_too(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        ops = [str(op) for op in rng.choice(["add", "subtract", "abs", "maximum"], 4)]
        program = chain(rng, dtype, [*ops, "multiply"], exact=True)
        for k in evaluate_program(program, IEEE, [[v for v, _ in program.numbered()]]):
            assert k.enclosure is not None
            assert k.enclosure.is_certain, program


def test_a_contract_that_excludes_every_liberty_changes_nothing() -> None:
    strict = evolve(IEEE, compiled_excludes=frozenset({"contraction", "excess precision", "reassociation"}))
    rng = np.random.default_rng(5)
    for _ in range(30):
        program = chain(rng, "float32", ["multiply", "add", "exp", "subtract"], exact=False)
        region = [v for v, _ in program.numbered()]
        for a, b in zip(evaluate_program(program, strict), evaluate_program(program, strict, [region]), strict=True):
            assert a.enclosure is not None
            assert b.enclosure is not None
            assert (a.enclosure.lo == b.enclosure.lo).all()
            assert (a.enclosure.hi == b.enclosure.hi).all()


def test_where_reassociation_or_a_rewrite_is_possible_the_result_is_unknown() -> None:
    b = Builder()
    x = b.input(np.array([1.1], np.float32))
    program = b.returns(b.apply("add", b.apply("add", x, x), x), b.apply("divide", x, b.apply("sqrt", x)))
    region = [[v for v, _ in program.numbered()]]
    loose = evolve(IEEE, compiled_excludes=frozenset(), compiled_rewrites=frozenset({"sqrt>divide"}))
    found = {v: k.enclosure is None for v, k in enumerate(evaluate_program(program, loose, region))}
    assert found == {0: False, 1: False, 2: True, 3: False, 4: True}
    both = union([IEEE, loose])
    assert both.compiled_excludes == frozenset()
    assert both.rewrites("sqrt", "divide")
