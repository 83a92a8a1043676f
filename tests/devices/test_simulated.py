"""The simulated accelerator: lawful in every op, layout and order; each fault visible in a sequence made for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.simulated import PROFILES, Simulated, make
from offload_fuzz.adapters.simulated.arithmetic import ALWAYS, FLOATING
from offload_fuzz.adapters.simulated.memory import FREED, NEVER_WRITTEN
from offload_fuzz.adapters.simulated.queues import ORDERS
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import Device, check_device
from offload_fuzz.enclosure import exact
from offload_fuzz.errors import UsageError
from offload_fuzz.ops import BUILT_IN, OPS, defop, ulps
from offload_fuzz.ops.base import Application
from offload_fuzz.types import DTYPES, Array, ArrayType, dtypes_of, is_floating, type_of

from . import LAYOUTS, Case, cases, elements, laid_out

CONTRACT = contract_named("simulated")
FLOATS = ("float16", "bfloat16", "float32", "float64")


def run(device: Simulated, op: str, *arrays: Array, **attributes: Any) -> Array:
    """One op on uploaded operands."""
    return device.download(device.launch(op, [device.upload(a) for a in arrays], attributes))


def quiet_cases(op: str, dtype: str, n: int) -> list[Case]:
    """Cases, made without the warnings of arithmetic on NaN."""
    with np.errstate(all="ignore"):
        return list(cases(op, dtype, n))


def reshaped(array: Array, choice: int) -> Array:
    """The same elements in one of the layouts that keep them."""
    layouts = [y for y in LAYOUTS if y != "broadcast" and (array.ndim or y != "fortran")]
    return laid_out(array, layouts[choice % len(layouts)])


# --------------------------------------------------------------------------------------------------------- arithmetic
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_result_lies_in_the_enclosure_of_its_op(name: str) -> None:
    device, op, judged = make("simulated:0"), OPS[name], 0
    for dtype in sorted(op.dtypes):
        for seed, case in enumerate(quiet_cases(name, dtype, 80)):
            with np.errstate(all="ignore"):
                known = [exact(x) for x in case.operands]
                setting = Application(op, known, list(case.operands), case.attributes, case.type, CONTRACT)
                enclosure = op.enclose(setting)[1] if case.is_defined else None
            if enclosure is None:
                continue
            device.reset(seed)
            arrays = [reshaped(x, seed + i) for i, x in enumerate(case.operands)]
            result = run(device, name, *arrays, **case.attributes)
            assert type_of(result) == case.type
            with np.errstate(all="ignore"):
                outside = ~np.asarray(enclosure.contains(result))
            assert not outside.any(), f"{case} gave {result[outside]}"
            judged += 1
    assert judged > 40


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("name", "attributes"), [
    ("sum", {"axis": (0,), "keepdims": False}), ("mean", {"axis": (0,), "keepdims": False}),
    ("cumulative_sum", {"axis": 0}), ("matmul", {}), ("exp", {}), ("tanh", {}),
])  # fmt: skip  # one op a row
def test_large_results_lie_in_the_enclosure_and_depend_on_the_seed(
    name: str, attributes: dict[str, Any], dtype: str
) -> None:
    device, op, rng = make("simulated:0"), OPS[name], np.random.default_rng(4)
    x = elements(rng, dtype, (200, 3), "medium")
    arrays = [np.ascontiguousarray(x.T), x] if name == "matmul" else [x]
    type = op.result_type([type_of(a) for a in arrays], attributes)
    with np.errstate(all="ignore"):
        _, enclosure = op.enclose(Application(op, [exact(a) for a in arrays], arrays, attributes, type, CONTRACT))
    assert enclosure is not None
    seen = set()
    for seed in range(12):
        device.reset(seed)
        result = run(device, name, *arrays, **attributes)
        assert enclosure.contains(result).all()
        seen.add(result.tobytes())
    assert len(seen) > 1


def test_no_op_that_rounds_runs_the_reference() -> None:
    rounding = {op.name for op in OPS.values() if op.accuracy.kind != "exact" and not op.custom}
    assert rounding <= FLOATING.keys() | ALWAYS.keys()


@pytest.mark.parametrize("source", ["float64", "float32", "int64", "uint64"])
def test_a_cast_to_bfloat16_rounds_once(source: str) -> None:
    exponents = np.arange(10, 62)
    ties = 2.0**exponents * (1 + 2.0**-8)  # half way between two bfloat16 numbers
    x = ties.astype(DTYPES[source].np)
    off = np.nextafter(x, x * 2) if is_floating(source) else x + x.dtype.type(1)
    exact_up = off.astype(np.longdouble) > ties
    device = make("simulated:0")
    assert exact_up.any()
    up = run(device, "astype", off, dtype="bfloat16").astype(np.float64) > ties
    assert (up == exact_up).all()


@pytest.fixture
def softcap() -> Iterator[str]:
    @defop("softcap_", kinds="real floating", accuracy=ulps(4), attributes={})
    def softcap_(x: ArrayType) -> ArrayType:
        return x

    @softcap_.reference
    def _(x: Array) -> Array:
        return np.asarray(3 * np.tanh(x / 3))

    yield "softcap_"
    del OPS["softcap_"]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_custom_op_runs_widened(softcap: str, dtype: str) -> None:
    x = np.linspace(-4, 4, 9).astype(DTYPES[dtype].np)
    result = run(make("simulated:0"), softcap, x)
    expected = (3 * np.tanh(x.astype(np.float64) / 3)).astype(x.dtype)
    assert result.tobytes() == expected.tobytes()


# ------------------------------------------------------------------------------------------------------------- memory
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("blocking", [True, False])
def test_every_layout_comes_back_bit_for_bit(dtype: str, layout: str, blocking: bool) -> None:
    device, rng = make("simulated:0"), np.random.default_rng(3)
    device.reset(2)
    for shape in ((), (0, 3), (5,), (2, 3, 4)):
        raw = np.frombuffer(rng.bytes(math.prod(shape) * DTYPES[dtype].np.itemsize), DTYPES[dtype].np)
        array = laid_out(raw.reshape(shape), layout)
        buffer = device.upload(array, stream=1, blocking=blocking)
        result = device.download(buffer, stream=1, blocking=blocking)
        device.synchronize()
        assert result.tobytes() == array.tobytes()
        assert type_of(result) == type_of(array)
        assert array.size == 0 or buffer.strides == array.strides


def test_a_misaligned_host_array_stays_misaligned_by_its_element() -> None:
    device = make("simulated:0")
    backing = np.zeros(200, np.uint8)
    start = (-backing.ctypes.data) % 64 + 4
    array = backing[start : start + 40].view(np.float32)
    array[:] = np.arange(10)
    buffer = device.upload(array)
    assert buffer.offset == 4
    assert device.download(buffer).tolist() == array.tolist()


@pytest.mark.parametrize("pattern", [NEVER_WRITTEN, FREED])
@pytest.mark.parametrize("dtype", FLOATS)
def test_poison_is_nan_in_every_float_dtype(pattern: int, dtype: str) -> None:
    assert np.isnan(np.full(8, pattern, np.uint16).view(DTYPES[dtype].np)).all()


def test_freed_memory_is_poisoned_and_reused_first() -> None:
    memory = make("simulated:0").memory
    first, second = memory.allocate(100), memory.allocate(100)
    memory.free(first)
    memory.free(second)
    assert (memory.arena[second.address : second.address + 2].view(np.uint16) == FREED).all()
    kept = [memory.allocate(128) for _ in range(3)]
    assert [s.address for s in kept] == [second.address, first.address, second.address + 128]


def test_a_storage_is_released_once() -> None:
    device = make("simulated:0")
    buffer = device.upload(np.zeros(3))
    device.release(buffer)
    device.release(buffer)
    with pytest.raises(ValueError, match="storage at address 64 is released but should be allocated; release it once"):
        device.synchronize()


def test_memory_grows_and_a_reset_takes_it_all_back() -> None:
    device = make("simulated:0")
    arrays = [np.full(200_000, i, np.float64) for i in range(5)]
    buffers = [device.upload(a) for a in arrays]
    assert all(device.download(b)[-1] == i for i, b in enumerate(buffers))
    device.reset(1)
    assert device.memory.in_use == 0


def test_an_operand_that_shares_bytes_with_itself_is_not_written_in_place() -> None:
    device = make("simulated:0")
    buffer = device.upload(np.broadcast_to(np.float32(2), (3,)))
    result = device.launch("negative", [buffer], {}, out=buffer)
    assert device.download(result).tolist() == [-2, -2, -2]
    assert device.download(buffer).tolist() == [2, 2, 2]


# -------------------------------------------------------------------------------------------------------------- order
def two_devices(order: str, seed: int, faults: str = "") -> tuple[Simulated, Simulated]:
    devices = make(f"simulated:0{faults}"), make(f"simulated:1{faults}")
    for device in devices:
        device.reset(seed, order)
    return devices


@pytest.mark.parametrize("order", ORDERS)
def test_synchronised_use_gives_one_result_in_every_order(order: str) -> None:
    x, y = np.arange(12.0).reshape(3, 4), np.full((4, 3), 2.0)
    expected = np.negative(x @ y + x.sum())
    for seed in range(20):
        d, p = two_devices(order, seed)
        a, b = d.upload(x, stream=0, blocking=False), d.upload(y, stream=1, blocking=False)
        loaded = d.record(1)
        s = d.launch("sum", [a], {"axis": None, "keepdims": False}, stream=0)
        summed = d.record(0)
        d.wait(2, loaded)
        d.wait(2, summed)
        product = d.launch("matmul", [a, b], {}, stream=2)
        total = d.launch("add", [product, s], {}, stream=2)
        d.release(product, stream=2)
        d.release(b, stream=2)
        made = d.record(2)
        p.wait(1, made)
        there = p.copy(total, d, stream=1, blocking=False)
        p.launch("negative", [there], {}, stream=1, out=there)
        copied = p.record(1)
        d.wait(2, copied)
        d.release(total, stream=2)
        result = p.download(there, stream=1, blocking=False)
        p.synchronize(event=p.record(1))
        assert result.tolist() == expected.tolist()
        d.synchronize()
        p.synchronize()


def test_late_commands_wait_for_a_synchronisation_and_eager_ones_do_not() -> None:
    for order, expected in (("late", 7.0), ("eager", 1.0)):
        device = make("simulated:0")
        device.reset(3, order)
        x = np.ones(3)
        buffer = device.upload(x, blocking=False)
        result = device.download(buffer, blocking=False)
        assert np.isnan(result).all() == (order == "late")
        x[:] = 7.0
        device.synchronize(stream=0)
        assert result.tolist() == [expected] * 3


def test_a_blocking_upload_has_read_the_host_array_in_every_order() -> None:
    for order in ORDERS:
        device = make("simulated:0")
        device.reset(5, order)
        x = np.ones(3)
        buffer = device.upload(x)
        x[:] = 7.0
        assert device.download(buffer).tolist() == [1.0] * 3


def test_one_seed_gives_one_run_and_seed_0_the_plain_order() -> None:
    device, x = make("simulated:0"), np.random.default_rng(1).standard_normal(500)
    results = []
    for seed in (0, 7, 7, 8):
        device.reset(seed)
        results.append((device.queues.order, run(device, "exp", x).tobytes()))
    assert results[0][0] == "eager"
    assert results[1] == results[2]
    assert len({r for _, r in results}) == 3
    orders = set()
    for seed in range(50):
        device.reset(seed)
        orders.add(device.queues.order)
    assert orders == set(ORDERS)


def test_in_some_random_runs_one_stream_overtakes_another_by_far() -> None:
    """Eight kernels on stream 0, issued first, and eight on stream 1: all of one stream before any of the other."""
    seen = set()
    for seed in range(60):
        device = make("simulated:0")
        device.reset(seed, "random")
        x = device.upload(np.ones(2, np.float32))
        queues = device.queues.queues
        for stream in (0, 1):
            for _ in range(8):
                device.launch("negative", [x], {}, stream=stream)
        first, second = queues[0].done, queues[1].done
        seen.add("none of the first" if first <= 1 and second >= 4 else "both" if first > 4 and second > 1 else "other")
    assert {"none of the first", "both"} <= seen


# ------------------------------------------------------------------------------------------------- names and features
@pytest.mark.parametrize("spec", [f"{p}:{i}" for p in PROFILES for i in (0, 1) if i < (PROFILES[p].devices or 2)])
def test_what_a_device_declares_passes_the_check_of_adapters(spec: str) -> None:
    device = make(spec)
    assert isinstance(device, Device)
    features = check_device(device, spec)
    assert (features.place, device.name) == (spec, spec)
    assert device.place_of(device.upload(np.zeros(2, np.float32))) == spec


def test_the_npu_has_no_float64_and_fewer_ops() -> None:
    npu, plain = make("simulated.npu:0").features, make("simulated:0").features
    assert "float64" not in npu.dtypes
    assert npu.ops.keys() < plain.ops.keys()
    assert npu.streams < plain.streams


@pytest.mark.parametrize(("spec", "message"), [
    ("simulate:0", "device profile is 'simulate' but should be one of simulated, simulated.gpu, simulated.npu, "
                   "simulated.dsp, simulated.multichip, simulated.tight [device simulate:0]; "
                   "did you mean 'simulated'?"),
    ("simulated:x", "device index is 'x' but should be a number [device simulated:x]; write simulated:0"),
    ("simulated", "device index is '' but should be a number [device simulated]; write simulated:0"),
    ("simulated:0+wait_ignore", "did you mean 'wait_ignored'?"),
])  # fmt: skip  # one message a row
def test_a_wrong_name_says_what_it_should_be(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        make(spec)
    assert message in str(error.value)


def test_an_op_or_dtype_that_is_not_declared_is_refused() -> None:
    npu = make("simulated.npu:0")
    x = npu.upload(np.zeros(2, np.float32))
    with pytest.raises(UsageError, match=r"op is 'sin' but should be one of .* \[launch on simulated.npu:0\]"):
        npu.launch("sin", [x], {})
    with pytest.raises(UsageError, match=r"dtype is 'float64' but should be one of .* \[astype on simulated.npu:0\]"):
        npu.launch("astype", [x], {"dtype": "float64"})


def test_dtypes_of_the_profiles_are_dtypes() -> None:
    assert all(p.dtypes <= set(dtypes_of("any")) for p in PROFILES.values())
