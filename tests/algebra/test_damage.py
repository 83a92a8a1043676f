"""What wrong values are: each kind of damage is recognised where it was done, and not where another was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload_fuzz.finding.damage import damage, part, traceable

SHAPES = st.sampled_from([(3,), (8,), (2, 3), (4, 4), (2, 3, 4)])


def told(got: Any, right: Any, **values: Any) -> str:
    """What `damage` says where each element that has other bits is wrong."""
    same = np.ascontiguousarray(got).view(f"u{got.itemsize}") == np.ascontiguousarray(right).view(f"u{right.itemsize}")
    return damage(np.asarray(got), np.asarray(right), ~same, values)


def floats(shape: tuple[int, ...], first: int) -> Any:
    return (np.arange(np.prod(shape)) * 1.37 + first + 0.1).reshape(shape).astype(np.float32)


@given(shape=SHAPES, first=st.integers(1, 1000))
@settings(max_examples=30, deadline=None)
def test_damage_that_was_done_is_recognised(shape: tuple[int, ...], first: int) -> None:
    right = floats(shape, first)
    size = right.size
    numbered = np.arange(size, dtype=np.uint32) + 0x7FC00001
    done: dict[str, Any] = {
        "stale: v7": right + 1,
        "the sign lost": -right,
        "reversed along axis 0": np.flip(right, 0),
        "rotated by 1 element": np.roll(right.reshape(-1), 1),
        "shifted: each is the element 1 place on": np.append(right.reshape(-1)[1:], np.float32(-9)),
        "gone through float16": right.astype(np.float16).astype(np.float32),
        "zeros": np.zeros(shape, np.float32),
        "NaN in the place of numbers": numbered.view(np.float32),
        "0x5c over and over: the source, read after it was overwritten": np.frombuffer(b"\x5c" * 4 * size, "f4"),
        "0xa5 over and over: memory that nothing was written to": np.frombuffer(b"\xa5" * 4 * size, "f4"),
    }
    for name, got in done.items():
        assert told(got.reshape(shape), right, v7=right + 1, v3=right * 3) == name


@given(shape=st.sampled_from([(2, 3), (3, 4), (4, 5)]), first=st.integers(1, 1000))
@settings(max_examples=20, deadline=None)
def test_elements_in_another_order_of_memory_are_recognised(shape: tuple[int, ...], first: int) -> None:
    right = floats(shape, first)
    assert told(right.ravel(order="F").reshape(shape), right) == "elements in column-major order"
    other = right.reshape(-1)[::-1].copy()
    other[[0, 1]] = other[[1, 0]]
    assert told(other.reshape(shape), right) == "the right elements in another order"


@given(n=st.integers(1, 40), lost=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_part_that_is_wrong_is_named(n: int, lost: int) -> None:
    wrong = np.zeros(n + lost, bool)
    wrong[n:] = True
    assert part(wrong) == f"the last {lost} of {n + lost} elements"
    assert part(wrong[::-1]) == f"the first {lost} of {n + lost} elements"
    assert part(np.ones(n, bool)) == ""
    middle = np.zeros((3, n, 5), bool)
    middle[1] = True
    assert part(middle) == ("index 1 of axis 0")


@pytest.mark.parametrize(
    ("dtype", "narrow", "value"),
    [("int64", "int32", 2**40 + 5), ("int64", "int16", 70000), ("int32", "int16", 70000),
     ("uint64", "uint32", 2**33 + 1), ("float64", "float32", 1 / 3), ("int64", "float64", 2**53 + 1),
     ("int32", "float32", 2**24 + 1)],
)  # fmt: skip  # one row a case
def test_a_value_that_went_through_a_narrower_dtype_is_recognised(dtype: str, narrow: str, value: Any) -> None:
    right = np.array([value, value + 2], dtype)
    assert told(right.astype(narrow).astype(dtype), right) == f"gone through {narrow}"


SPECIAL: list[tuple[str, list[Any], list[Any], str]] = [
    ("float32", [0.0, 1.0], [-0.0, 1.0], "the sign of zero lost, the first 1 of 2 elements"),
    ("float32", [1.0, 3.0], [1.0, np.nan], "NaN lost, the last 1 of 2 elements"),
    ("float32", [0.0, 0.0], [1e-40, 2e-40], "subnormals flushed to zero"),
    ("complex64", [1, 2], [1 + 2j, 2 + 1j], "the imaginary part lost"),
    ("float32", [33.328125], [100 / 3], "cut off to about 13 of 24 significant bits"),
    ("int64", [-1], [2**62 - 1], "gone through int32"),
    ("int32", [7, 1, 1, 9], [7, 2, 3, 9], "elements 1 to 2 of 4"),
    ("int32", [1, 2, 3, 1, 2], [1, 2, 3, 4, 5], "repeated: each is the element 3 places back"),
]


@pytest.mark.parametrize(("dtype", "got", "right", "name"), SPECIAL, ids=[row[-1] for row in SPECIAL])
def test_what_only_some_values_can_show_is_recognised(dtype: str, got: Any, right: Any, name: str) -> None:
    a, b = np.array(got, dtype), np.array(right, dtype)
    assert damage(a, b, _other(a, b), {}) == name


def _other(got: Any, right: Any) -> Any:
    signs = np.signbit(got.real) != np.signbit(right.real)
    return ~((got == right) | (np.isnan(got) & np.isnan(right))) | ((got == 0) & (right == 0) & signs)


@given(st.integers(2, 9), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_nothing_is_said_of_values_that_are_wrong_in_no_known_way(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.integers(1, 2**30, n).astype(np.int64) * 3
    got = right + rng.integers(2**41, 2**42, n) * 2 + 1
    assert told(got, right, v0=right * 5) == ""


def test_nothing_is_said_of_arrays_of_another_type_or_of_right_ones() -> None:
    right = floats((3,), 1)
    assert damage(right.astype(np.float64), right, np.ones(3, bool), {}) == ""
    assert damage(right, right, np.zeros(3, bool), {}) == ""


def test_traceable_data_tell_input_and_place() -> None:
    a, b = (traceable(np.zeros((2, 3), np.int8), k) for k in (0, 1))
    assert len({*a.reshape(-1).tolist(), *b.reshape(-1).tolist()}) == 12
    assert traceable(np.zeros(4, bool), 0).tolist() == [False, True, False, True]
