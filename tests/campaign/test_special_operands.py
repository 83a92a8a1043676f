"""Operands that suit an op are drawn, not hoped for: shifts in range, exponents, dtypes of one width, bounds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from offload_fuzz.errors import UsageError
from offload_fuzz.ops import OPS
from offload_fuzz.program import Node
from offload_fuzz.strategies.builder import STEP_BYTES, CaseBuilder, Step
from offload_fuzz.types import DTYPES

DRAWS = 120


def nodes_of(op: str, dtypes: tuple[str, ...]) -> list[tuple[CaseBuilder, Node]]:
    """One-node cases of `op`, each from drawn bytes; a step that nothing suits is left out."""
    rng, found = random.Random(op), []
    for i in range(DRAWS):
        builder = CaseBuilder(["simulated:0"], dtypes)
        builder.wild = i % 3 == 0
        try:
            v = builder.apply(Step(op, rng.randbytes(STEP_BYTES)))
        except UsageError:
            continue
        node = builder.sources[v]
        assert isinstance(node, Node)
        assert builder.values[v].enclosure is not None, (op, node)
        found.append((builder, node))
    return found


@pytest.mark.parametrize(
    "op", ["bitwise_left_shift", "bitwise_right_shift", "ldexp", "clip", "bitcast", "gcd", "lcm", "fmod", "nextafter"]
)
def test_nearly_every_step_finds_operands(op: str) -> None:
    dtypes = tuple(d for d in DTYPES if d in OPS[op].dtypes)
    assert len(nodes_of(op, dtypes)) >= (0.9 if op == "lcm" else 1.0) * DRAWS


def test_shifts_reach_every_bit() -> None:
    seen: set[int] = set()
    for builder, node in nodes_of("bitwise_left_shift", ("int8",)):
        seen |= set(builder.values[node.operands[1]].value.ravel().tolist())
    assert seen == set(range(8))


def test_exponents_reach_subnormals_and_infinities() -> None:
    results = [builder.values[-1].value.ravel() for builder, _ in nodes_of("ldexp", ("float32",))]
    size = np.abs(np.concatenate(results))
    assert ((size > 0) & (size < 2.0**-126)).any()
    assert np.isinf(size).any()


def test_bits_are_read_as_every_dtype_of_their_width() -> None:
    into = {
        str(node.attributes["dtype"]) for _, node in nodes_of("bitcast", ("int16", "uint16", "float16", "bfloat16"))
    }
    assert into == {"int16", "uint16", "float16", "bfloat16"}
