"""How many ulps a result is off: representable numbers from the nearest that is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz.enclosure import Enclosure, is_float, step
from offload_fuzz.oracles.enclosed import distance
from offload_fuzz.types import DTYPES

FLOATS = [d.np for d in DTYPES.values() if is_float(d.np)]


def exactly(value: Any, dtype: Any) -> Enclosure:
    array = np.asarray([value], dtype)
    return Enclosure(array, array)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
def test_a_result_is_as_far_off_as_it_was_moved(dtype: Any, off: int) -> None:
    one = np.asarray([1.0], dtype)
    moved = one if off == 0 else _moved(one, off)
    assert distance(moved[0], Enclosure(one, one), (0,)) == abs(off)


def _moved(one: Any, off: int) -> Any:
    """`one` moved by its bits, which for positive numbers are in order."""
    return (one.view(f"i{one.dtype.itemsize}") + off).astype(f"i{one.dtype.itemsize}").view(one.dtype)


def test_the_two_zeros_are_neighbours() -> None:
    assert distance(np.float32(-0.0), exactly(0.0, np.float32), (0,)) == 1
    assert distance(np.float32(-1e-45), exactly(0.0, np.float32), (0,)) == 2


def test_the_nearest_of_all_that_is_allowed_counts() -> None:
    lo, hi = np.asarray([1.0], np.float64), np.asarray([2.0], np.float64)
    two = Enclosure(lo, hi, lo2=np.asarray([8.0]), hi2=np.asarray([9.0]))
    assert distance(step(hi, 3)[0], two, (0,)) == 3
    assert distance(step(np.asarray([8.0]), -5)[0], two, (0,)) == 5
    assert distance(np.float64(1.5), two, (0,)) == 0
    top = np.asarray([np.finfo(np.float64).max])
    assert distance(top[0], Enclosure(lo, hi, pinf=np.asarray([True])), (0,)) == 1


def test_the_whole_range_of_float64_is_counted_exactly() -> None:
    assert distance(np.float64(-np.inf), exactly(np.inf, np.float64), (0,)) == 2 * 0x7FF0000000000000 + 1


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.float32(np.nan), exactly(1.0, np.float32)),
        (np.float32(1.0), exactly(np.nan, np.float32)),
        (np.int32(3), exactly(1, np.int32)),
        (np.bool_(True), exactly(False, np.bool_)),
        (np.complex64(1), exactly(2, np.complex64)),
        (np.float32(1), Enclosure(np.asarray([1], np.float32), np.asarray([-1], np.float32), nan=np.asarray([True]))),
    ],
    ids=["NaN came", "NaN is allowed alone", "an int", "a bool", "a complex number", "no number is allowed"],
)
def test_where_a_distance_means_nothing_there_is_none(got: Any, expected: Enclosure) -> None:
    assert distance(got, expected, (0,)) is None
