"""Enclosures of the ops of neural networks against mpmath, what is exact among them, and their edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

from offload_fuzz.contract import Contract, union
from offload_fuzz.contract_files import contract_named, parse_contract
from offload_fuzz.enclosure import Enclosure, exact, ordinal
from offload_fuzz.types import DTYPES, Array

from ..devices import elements
from .test_enclosures import FLOATS, IEEE, applied, assert_holds, known

WIDE = Contract("wide", composite={"every": {"default": 0.0}})
F32 = np.float32


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), mpmath.workprec(200):
        yield


def rows_of(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    """Finite ordinary numbers, none so large that its exp overflows."""
    return np.clip(elements(rng, dtype, shape, "medium").astype(np.float64), -9, 9).astype(DTYPES[dtype].np)


def column(x: Array) -> list[Any]:
    return [mpmath.mpf(float(v)) for v in x]


# --------------------------------------------------------------------------------------------------------- the truth
def softmax(x: list[Any]) -> list[Any]:
    total = mpmath.fsum(map(mpmath.exp, x))
    return [mpmath.exp(v) / total for v in x]


def log_softmax(x: list[Any]) -> list[Any]:
    total = mpmath.log(mpmath.fsum(map(mpmath.exp, x)))
    return [v - total for v in x]


def logsumexp(x: list[Any]) -> list[Any]:
    return [mpmath.log(mpmath.fsum(map(mpmath.exp, x)))]


def rms_norm(x: list[Any]) -> list[Any]:
    root = mpmath.sqrt(mpmath.fsum(v * v for v in x) / len(x) + mpmath.mpf(2) ** -10)
    return [v / root for v in x]


def layer_norm(x: list[Any]) -> list[Any]:
    mean = mpmath.fsum(x) / len(x)
    return rms_norm([v - mean for v in x])


EPSILON = {"epsilon": 2.0**-10}
ROWS: dict[str, tuple[Callable[[list[Any]], list[Any]], int, dict[str, Any]]] = {
    "softmax": (softmax, 0, {"axis": -1}),
    "log_softmax": (log_softmax, 0, {"axis": -1}),
    "logsumexp": (logsumexp, 0, {"axis": -1, "keepdims": True}),
    "rms_norm": (rms_norm, 1, EPSILON),
    "layer_norm": (layer_norm, 2, EPSILON),
}
POINTS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "gelu": (lambda x: x / 2 * mpmath.erfc(-x / mpmath.sqrt(2)), {"approximate": "none"}),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), {}),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), {}),
    "logsigmoid": (lambda x: -mpmath.log1p(mpmath.exp(-x)), {}),
    "elu": (lambda x: x if x > 0 else mpmath.expm1(x), {"alpha": 1.0}),
    "hardsigmoid": (lambda x: min(max(x + 3, 0), 6) / 6, {}),
    "hardswish": (lambda x: x * min(max(x + 3, 0), 6) / 6, {}),
    "softsign": (lambda x: x / (1 + abs(x)), {}),
}


def nearest(values: list[Any], dtype: str) -> Array:
    return np.array([float(v) for v in values], np.float64).astype(DTYPES[dtype].np)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(ROWS))
def test_rows_hold_the_rounded_exact_result(op: str, dtype: str) -> None:
    truth, weights, attributes = ROWS[op]
    rng, d = np.random.default_rng(1), DTYPES[dtype].np
    for n in (1, 2, 5, 33):
        x = rows_of(rng, dtype, (n,))
        operands = [x, np.ones(n, d), np.zeros(n, d)][: 1 + weights]
        exactly = nearest(truth(column(x)), dtype)
        for contract in (IEEE, WIDE):
            assert_holds(known(op, *operands, contract=contract, **attributes)[1], exactly, (op, x))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(POINTS))
def test_activations_hold_the_rounded_exact_result_and_little_else(op: str, dtype: str) -> None:
    truth, attributes = POINTS[op]
    x = rows_of(np.random.default_rng(2), dtype, (60,))
    exactly = nearest([truth(v) for v in column(x)], dtype)
    assert_holds(known(op, x, **attributes)[1], exactly, op)
    _, e = known(op, x, contract=WIDE, **attributes)
    assert_holds(e, exactly, op)
    positive = x > 0  # for other numbers erf cancels, and what a double knows of it is what is left
    width = (ordinal(e.hi).astype(np.int64) - ordinal(e.lo).astype(np.int64))[positive]
    assert width.max() <= (64 if dtype == "float64" else 1)  # erf is that of the C library, in doubles


@pytest.mark.parametrize("contract", [IEEE, contract_named("torch-cpu"), WIDE], ids=lambda c: c.name)
def test_a_weaker_composite_contract_allows_more(contract: Contract) -> None:
    rough = union([contract, Contract("rough", composite={"every": {"default": 5.0}})])
    rng = np.random.default_rng(3)
    for op, (_, weights, attributes) in ROWS.items():
        x = rows_of(rng, "float32", (3, 8))
        operands = [x, np.ones(8, F32), np.zeros(8, F32)][: 1 + weights]
        strict, weak = (known(op, *operands, contract=c, **attributes)[1] for c in (contract, rough))
        assert (weak.lo <= strict.lo).all()
        assert (weak.hi >= strict.hi).all()
        assert (weak.hi > strict.hi).any()


def test_a_contract_states_composite_figures_by_op_and_dtype() -> None:
    c = parse_contract('name = "c"\n[composite.every]\ndefault = 2\n[composite.gelu]\nfloat32 = 0\n', "x")
    assert c.steps_of("softmax", "float32").unit == 2.0 * 2.0**-24
    assert c.steps_of("gelu", "float32").unit == 0.0
    assert c.steps_of("gelu", "float64").unit == 2.0**-53
    assert union([c, IEEE]).steps_of("gelu", "float32").unit == 2.0**-24


# ------------------------------------------------------------------------------------------------- exact, and edges
CONVOLVE: dict[str, Any] = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}


@pytest.mark.parametrize("dtype", FLOATS)
def test_small_dyadic_data_is_compared_bit_by_bit(dtype: str) -> None:
    rng, d = np.random.default_rng(4), DTYPES[dtype].np

    def data(*shape: int) -> Array:
        return (rng.integers(-4, 5, shape) / 2).astype(d)

    for op, operands, attributes in (
        ("linear", (data(2, 4), data(3, 4), data(3)), {}),
        ("conv1d", (data(1, 2, 6), data(2, 2, 3)), CONVOLVE),
        ("conv2d", (data(1, 2, 4, 4), data(2, 2, 2, 2)), CONVOLVE),
        ("avg_pool1d", (data(1, 2, 6),), {"kernel_size": 2, "stride": 1}),
        ("avg_pool2d", (data(1, 2, 4, 4),), {"kernel_size": 2, "stride": 2}),
        ("scatter_add", (data(3, 4), data(3, 2)), {"index": ((None, None, 1), (0, 4, 2))}),
        ("index_add", (data(3, 4), np.array([0, 1, 1, 0]), data(4, 4)), {"axis": 0}),
        ("leaky_relu", (data(5),), {"negative_slope": 0.25}),
        ("max_pool1d", (data(1, 2, 6),), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ):
        assert known(op, *operands, **attributes)[1].is_certain, op


def test_padding_beside_a_weight_that_is_not_finite_may_be_left_out_or_not() -> None:
    x, weight = np.ones((1, 1, 3), F32), np.array([[[np.inf, 1.0]]], F32)
    _, e = known("conv1d", x, weight, **CONVOLVE)
    assert e.contains(np.array([[[np.nan, np.inf, np.inf, np.inf]]], F32)).all()
    assert e.contains(np.array([[[1.0, np.inf, np.inf, np.inf]]], F32)).all()
    assert not e.contains(np.full((1, 1, 4), np.nan, F32))[0, 0, 1:].any()


def test_rows_without_a_finite_element() -> None:
    x = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [np.nan, 1.0], [-np.inf, 0.0]], F32)
    nan = np.full((4, 2), np.nan, F32)
    for op in ("softmax", "log_softmax"):
        allowed = known(op, x, axis=1)[1].contains(nan)
        assert allowed[[0, 2]].all()
        assert allowed[1, 0]
        assert not allowed[3].any()
    _, e = known("logsumexp", x, axis=1, keepdims=False)
    assert_holds(e, np.array([-np.inf, np.inf, np.nan, 0.0], F32), "logsumexp")
    assert not e.contains(np.full(4, np.nan, F32))[[0, 1, 3]].any()


def test_attention_is_a_mean_of_the_values_and_causal_rows_see_no_later_key() -> None:
    rng = np.random.default_rng(5)
    q, key = (elements(rng, "float32", (4, 3), "bits") for _ in range(2))
    q, key = (np.where(np.abs(x) < 1e9, x, F32(1.0)) for x in (q, key))
    v = np.array([[1.0], [2.0], [3.0], [4.0]], F32)
    _, e = known("scaled_dot_product_attention", q, key, v, is_causal=True)
    assert (e.lo > 0.99).all()
    assert (e.hi < 4.01).all()
    assert e.hi[0, 0] < 1.01
    later = np.array([[1.0], [np.nan], [3.0], [4.0]], F32)
    _, e = known("scaled_dot_product_attention", q, key, later, is_causal=True)
    assert e.is_vacuous


@pytest.mark.parametrize("op", ["relu", "relu6", "hardtanh"])
def test_clipping_is_exact_and_keeps_nan(op: str) -> None:
    x = np.array([-np.inf, -7.0, -0.5, -0.0, 0.0, 0.5, 7.0, np.inf, np.nan], F32)
    _, e = known(op, x)
    lo, hi = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}[op]
    assert_holds(e, np.clip(x, lo, hi).astype(F32), op)
    assert not e.contains(np.zeros(9, F32))[-1]
    spread = Enclosure(x[:8] - F32(0.25), x[:8] + F32(0.25))
    _, e2 = applied(op, [spread], [x[:8]])
    assert e2 is not None
    assert_holds(e2, np.clip(x[:8] + F32(0.25), lo, hi).astype(F32), op)


def test_uncertain_row_numbers_are_unknown_and_uncertain_rows_are_moved() -> None:
    table, rows = np.arange(6, dtype=F32).reshape(3, 2), np.array([2, 0])
    _, e = applied("embedding", [Enclosure(table, table + 1), exact(rows)], [table, rows])
    assert e is not None
    assert (e.hi == table[rows] + 1).all()
    assert applied("embedding", [exact(table), Enclosure(rows, rows + 1)], [table, rows])[1] is None


def winograd(x: Array, w: Array) -> Array:
    """F(2, 3) in one dimension, each step rounded: Lavin and Gray, arXiv:1509.09308, section 4.1."""
    half, out = x.dtype.type(0.5), []
    plus, minus = (w[0] + w[1] + w[2]) * half, (w[0] - w[1] + w[2]) * half
    for i in range(0, len(x) - 3, 2):
        d = x[i : i + 4]
        m1, m2 = (d[0] - d[2]) * w[0], (d[1] + d[2]) * plus
        m3, m4 = (d[2] - d[1]) * minus, (d[1] - d[3]) * w[2]
        out += [m1 + m2 + m3, m2 - m3 - m4]
    return np.array(out, x.dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_winograd_is_lawful_only_where_the_contract_says_so(dtype: str) -> None:
    fast = Contract("fast", fast_convolution={dtype: 16.0})
    rng, outside = np.random.default_rng(6), 0
    for _ in range(40):
        x, w = rows_of(rng, dtype, (10,)), rows_of(rng, dtype, (3,))
        how: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        result = winograd(x, w)[None, None]
        operands = x[None, None], w[None, None]
        outside += int((~known("conv1d", *operands, **how)[1].contains(result)).any())
        assert_holds(known("conv1d", *operands, contract=fast, **how)[1], result, (x, w))
        assert_holds(known("conv1d", *operands, contract=union([IEEE, fast]), **how)[1], result, (x, w))
    assert outside > 5


def test_fast_convolutions_spread_what_is_not_finite() -> None:
    fast = Contract("fast", fast_convolution={"float32": 16.0})
    x, w = np.ones((2, 1, 8), F32), np.ones((1, 1, 3), F32)
    x[0, 0, 7] = np.inf
    _, e = known("conv1d", x, w, contract=fast, **CONVOLVE)
    assert e.contains(np.full((2, 1, 8), np.nan, F32))[0].all()
    assert not e.contains(np.full((2, 1, 8), np.nan, F32))[1].any()
