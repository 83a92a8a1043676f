"""Random programs over every op and dtype, for tests of what programs are rather than of what strategies draw.

Seeded by `random.Random` and independent of `offload_fuzz.strategies`, so that neither can hide the other's mistakes.
"""

from __future__ import annotations

import math
import random
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import OPS, base
from offload_fuzz.ops.base import indexed_shape
from offload_fuzz.program import Builder, Program
from offload_fuzz.types import DTYPES, Array, ArrayType, type_of

from .devices import MANNERS, elements
from .devices.neural import MAKERS
from .devices.shaping import shaping_case

#: Source of a value: input data, or (op, operands, attributes).
Source: TypeAlias = Array | tuple[str, tuple[int, ...], dict[str, Any]]


def random_data(rng: random.Random, type: ArrayType) -> Array:
    """Full-range bits: NaN payloads, signalling ones too, infinities, both zeros and subnormals among the floats."""
    d = DTYPES[type.dtype]
    if d.kind == "bool":
        return np.array([rng.random() < 0.5 for _ in range(type.size)], np.bool_).reshape(type.shape)
    if d.component:
        return random_data(rng, ArrayType(d.component, (*type.shape, 2))).view(d.np).reshape(type.shape)
    raw = np.frombuffer(rng.randbytes(type.nbytes), np.uint8) & (15 if d.bits == 4 else 255)
    out = raw.view(d.np).copy()
    for i in range(type.size):
        if d.precision and rng.random() < 0.6:
            out[i] = rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.5, d.eta, d.max, 3.0])
    return out.reshape(type.shape)


def random_shape(rng: random.Random, ndim: int = 0) -> tuple[int, ...]:
    """A small shape of at least `ndim` axes; lengths 0 and 1 are common."""
    return tuple(rng.choice((0, 1, 1, 2, 3)) for _ in range(max(ndim, rng.choice((0, 1, 2, 2, 3)))))


def random_attribute(rng: random.Random, domain: Any, x: ArrayType) -> Any:
    """A value of `domain` that suits a first operand of type `x`."""
    axes = rng.sample(range(x.ndim), rng.randint(0, x.ndim))
    match domain:
        case base.Axis():
            return rng.randrange(-x.ndim, x.ndim)
        case base.Axes():
            return rng.choice((None, tuple(a - x.ndim * rng.randint(0, 1) for a in axes)))
        case base.Bool():
            return rng.random() < 0.5
        case base.DTypeName():
            return rng.choice([d for d in DTYPES if DTYPES[d].component or not DTYPES[x.dtype].component])
        case base.SameWidthDType():
            return rng.choice([d for d in DTYPES if DTYPES[d].bits == DTYPES[x.dtype].bits and d != "bool"])
        case base.SameSizeShape():
            return rng.choice(((x.size,), (1, x.size), x.shape[::-1], (*x.shape, 1)))
        case base.BroadcastShape():
            return (*rng.choice(((), (2,), (0, 3))), *(rng.choice((n, 4)) if n == 1 else n for n in x.shape))
        case base.Permutation():
            return tuple(rng.sample(range(x.ndim), x.ndim))
        case base.UnitAxes():
            return tuple(a for a in axes if x.shape[a] == 1)
        case base.NewAxis():
            return rng.randrange(-x.ndim - 1, x.ndim + 1)
        case base.Index():
            ends = (None, None, -2, 0, 1, 3, 10**12)
            return tuple((rng.choice(ends), rng.choice(ends), rng.choice((None, 1, 2, -1, -3))) for _ in x.shape)
        case base.Range():
            return rng.choice((domain.lo, domain.hi, (domain.lo + domain.hi) / 2))
        case base.Choice():
            return rng.choice(domain.values)
    raise AssertionError(domain)


def partner_shape(rng: random.Random, relation: str, x: ArrayType, attributes: dict[str, Any]) -> tuple[int, ...]:
    """The shape of a further operand that stands in `relation` to the first."""
    match relation:
        case "contracts":
            return (*x.shape[:-2], x.shape[-1], rng.choice((0, 1, 2)))
        case "joins":
            return x.shape
        case "region":
            return indexed_shape(x.shape, attributes["index"])
        case "indices":
            return (rng.choice((0, 1, 3)),)
    return tuple(rng.choice((1, n)) for n in x.shape[rng.randint(0, x.ndim) :])


def random_program(rng: random.Random, ops: list[str] | None = None, size: int = 4) -> Program:
    """`size` nodes of `ops` (default: any), operands fresh or computed; it returns up to three values."""
    sources: list[Source] = []
    types: list[ArrayType] = []

    def add(source: Source, type: ArrayType) -> int:
        sources.append(source)
        types.append(type)
        return len(types) - 1

    for _ in range(size):
        op = OPS[rng.choice(ops or list(OPS))]
        if (shaping := random_shaping(rng, op)) is not None:
            arrays, attributes = shaping
            numbers = tuple(add(array, type_of(array)) for array in arrays)
            add((op.name, numbers, attributes), op.result_type([types[o] for o in numbers], attributes))
            continue
        if op.name in MAKERS:
            arrays, attributes = neural_operands(rng, op)
            given = tuple(add(x, type_of(x)) for x in arrays)
            add((op.name, given, attributes), op.result_type([types[o] for o in given], attributes))
            continue
        known = [v for v, t in enumerate(types) if t.dtype in op.dtypes and t.size <= 200 and t.ndim <= 5]
        at = next(k for k, o in enumerate(op.operands) if o.dtype == "same")
        while True:
            fresh = ArrayType(rng.choice(sorted(op.dtypes)), random_shape(rng, 2 * (op.name == "matmul")))
            anchor = rng.choice(known) if known and rng.random() < 0.6 else None
            x = fresh if anchor is None else types[anchor]
            if x.ndim >= needed_ndim(op) and not (op.name in ("max", "argmax") and 0 in x.shape):
                break
        attributes = {name: random_attribute(rng, domain, x) for name, domain in op.attributes.items()}
        operands: list[int] = []
        for k, need in enumerate(op.operands):
            if k == at:
                operands.append(add(random_data(rng, x), x) if anchor is None else anchor)
            else:
                dtype = x.dtype if need.dtype == "same" else need.dtype
                other = ArrayType(dtype, partner_shape(rng, need.relation, x, attributes))
                operands.append(add(random_data(rng, other), other))
        add((op.name, tuple(operands), attributes), op.result_type([types[o] for o in operands], attributes))
    return build(sources, rng.sample(range(len(types)), rng.randint(1, min(3, len(types)))))


def random_shaping(rng: random.Random, op: base.Op) -> tuple[tuple[Array, ...], dict[str, Any]] | None:
    """Fresh operands and attributes for an op of `devices.shaping`, well typed; None for another op."""
    generator = np.random.default_rng(rng.getrandbits(32))
    while True:
        dtype, shape = rng.choice(sorted(op.dtypes)), random_shape(rng)
        with np.errstate(all="ignore"):
            found = shaping_case(generator, op.name, dtype, shape, rng.choice(MANNERS), elements)
        if found is None:
            return None
        try:
            op.result_type([type_of(x) for x in found[0]], found[1])
        except InvalidProgram:
            continue
        return found


def neural_operands(rng: random.Random, op: base.Op) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """Fresh operands and attributes of an op of neural networks that are well typed."""
    draws = np.random.default_rng(rng.getrandbits(32))
    dtype = rng.choice(sorted(op.dtypes))
    while True:
        try:
            found = MAKERS[op.name](
                draws, op.name, lambda s: random_data(rng, ArrayType(dtype, s)), random_shape(rng, 1)
            )
            op.result_type([type_of(x) for x in found[0]], found[1])
        except InvalidProgram:
            continue
        return found


def needed_ndim(op: base.Op) -> int:
    """The number of axes that the first operand must have at least."""
    if op.name == "matmul":
        return 2
    return int(any(isinstance(d, base.Axis) for d in op.attributes.values()))


def build(sources: list[Source], outputs: list[int]) -> Program:
    """The program of these values, inputs moved to the front."""
    builder = Builder()
    number: dict[int, int] = {}
    for v, source in enumerate(sources):
        if not isinstance(source, tuple):
            number[v] = builder.input(source)
    for v, source in enumerate(sources):
        if isinstance(source, tuple):
            op, operands, attributes = source
            number[v] = builder.apply(op, *(number[o] for o in operands), **attributes)
    return builder.returns(*(number[v] for v in outputs))
