"""The host: every op on every dtype is what its row says, within its own contract."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.numpy import NumpyDevice
from offload_fuzz.contract import union
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import place
from offload_fuzz.errors import UsageError
from offload_fuzz.ops import BUILT_IN, OPS, defop, ulps
from offload_fuzz.ops.base import Range
from offload_fuzz.types import DTYPES, ArrayType, type_of

from . import LAYOUTS, cases, elements, laid_out

CONTRACTS = (contract_named("numpy"), union([contract_named("numpy"), contract_named("torch-cpu")]))
BYTES = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


@pytest.fixture
def device() -> Iterator[NumpyDevice]:
    with np.errstate(all="ignore"):
        yield NumpyDevice()


@pytest.mark.parametrize("op", BUILT_IN)
def test_results_are_within_the_contract(device: NumpyDevice, op: str) -> None:
    ran = 0
    for dtype in sorted(OPS[op].dtypes):
        for case in cases(op, dtype, 40):
            if not case.is_defined:
                continue
            result = device.launch(op, list(case.operands), case.attributes)
            assert type(result) is np.ndarray
            assert type_of(result) == case.type, str(case)
            for contract in CONTRACTS:
                assert case.allows(contract, result), f"{case} gave {result} [{contract.name}]"
            ran += 1
    assert ran >= 10 * len(OPS[op].dtypes)


@pytest.mark.parametrize("op", BUILT_IN)
def test_aliasing_is_as_declared(device: NumpyDevice, op: str) -> None:
    aliasing = place(device).features.alias_of(op)
    for dtype in ("int64", "float32", "bool"):
        for case in cases(op, dtype, 60) if dtype in OPS[op].dtypes else ():
            if case.type.size == 0 or not case.is_defined:
                continue
            result = device.launch(op, list(case.operands), case.attributes)
            shared = any(np.shares_memory(result, x) for x in case.operands)
            assert aliasing == "may" or shared == (aliasing == "view"), str(case)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_upload_copies_and_keeps_the_layout(device: NumpyDevice, layout: str) -> None:
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        for shape in ((), (3,), (2, 3), (0, 2), (2, 1, 3)):
            array = laid_out(elements(rng, dtype, shape, "bits"), layout)
            before = array.tobytes()
            buffer = device.upload(array)
            assert buffer.tobytes() == before
            assert not np.shares_memory(buffer, array)
            assert array.size == 0 or buffer.strides == array.strides
            downloaded = device.download(buffer)
            assert downloaded.tobytes() == before
            assert not np.shares_memory(buffer, downloaded)


def test_an_op_in_place_writes_the_operand(device: NumpyDevice) -> None:
    for op in sorted(device.features.in_place):
        for dtype in sorted(OPS[op].dtypes):
            for case in cases(op, dtype, 12):
                if type_of(case.operands[0]) != case.type or not case.is_defined:
                    continue
                expected = device.launch(op, list(case.operands), {})
                operands = [device.upload(x) for x in case.operands]
                result = device.launch(op, operands, {}, out=operands[0])
                assert result is operands[0]
                assert np.array_equal(_bits(result), _bits(expected)) or np.isnan(expected).any(), str(case)


def _bits(x: Any) -> Any:
    return np.ascontiguousarray(x).view(BYTES[min(x.dtype.itemsize, 8)])


def test_an_op_in_place_of_shared_or_read_only_memory_writes_elsewhere(device: NumpyDevice) -> None:
    for x in (device.upload(np.broadcast_to(np.float32(1), (3,))), laid_out(np.ones(3, np.float32), "readonly")):
        result = device.launch("add", [x, np.arange(3, dtype=np.float32)], {}, out=x)
        assert result.tolist() == [1, 2, 3]
        assert x.tolist() == [1, 1, 1]


def test_a_mean_over_nothing_is_nan_without_a_warning(device: NumpyDevice) -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        empty = np.zeros((0, 2), DTYPES[dtype].np)
        result = device.launch("mean", [empty], {"axis": (0,), "keepdims": False})
        assert type_of(result) == ArrayType(dtype, (2,))
        assert np.isnan(result).all()


def test_a_custom_op_is_widened_and_rounded_once(device: NumpyDevice) -> None:
    seen = []

    @defop("cubed_cap", kinds="real floating", accuracy=ulps(2), attributes={"cap": Range(1, 50)})
    def cubed_cap(x: ArrayType, *, cap: float) -> ArrayType:
        return x

    try:

        @cubed_cap.reference
        def _(x: Any, *, cap: float) -> Any:
            seen.append(x.dtype)
            return np.minimum(x * x * x, cap)

        x = np.array([0.3, 40.0], np.float32)
        assert "cubed_cap" in device.features.ops
        result = device.launch("cubed_cap", [x], {"cap": 7})
        assert result.tolist() == [float(np.float32(float(x[0]) ** 3)), 7.0]
        assert result.dtype == np.float32
        assert seen == [np.float64]
    finally:
        OPS.pop("cubed_cap", None)


def test_a_custom_op_that_returns_its_operand_gets_fresh_memory(device: NumpyDevice) -> None:
    @defop("same_again", kinds="any")
    def same_again(x: ArrayType) -> ArrayType:
        return x

    try:
        same_again.reference(lambda x: x)
        x = np.ones(3)
        assert not np.shares_memory(device.launch("same_again", [x], {}), x)
    finally:
        OPS.pop("same_again", None)


def test_an_unknown_op_and_a_number_are_usage_errors(device: NumpyDevice) -> None:
    with pytest.raises(UsageError, match="op is 'sofmax' but should be one of"):
        device.launch("sofmax", [np.ones(2)], {})
    message = "device is 'numpy:1' but should be 'numpy', which has no number [adapters.numpy]"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        NumpyDevice("numpy:1")


def test_the_features_say_what_the_host_is(device: NumpyDevice) -> None:
    features = place(device).features
    assert set(features.ops) == set(OPS)
    assert features.contract.name == "numpy"
    assert features.place == device.place_of(np.zeros(1)) == "numpy"
    assert features.free_after("blocking") == "return"
    assert {"add", "isnan", "logical_and"} <= features.in_place
    assert not {"where", "matmul", "sum"} & features.in_place


def test_a_number_without_axes_stays_an_array(device: NumpyDevice) -> None:
    x = np.array(2.0, np.float32)
    for op, attributes in (
        ("square", {}),
        ("getitem", {"index": ()}),
        ("flip", {"axis": ()}),
        ("squeeze", {"axis": ()}),
    ):
        result = device.launch(op, [x], attributes)
        assert type(result) is np.ndarray
        assert result.shape == ()
    assert math.isclose(device.download(x), 2.0)
