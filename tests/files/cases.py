"""Cases for the tests of case files: random ones over every freedom, and one to look at."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from offload_fuzz.case import PARTS, Case
from offload_fuzz.enclosure import Enclosure, between, computed, exact, whole
from offload_fuzz.plan import FREEDOMS, Key, Plan, sites
from offload_fuzz.program import Builder, Program
from offload_fuzz.types import ArrayType, is_complex, is_floating

from ..programs import random_data, random_program


def random_plan(rng: random.Random, program: Program, roles: int) -> Plan:
    """Every freedom of the table may be chosen at every site of its scope."""
    choices: dict[Key, Any] = {}
    for freedom in FREEDOMS.values():
        usable = freedom.choices[1 : roles + 1] if freedom.name == "device" else freedom.choices[1:]
        for site in sites(program, freedom.scope):
            if usable and rng.random() < 0.3:
                choices[freedom.name, site] = rng.choice(usable)
    return Plan(choices, rng.choice((0, 1, 2**64 - 1)))


def random_enclosure(rng: random.Random, type: ArrayType) -> Enclosure | None:
    """One of every sort that an op's rule makes, and some that none does."""
    a, b = random_data(rng, type), random_data(rng, type)
    sort = rng.randrange(6)
    if sort == 0:
        return None
    if sort == 1:
        return exact(a)
    if sort == 2:
        return whole(type)
    if sort == 3 and is_floating(type.dtype):
        return between(a, b, np.full(type.shape, True), np.full(type.shape, rng.random() < 0.3))
    if sort == 4:
        bits = "uint8" if is_complex(type.dtype) else "bool"
        flags = {p: random_data(rng, ArrayType(bits, type.shape)) for p in PARTS[4:] if rng.random() < 0.5}
        return Enclosure(a, b, random_data(rng, type), random_data(rng, type), **flags)
    with np.errstate(all="ignore"):
        return computed(a)


def random_case(rng: random.Random, ops: list[str] | None = None) -> Case:
    program = random_program(rng, ops, rng.randint(1, 6))
    devices = ("simulated:0", "torch:cuda:0", "my chip.v2+late-é")[: rng.randint(0, 3)]
    control = random_plan(rng, program, len(devices)) if rng.random() < 0.5 else None
    expected = tuple(random_enclosure(rng, program.types[v]) for v in program.outputs)
    plan = random_plan(rng, program, len(devices))
    return Case(program, plan, devices, control, expected if rng.random() < 0.8 else None)


def example() -> Case:
    """Two nodes on two devices, with a control plan and expectations."""
    b = Builder()
    x = b.input(np.array([[1.5, -0.0, math.inf], [math.nan, 2.0, 3.0]], np.float32))
    y = b.input(np.array([True, False, True]))
    v2 = b.apply("where", y, x, x)
    v3 = b.apply("sum", v2, axis=(1,), keepdims=False)
    program = b.returns(v3, v2)
    plan = Plan({("device", (2,)): 1, ("device", (3,)): 2, ("transfer", (3, 0)): "async"}, 7)
    value = np.array([math.inf, 1.0], np.float32)
    expected = (between(value, value, np.array([True, True])), None)
    return Case(program, plan, ("simulated:0", "simulated:1"), Plan({("device", (3,)): 1}), expected)
