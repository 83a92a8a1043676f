"""The host's own part of a run: arrays cut from canary memory, and the float mode of the process."""

from __future__ import annotations

import ctypes
import platform
import sys
from itertools import pairwise

import numpy as np
import pytest

from offload_fuzz.execute import float_environment
from offload_fuzz.host_arrays import BLOCK, CANARY, HostMemory, arrange

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
