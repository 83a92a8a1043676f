"""The baseline of `detection.py`: what a good engineer would write in an afternoon to test a device against NumPy.

Hypothesis draws a program of array ops, an arbitrary place for each node, and input arrays that are contiguous,
transposed, strided or reversed. Values cross by blocking copies. The results are compared with the same program on
NumPy by `numpy.testing.assert_allclose`, with the tolerances that PyTorch's `assert_close` has for each dtype.

It is given what the fuzzer has: the table of ops (type rules, domains of attributes, NumPy's meaning), the device
protocol, `reset` with a drawn seed before each run, and peers to copy between. It skips what the standard leaves
undefined, as an engineer does after a first false alarm. It does not know enclosures, plans, streams or races.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from attrs import define, frozen
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from offload_fuzz.adapters.pool import host
from offload_fuzz.device import are_peers, place
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops.base import OPS, Op
from offload_fuzz.reference import quiet
from offload_fuzz.strategies.attributes import draw_attributes
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.operands import RELATIONS, anchor_position, fresh_data
from offload_fuzz.types import DTYPES, Array, ArrayType, type_of

#: dtype -> (rtol, atol): torch.testing.assert_close's defaults, an ulp or two where it has none; others are exact.
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7), "float8_e4m3fn": (0.125, 2**-9),
    "float8_e5m2": (0.25, 2**-16),
}  # fmt: skip  # a table
#: The dtypes that are drawn, the usual ones more often.
DRAWN = ("float32",) * 6 + ("int32", "int64", "float64", "bool") * 2 + tuple(DTYPES)
MAX_NODES, MAX_SIZE, PLACEMENTS = 8, 10_000, 4
#: Relations between operands that leave the data free; others ask for indices in range, sorted numbers and so on.
PLAIN = ("any", "broadcast", "contracts", "joins", "region", "same", "along", "contracted", "other vector", "small")
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e30, 0.5, 1.5, 2.5, -1.5)


@frozen(eq=False)
class Step:
    """One op of a program; operands are numbers of values, inputs first."""

    op: str
    operands: tuple[int, ...]
    attributes: dict[str, Any]


@frozen(eq=False)
class Example:
    """A program, its inputs and NumPy's results; the place of each step (0: NumPy), and seeds of the device's choices.

    placements, seeds: one for each run of the program.
    """

    inputs: list[Array]
    steps: list[Step]
    wanted: list[Array]
    placements: list[list[int]]
    seeds: list[int]


# ---------------------------------------------------------------------------------------------------------- programs
def _numbers(type: ArrayType, kind: str, number: int) -> Array:
    """Random numbers of a type: normal ones, small integers, or some special values among them."""
    rng = np.random.default_rng(number)
    d = DTYPES[type.dtype]
    if d.kind == "bool":
        return rng.integers(0, 2, type.shape).astype(bool)
    if not d.precision and not d.component:
        low, high = d.range
        wide = kind == "special"
        small = (max(low, -10), min(high, 10))
        bounds = (low, high) if wide else small
        return rng.integers(*bounds, type.shape, dtype=np.int64 if low else np.uint64, endpoint=True).astype(d.np)
    numbers = rng.standard_normal(type.shape) if kind != "integers" else rng.integers(-5, 6, type.shape).astype(float)
    if kind == "special" and type.size:
        numbers = np.where(rng.random(type.shape) < 0.2, rng.choice(SPECIAL, type.shape), numbers)
    if d.component:
        return np.asarray(numbers + 1j * rng.standard_normal(type.shape)).astype(d.np)
    return np.asarray(numbers).astype(d.np)


def _laid_out(array: Array, layout: str) -> Array:
    """The same elements in another layout, as slices and transposes of larger arrays have it."""
    if not array.ndim or layout == "contiguous":
        return array
    if layout == "transposed":
        return np.ascontiguousarray(array.T).T
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


KINDS = st.sampled_from(("normal", "integers", "normal", "special"))
LAYOUTS = st.sampled_from(("contiguous", "transposed", "strided", "reversed"))
SEEDS = st.integers(0, 2**16 - 1)
BYTES = st.binary(min_size=20, max_size=20)
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=6),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=80),
)
OP_NAMES = st.sampled_from(sorted(OPS))
DTYPE_NAMES = st.sampled_from(DRAWN)


@st.composite
def examples(draw: st.DrawFn, count: int, ops: st.SearchStrategy[str] = OP_NAMES) -> Example:
    """A program of up to `MAX_NODES` steps, each placed on NumPy or one of `count` devices."""
    with quiet():
        return _example(draw, count, ops)


def _example(draw: st.DrawFn, count: int, ops: st.SearchStrategy[str]) -> Example:
    inputs: list[Array] = []
    found: list[Step] = []
    values: list[Any] = []  # ("input", number) or ("step", number), in the order that they were made
    results: list[Array] = []

    def fresh(array: Array) -> int:
        inputs.append(_laid_out(array, draw(LAYOUTS)))
        values.append(("input", len(inputs) - 1))
        results.append(array)
        return len(values) - 1

    for _ in range(draw(st.integers(1, MAX_NODES))):
        op = OPS[draw(ops)]
        before = len(values), len(inputs)
        step = _step(draw, op, results, fresh)
        if step is None:
            del values[before[0] :], results[before[0] :], inputs[before[1] :]
            continue
        found.append(step[0])
        values.append(("step", len(found) - 1))
        results.append(step[1])
    number = {v: i if kind == "input" else len(inputs) + i for v, (kind, i) in enumerate(values)}
    steps = [Step(s.op, tuple(number[o] for o in s.operands), s.attributes) for s in found]
    wanted = [r for r, (kind, _) in zip(results, values, strict=True) if kind == "step"]
    chosen = [np.random.default_rng(draw(SEEDS)) for _ in range(PLACEMENTS)]
    placements = [rng.integers(0, count, len(steps), endpoint=True).tolist() for rng in chosen]
    return Example(inputs, steps, wanted, placements, [int(rng.integers(1, 2**16)) for rng in chosen])


def _step(draw: st.DrawFn, op: Op, results: list[Array], fresh: Callable[[Array], int]) -> tuple[Step, Array] | None:
    """A step of `op` on values that are there or fresh ones, with NumPy's result; None where they do not fit."""
    at = anchor_position(op)
    dtypes = [d for d in DRAWN if d in op.dtypes] if op.operands and op.operands[at].dtype == "same" else []
    operands: list[int] = [-1] * len(op.operands)
    try:
        if op.operands:
            suits = [v for v, r in enumerate(results) if not dtypes or type_of(r).dtype in dtypes]
            if suits and draw(st.booleans()):
                operands[at] = draw(st.sampled_from(suits))
            else:
                dtype = draw(st.sampled_from(dtypes)) if dtypes else op.operands[at].dtype
                operands[at] = fresh(_numbers(ArrayType(dtype, draw(SHAPES)), draw(KINDS), draw(SEEDS)))
            anchor = type_of(results[operands[at]])
        else:
            anchor = ArrayType(draw(DTYPE_NAMES), draw(SHAPES))
        choices = Choices(draw(BYTES))
        attributes = draw_attributes(op, anchor, choices, tuple(DTYPES))
        for k, need in enumerate(op.operands):
            if k == at:
                continue
            fits, shape = RELATIONS[need.relation]
            dtype = anchor.dtype if need.dtype == "same" else need.dtype
            types = [type_of(r) for r in results]
            near = [v for v, t in enumerate(types) if t.dtype == dtype and fits(anchor, t, attributes)]
            if near and draw(st.booleans()):
                operands[k] = draw(st.sampled_from(near))
                continue
            type = ArrayType(dtype, shape(anchor, attributes, choices))
            if need.relation in PLAIN:
                operands[k] = fresh(_numbers(type, draw(KINDS), draw(SEEDS)))
            else:
                operands[k] = fresh(fresh_data(op, k, type, anchor, attributes, choices, "dyadic"))
        arrays = [results[o] for o in operands]
        type = op.result_type([type_of(a) for a in arrays], attributes)
        if type.size > MAX_SIZE or (op.defined is not None and not op.defined(*arrays, **attributes)):
            return None
        result = np.asarray(host().device.launch(op.name, arrays, attributes)).astype(type.np, copy=False)
    except (InvalidProgram, IndexError, ValueError, ZeroDivisionError):
        return None  # a drawn attribute or operand that the op does not take
    return Step(op.name, tuple(operands), attributes), result


# ------------------------------------------------------------------------------------------------------------ running
def run(example: Example, number: int, devices: Sequence[Any]) -> list[Array]:
    """Every result on the host, each step run where placement `number` says; values move by blocking copies."""
    ports = [host().device, *devices]
    features = [place(d).features for d in ports]
    for device in devices:
        device.reset(example.seeds[number])
    where: list[dict[int, Any]] = [{0: a} for a in example.inputs]  # of each value: place -> buffer

    def at(v: int, p: int) -> Any:
        known = where[v]
        if p not in known:
            q = next(iter(known))
            if p and q and are_peers(features[p].peers, features[q].peers):
                ports[q].synchronize()
                known[p] = ports[p].copy(known[q], ports[q])
            else:
                if 0 not in known:
                    known[0] = ports[q].download(known[q])
                if p:
                    known[p] = ports[p].upload(known[0])
        return known[p]

    for step, p in zip(example.steps, example.placements[number], strict=True):
        operands = [at(o, p) for o in step.operands]
        where.append({p: ports[p].launch(step.op, operands, dict(step.attributes))})
    return [at(v, 0) for v in range(len(example.inputs), len(where))]


def compare(found: Array, wanted: Array) -> None:
    """Raise `AssertionError` where dtype, shape or any element differs by more than the dtype's tolerance."""
    assert found.dtype == wanted.dtype, f"dtype {found.dtype}, not {wanted.dtype}"
    assert found.shape == wanted.shape, f"shape {found.shape}, not {wanted.shape}"
    name = type_of(wanted).dtype
    if name not in TOLERANCES:
        narrow = wanted.dtype.kind not in "biu"  # a 4-bit integer
        to = np.dtype(np.int64) if narrow else wanted.dtype
        np.testing.assert_array_equal(found.astype(to), wanted.astype(to))
        return
    rtol, atol = TOLERANCES[name]
    to = np.complex128 if wanted.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(found.astype(to), wanted.astype(to), rtol=rtol, atol=atol)


def fails(example: Example, number: int, devices: Sequence[Any]) -> str:
    """What is wrong with one run of the program on `devices`, in one line; empty if nothing is."""
    with quiet():
        try:
            for found, wanted in zip(run(example, number, devices), example.wanted, strict=True):
                compare(np.asarray(found), wanted)
        except AssertionError as error:
            return " ".join(str(error).split())[:200] or "not equal"
        except Exception as error:  # noqa: BLE001  # whatever a device raises fails the test
            return f"{type(error).__name__}: {error}"[:200]
    return ""


# ------------------------------------------------------------------------------------------------------------- search
class Done(unittest.SkipTest):
    """Ends a search: Hypothesis passes skips on at once."""

    def __init__(self) -> None:
        super().__init__("the search is over")


@define
class Search:
    """One search: whether the fault was found; case runs, CPU seconds, and false alarms until then."""

    found: bool = False
    cases: int = 0
    seconds: float = 0.0
    alarms: int = 0
    said: str = ""


def search(faulty: Sequence[Any], lawful: Sequence[Any], number: int, max_seconds: float) -> Search:
    """Draw examples until one fails on the `faulty` devices and passes on the `lawful` ones, or the CPU time is up.

    An example that fails on both is a false alarm: counted, and the search goes on, as if somebody had seen that at
    once. With the same devices twice every failure is a false alarm.
    """
    outcome, started = Search(), time.process_time()

    def one(example: Example) -> None:
        outcome.seconds = time.process_time() - started
        if outcome.seconds > max_seconds:
            raise Done()
        for placement in range(PLACEMENTS) if example.steps else ():
            outcome.cases += 1
            message = fails(example, placement, faulty)
            if message and fails(example, placement, lawful):
                outcome.alarms += 1
            elif message:
                outcome.found, outcome.said = True, message
                outcome.seconds = time.process_time() - started
                raise Done()

    test = settings(
        max_examples=10_000_000, derandomize=False, database=None, verbosity=Verbosity.quiet, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), deadline=None, print_blob=False, backend="hypothesis",
    )(seed(number)(given(examples(len(faulty)))(one)))  # fmt: skip  # the settings, then the rest
    with suppress(Done):
        test()
    return outcome
