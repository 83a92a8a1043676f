"""PyTorch on the CPU: every op and dtype that it has, within its contract; transfers, layouts, places, start-up."""

from __future__ import annotations

import importlib
import math
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters import torch as adapter
from offload_fuzz.adapters.torch import TorchDevice
from offload_fuzz.contract import union
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import place
from offload_fuzz.errors import InternalError, MissingDevice, UsageError
from offload_fuzz.host_arrays import float_environment
from offload_fuzz.ops import BUILT_IN, OPS, defop, ulps
from offload_fuzz.types import DTYPES, Array, ArrayType, type_of

from ..devices import LAYOUTS, Case, cases, elements, laid_out

pytestmark = pytest.mark.real_device
#: Ops that PyTorch has not.
ABSENT: set[str] = set()
PRESENT = [op for op in BUILT_IN if op not in ABSENT]
CONTRACTS = (contract_named("torch-cpu"), union([contract_named("numpy"), contract_named("torch-cpu")]))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def is_beyond_pytorch(case: Case) -> bool:
    """Where PyTorch on the CPU is known not to give what IEEE arithmetic says, and no contract can say so yet."""
    if case.op in ("remainder", "fmod") and case.type.dtype in ("bfloat16", "float32", "float64"):
        # SLEEF's vector fmod is NaN where the quotient overflows; the same elements one at a time are right
        x1, x2 = (x.astype(np.longdouble) for x in case.operands)
        return bool((np.abs(x1 / x2) > DTYPES[case.type.dtype].max).any())
    if case.op == "gelu" and case.attributes["approximate"] == "none":
        return bool(np.isposinf(case.operands[0]).any())  # oneDNN's erf makes NaN of it, pytorch/pytorch#185770
    if case.op in ("conv1d", "conv2d") and case.type.dtype == "bfloat16":
        # oneDNN multiplies elements beside a window by zero: NaN where they are not finite, pytorch/pytorch#157237
        return not all(np.isfinite(x).all() for x in case.operands)
    if case.op == "matmul" and case.type.dtype == "bfloat16":
        # oneDNN's AVX512_BF16 and AMX kernels, for m * n * k > 16**3, take subnormal operands as zero
        return any(bool(((x != 0) & (np.abs(x) < 2.0**-126)).any()) for x in case.operands)
    return False


def run(device: TorchDevice, case: Case) -> Array:
    buffers = [device.upload(x) for x in case.operands]
    return device.download(device.launch(case.op, buffers, case.attributes))


def test_what_pytorch_lacks_is_not_among_the_features(torch_device: TorchDevice) -> None:
    assert not ABSENT & torch_device.features.ops.keys()


def supported(device: TorchDevice, op: str, n: int) -> Iterator[Case]:
    features = device.features
    for dtype in sorted(features.ops.get(op) or ()):
        for case in cases(op, dtype, n):
            if case.is_defined and features.supports(op, [type_of(x) for x in case.operands], case.type):
                yield case


@pytest.mark.parametrize("op", PRESENT)
def test_results_are_within_the_contract(torch_device: TorchDevice, op: str) -> None:
    ran = 0
    for case in supported(torch_device, op, 40):
        if is_beyond_pytorch(case):
            continue
        result = run(torch_device, case)
        assert type_of(result) == case.type, str(case)
        for contract in CONTRACTS:
            assert case.allows(contract, result), f"{case} gave {result} [{contract.name}]"
        ran += 1
    assert ran >= 20


# kron raises for operands that are not contiguous: tests/findings/torch-cpu/Fe159c6af, pytorch/pytorch#185650
@pytest.mark.parametrize("op", [op for op in PRESENT if op != "kron"])
def test_operands_may_lie_in_any_layout(torch_device: TorchDevice, op: str) -> None:
    device = torch_device
    for i, case in enumerate(supported(device, op, 14)):
        plain = run(device, case)
        layout = LAYOUTS[i % len(LAYOUTS)]
        operands = [laid_out(x, layout) if layout != "broadcast" else x for x in case.operands]
        result = device.download(device.launch(op, [device.upload(x) for x in operands], case.attributes))
        same = result.tobytes() == plain.tobytes()
        assert same or is_beyond_pytorch(case) or case.allows(CONTRACTS[0], result), str(case)


@pytest.mark.parametrize("op", PRESENT)
def test_aliasing_is_as_declared(torch_device: TorchDevice, op: str) -> None:
    device = torch_device
    aliasing = device.features.alias_of(op)
    for case in supported(device, op, 40):
        if case.type.size == 0:
            continue
        operands = [device.upload(x) for x in case.operands]
        result = device.launch(op, operands, case.attributes)
        storages = [x.untyped_storage().data_ptr() for x in operands]
        shared = result.untyped_storage().data_ptr() in storages
        assert aliasing == "may" or shared == (aliasing == "view"), str(case)


#: PyTorch has 4-bit integers in name only.
PYTORCHS = [d for d in DTYPES if DTYPES[d].bits >= 8]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_transfer_copies_and_keeps_the_layout(torch_device: TorchDevice, layout: str) -> None:
    rng = np.random.default_rng(3)
    for dtype in PYTORCHS:
        for shape in ((), (3,), (2, 3), (0, 2), (2, 1, 3)):
            array = laid_out(elements(rng, dtype, shape, "bits"), layout)
            before = array.tobytes()
            buffer = torch_device.upload(array)
            assert str(buffer.dtype) == f"torch.{dtype}"
            if array.size and layout != "negative":
                assert [s * array.itemsize for s in buffer.stride()] == list(array.strides)
            downloaded = torch_device.download(buffer)
            assert downloaded.tobytes() == before
            assert type_of(downloaded) == type_of(array)
            if array.size and array.flags.writeable:
                array[...] = np.ones((), array.dtype)
                assert torch_device.download(buffer).tobytes() == before, "the upload shares the host's memory"
            if array.size and 0 not in buffer.stride():
                buffer.zero_()
                assert downloaded.tobytes() == before, "the download shares the device's memory"


def test_an_array_off_64_bytes_stays_so(torch_device: TorchDevice) -> None:
    backing = np.zeros(256, np.uint8)
    start = -backing.ctypes.data % 64
    for offset in (0, 4, 8, 60):
        array = backing[start + offset : start + offset + 12].view(np.float32)
        assert torch_device.upload(array).data_ptr() % 64 == offset


def test_flushed_subnormals_in_the_host_process_are_found(torch_device: TorchDevice) -> None:
    assert torch_device.torch.set_flush_denormal(True)
    try:
        assert float_environment() == "subnormals are flushed to zero"
    finally:
        torch_device.torch.set_flush_denormal(False)
    assert float_environment() is None


def test_an_array_off_64_bytes_by_chance_counts_as_aligned(torch_device: TorchDevice) -> None:
    backing = np.zeros(256, np.uint8)
    start = -backing.ctypes.data % 64
    array = backing[start + 16 : start + 28].view(np.float32)
    assert torch_device.upload(array).data_ptr() % 64 == 0


def test_a_read_only_array_is_uploaded_without_a_warning(torch_device: TorchDevice) -> None:
    array = np.arange(3, dtype=np.float32)
    array.flags.writeable = False
    warned = torch_device.torch.is_warn_always_enabled()
    for always in (False, True):
        torch_device.torch.set_warn_always(always)
        try:
            assert torch_device.download(torch_device.upload(array)).tolist() == [0, 1, 2]
        finally:
            torch_device.torch.set_warn_always(warned)


def test_overlapping_elements_are_uploaded_as_values(torch_device: TorchDevice) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(5, dtype=np.int32), 3)
    assert torch_device.download(torch_device.upload(windows)).tolist() == windows.tolist()


def test_an_op_in_place_writes_the_operand(torch_device: TorchDevice) -> None:
    device = torch_device
    assert device.features.in_place >= {"add", "exp", "floor_divide", "logical_not"}
    for op in sorted(device.features.in_place):
        for case in supported(device, op, 12):
            if type_of(case.operands[0]) != case.type:
                continue
            operands = [device.upload(x) for x in case.operands]
            result = device.launch(op, operands, case.attributes, out=operands[0])
            assert result.data_ptr() == operands[0].data_ptr()
            assert is_beyond_pytorch(case) or case.allows(CONTRACTS[0], device.download(result))


def test_an_op_in_place_of_shared_elements_writes_elsewhere(torch_device: TorchDevice) -> None:
    x = torch_device.upload(np.broadcast_to(np.float32(1), (3,)))
    y = torch_device.upload(np.arange(3, dtype=np.float32))
    assert torch_device.download(torch_device.launch("add", [x, y], {}, out=x)).tolist() == [1, 2, 3]
    assert torch_device.download(x).tolist() == [1, 1, 1]


def test_bits_are_counted_of_one_element_with_a_stride(torch_device: TorchDevice) -> None:
    for dtype in ("int8", "uint16", "int32", "uint64"):
        x = torch_device.upload(np.array([7], dtype), destination="strided")
        assert torch_device.download(torch_device.launch("bitwise_count", [x], {})).tolist() == [3]


def test_undefined_integer_division_does_not_end_the_process(torch_device: TorchDevice) -> None:
    for dtype in ("int8", "int16", "int32", "int64"):
        low = np.full(33, np.iinfo(dtype).min, dtype)
        operands = [torch_device.upload(low), torch_device.upload(np.full(33, -1, dtype))]
        for op in ("floor_divide", "remainder"):
            torch_device.launch(op, operands, {})
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                torch_device.launch(op, [operands[0], torch_device.upload(np.zeros(33, dtype))], {})


class _Queue:
    """A stream or an event that writes down what is done with it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def __getattr__(self, method: str) -> Any:
        return lambda *others: self.log.append(f"{self.name}.{method}({', '.join(o.name for o in others)})")


def test_streams_and_events_go_to_pytorch(monkeypatch: pytest.MonkeyPatch, torch_device: TorchDevice) -> None:
    log: list[str] = []
    device = TorchDevice("torch:cpu")
    device._streams = [_Queue(f"s{i}", log) for i in range(3)]
    torch = device.torch
    monkeypatch.setattr(torch.accelerator, "set_stream", lambda stream: log.append(f"set({stream.name})"))
    monkeypatch.setattr(torch, "Event", lambda device: _Queue("e", log))
    x = device.upload(np.ones(2), stream=1, blocking=False)
    y = device.launch("add", [x, x], {}, stream=2)
    event = device.record(2)
    device.wait(1, event)
    assert device.download(y, stream=1, blocking=False).tolist() == [2, 2]
    device.synchronize(stream=1)
    device.synchronize(event=event)
    device.synchronize()
    assert log == [
        "set(s1)", "set(s2)", "e.record(s2)", "s1.wait_event(e)", "set(s1)", "s1.synchronize()", "e.synchronize()",
        "s0.synchronize()", "s1.synchronize()", "s2.synchronize()",
    ]  # fmt: skip  # one row


# ---------------------------------------------------------------------------------------------- start-up, features
def test_the_features_say_what_pytorch_has(torch_device: TorchDevice) -> None:
    features = place(torch_device).features
    assert set(features.ops) == set(PRESENT)
    assert features.dtypes == frozenset(PYTORCHS)
    assert features.ops["add"] == OPS["add"].dtypes - {"uint16", "uint32", "uint64"}
    assert features.ops["sum"] == OPS["sum"].dtypes
    assert features.contract.name == "torch-cpu"
    assert features.place == torch_device.place_of(torch_device.upload(np.zeros(1))) == "torch:cpu"
    assert (features.streams, features.transfers, features.release) == (0, ("blocking",), False)
    assert features.deterministic
    assert torch_device.torch.get_num_threads() == 1


def test_a_device_is_ready_within_a_second(torch_device: TorchDevice) -> None:
    start = time.perf_counter()
    TorchDevice("torch:cpu")
    assert time.perf_counter() - start < 1.0


def test_a_launch_adds_a_few_microseconds(torch_device: TorchDevice) -> None:
    x = torch_device.upload(np.ones((4, 4), np.float32))
    add = torch_device.torch.add

    def seconds(call: Any) -> float:
        best = math.inf
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(200):
                call()
            best = min(best, time.perf_counter() - start)
        return best / 200

    bare = seconds(lambda: add(x, x))
    assert seconds(lambda: torch_device.launch("add", [x, x], {})) - bare < 4e-6


def test_a_missing_pytorch_is_a_missing_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    message = (
        "torch is not installed but device torch:* needs it [adapters.torch]; "
        "see pytorch.org/get-started for PyTorch's own ways to install it"
    )
    with pytest.raises(MissingDevice, match=f"^{re.escape(message)}$") as raised:
        TorchDevice("torch:cpu")
    assert raised.value.exit_code == 4


def test_a_broken_pytorch_is_a_missing_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise OSError("libtorch_cpu.so: cannot open shared object file\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(
        MissingDevice, match=r"torch cannot be imported: libtorch_cpu\.so: cannot open shared object file"
    ):
        TorchDevice("torch:cpu")


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("torch:cuda:99", MissingDevice, "torch has no device 'cuda:99' but torch:cuda:99 should name one: "),
        (
            "torch:nosuch:0",
            MissingDevice,
            "torch has no device 'nosuch:0' but torch:nosuch:0 should name one: Expected one",
        ),
        ("torch:meta", UsageError, "device is torch:meta but should be one that holds data, which 'meta' does not"),
        ("torch", UsageError, "device is 'torch' but should be torch:DEVICE such as torch:cpu, torch:cuda:0"),
        ("torch:", UsageError, "device is 'torch:' but should be torch:DEVICE"),
    ],
)
def test_a_device_that_there_is_not(torch_device: TorchDevice, name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}") as raised:
        TorchDevice(name)
    assert "\n" not in str(raised.value)


def test_a_failure_that_is_not_absence_is_our_own_mistake(torch_device: TorchDevice) -> None:
    def wrong() -> None:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (2)\nat dimension 0")

    text = "add on int8 raised RuntimeError: The size of tensor a (3) must match the size of tensor b (2) [torch:cpu]"
    with pytest.raises(InternalError, match=f"^{re.escape(text)}$"):
        torch_device._has(wrong, "add on int8")


# ------------------------------------------------------------------------------------------------------ custom ops
def test_a_custom_op_runs_what_it_was_given(torch_device: TorchDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="op is 'twice' but should be one of"):
        adapter.implement("twice", lambda x: x + x)

    @defop("twice", kinds="real floating", accuracy=ulps(1))
    def twice(x: ArrayType) -> ArrayType:
        return x

    try:
        twice.reference(lambda x: x + x)
        monkeypatch.setattr(adapter, "_custom", {})
        adapter.implement("twice", lambda x: x + x)
        device = TorchDevice("torch:cpu")
        features = place(device).features
        assert features.ops["twice"] == OPS["twice"].dtypes
        assert features.alias_of("twice") == "may"
        assert "twice" not in torch_device.features.ops
        assert device.download(device.launch("twice", [device.upload(np.ones(2))], {})).tolist() == [2, 2]
    finally:
        OPS.pop("twice", None)


# -------------------------------------------------------------------------------------------------------------- pieces
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int8"])
@pytest.mark.parametrize("destination", [None, "offset", "strided"])
def test_a_transfer_in_pieces_brings_what_one_at_once_brings(
    torch_device: TorchDevice, dtype: str, destination: str | None
) -> None:
    x = np.arange(35).reshape(5, 7).astype(DTYPES[dtype].np)
    for array in (x, x.T, x[:, ::-1], np.broadcast_to(x[:1], (5, 7))):
        for chunks in ((0, (0, 2, array.shape[0])), (1, (0, 3, array.shape[1]))):
            buffer = torch_device.upload(array, destination=destination, chunks=chunks)
            into = np.zeros((*array.shape, 2), array.dtype)[..., 0]
            assert torch_device.download(buffer, chunks=chunks).tobytes() == array.tobytes()
            assert torch_device.download(buffer, into=into, chunks=chunks).tobytes() == array.tobytes()
