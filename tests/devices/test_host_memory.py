"""The host's own part of a run: arrays cut from canary memory, and the float mode of the process."""

from __future__ import annotations

import ctypes
import platform
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.numpy import NumpyDevice
from offload_fuzz.adapters.simulated import make
from offload_fuzz.device import Place
from offload_fuzz.execute import execute
from offload_fuzz.host_arrays import BLOCK, CANARY, PAGE, HostMemory, arrange, float_environment, relocated
from offload_fuzz.lower import lower
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder
from offload_fuzz.types import Array

LAYOUTS = ("contiguous", "fortran", "strided", "negative", "broadcast")
#: The rounding modes of fenv.h on x86-64.
ROUNDINGS = {"down": 0x400, "up": 0x800, "toward zero": 0xC00}


def test_memory_is_aligned_as_asked_and_nothing_is_given_out_twice() -> None:
    memory = HostMemory()
    taken = []
    for i, nbytes in enumerate([1, 2, 63, 64, 65, 200, BLOCK, 3 * BLOCK, *range(1, 3000, 37)]):
        offset = (0, 1, 4, 8, 63)[i % 5]
        array = memory.take(nbytes, offset)
        start, base = array.ctypes.data, array.base
        assert (array.nbytes, start % 64) == (nbytes, offset)
        assert (array == CANARY).all()
        assert isinstance(base, np.ndarray)
        assert base.ctypes.data + 64 <= start
        assert start + nbytes + 64 <= base.ctypes.data + base.nbytes
        taken.append(array)
    spans = sorted((array.ctypes.data, array.ctypes.data + array.nbytes) for array in taken)
    assert all(stop + 64 <= start for (_, stop), (start, _) in pairwise(spans))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("alignment", [64, 1])
def test_an_arranged_array_has_the_same_elements_and_lies_in_its_backing(layout: str, alignment: int) -> None:
    memory = HostMemory()
    for shape in ((), (3,), (2, 3), (2, 1, 3)):
        array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
        made, backing = arrange(array, layout, alignment, True, memory)
        assert made.tobytes() == array.tobytes()
        assert made.shape == shape
        assert not made.flags.writeable
        assert np.shares_memory(made, backing)
        assert backing.ctypes.data % 64 == (0 if alignment == 64 else 4)


def test_a_result_of_the_host_is_relocated_to_a_multiple_of_64_bytes_with_its_strides() -> None:
    memory, base = HostMemory(), np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    views = [
        base,
        base.T,
        base[:, ::-1],
        base[0, ::2, ::-1],
        np.broadcast_to(base[0, 0], (3, 4)),
        base[1, 1, 1],
        base[:0],
    ]
    for array in views:
        made = relocated(np.asarray(array), memory)
        assert (made.tolist(), made.flags.writeable) == (array.tolist(), np.asarray(array).flags.writeable)
        assert made.strides == np.asarray(array).strides
        assert made.size == 0 or np.lib.array_utils.byte_bounds(made)[0] % 64 == 0
        assert not np.shares_memory(made, array)


def test_what_a_plain_plan_hands_over_is_aligned_to_64_bytes() -> None:
    """Inputs, results of the host and of a device: where NumPy's allocator puts them is no chance of a run."""
    places = [Place(NumpyDevice(), NumpyDevice().features)]
    seen: list[int] = []
    for device in (make("simulated:0"), make("simulated:1")):
        upload = device.upload

        def watched(array: Array, upload: Any = upload, **arguments: Any) -> Any:
            seen.append(array.ctypes.data % 64)
            return upload(array, **arguments)

        device.upload = watched  # type: ignore[method-assign]  # to see what it is given
        places.append(Place(device, device.features))
    for n in range(1, 60, 2):
        build = Builder()
        v0 = build.input(np.arange(n, dtype=np.int16))
        v = [build.apply("negative", v0)]
        v += [build.apply("square", v[-1])]
        v += [build.apply("add", v[-1], v0)]
        program = build.returns(v[-1])
        for roles in ((1, 0, 1), (0, 1, 2), (0, 1, 0), (1, 2, 1)):
            choices: dict[Key, Any] = {("device", (1 + k,)): role for k, role in enumerate(roles) if role}
            choices |= {("route", (1 + k, 0)): "host" for k in range(3)}
            run = execute(lower(program, Plan(choices), places), program, places)
            assert run.failure is None
    assert len(seen) > 200
    assert set(seen) == {0}


class _OffSixtyFour(NumpyDevice):
    """Downloads begin 16 bytes past a multiple of 64, as NumPy's arrays do by chance."""

    def download(self, buffer: Array, *given: Any, **arguments: Any) -> Array:
        found = super().download(buffer, *given, **arguments)
        memory = HostMemory().take(found.nbytes, 16)
        memory[...] = np.frombuffer(found.tobytes(), np.uint8)
        return memory.view(found.dtype).reshape(found.shape)


def test_what_a_device_gave_is_handed_on_aligned_too() -> None:
    seen: list[int] = []

    class Watching(NumpyDevice):
        def upload(self, array: Array, *given: Any, **arguments: Any) -> Array:
            seen.append(array.ctypes.data % 64)
            return super().upload(array, *given, **arguments)

    devices = (NumpyDevice(), _OffSixtyFour(), Watching())
    build = Builder()
    v1 = build.apply("negative", build.input(np.arange(5, dtype=np.int16)))
    program = build.returns(build.apply("square", v1))
    places = [Place(d, d.features) for d in devices]
    run = execute(lower(program, Plan({("device", (1,)): 1, ("device", (2,)): 2}), places), program, places)
    assert (run.failure, seen) == (None, [0])


def test_the_float_mode_is_found_to_be_right() -> None:
    assert float_environment() is None


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="sets the mode by fenv.h's numbers on x86-64"
)
@pytest.mark.parametrize("mode", ROUNDINGS)
def test_another_rounding_is_found(mode: str) -> None:
    libm = ctypes.CDLL("libm.so.6")
    assert libm.fesetround(ROUNDINGS[mode]) == 0
    try:
        found = float_environment()
    finally:
        libm.fesetround(0)
    assert found == "rounding is not to nearest"
    assert float_environment() is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (7,), (2, 3), (3000,)])
def test_an_array_across_pages_begins_in_one_and_ends_in_another(shape: tuple[int, ...], layout: str) -> None:
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    made, backing = arrange(array, layout, 64, False, None, across=True)
    assert made.tolist() == array.tolist()
    first, last = backing.ctypes.data, backing.ctypes.data + backing.nbytes - 1
    assert backing.nbytes < 2 * made.itemsize or first // PAGE < last // PAGE
    assert first % made.itemsize == 0


def test_a_fault_at_the_end_of_a_page_shows_there_only() -> None:
    device = make("simulated:0+second_page_lost")
    device.reset(0)
    x = np.arange(5, dtype=np.float32)
    across, _ = arrange(x, "contiguous", 64, False, None, across=True)
    assert device.download(device.upload(x)).tolist() == x.tolist()
    assert device.download(device.upload(across)).tolist() != x.tolist()
