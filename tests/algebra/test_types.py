"""dtypes, kinds and promotion held against NumPy and the array API standard; `ArrayType` and its errors."""

from __future__ import annotations

import itertools
import math

import ml_dtypes
import numpy as np
import pytest

from offload_fuzz.errors import InvalidProgram
from offload_fuzz.text import parse_type
from offload_fuzz.types import DTYPES, KINDS, NAMES, ArrayType, dtypes_of, is_floating, promote, type_of

NARROW = dtypes_of("narrow floating", "narrow integer")
STANDARD = [d for d in DTYPES if d != "bfloat16" and d not in NARROW]
#: The standard promotes within a row, and between the first two.
ROWS = (
    dtypes_of("signed integer"),
    dtypes_of("unsigned integer"),
    dtypes_of("real floating"),
    ("bool",),
    ("float32", "float64", "complex64", "complex128"),
)


# -------------------------------------------------------------------------------------------------------- promotion
@pytest.mark.parametrize(("dtype1", "dtype2"), [*itertools.product(STANDARD, STANDARD)])
def test_promotion_is_numpys_where_the_standard_defines_it_and_refused_elsewhere(dtype1: str, dtype2: str) -> None:
    expected = str(np.promote_types(dtype1, dtype2))
    integral = {*ROWS[0], *ROWS[1]}
    within = any(dtype1 in row and dtype2 in row for row in ROWS)
    if within or {dtype1, dtype2, expected} <= integral:
        assert promote(dtype1, dtype2) == expected
    else:
        with pytest.raises(InvalidProgram) as caught:
            promote(dtype1, dtype2)
        assert str(caught.value) == f"{dtype1} and {dtype2} do not promote; insert an astype"


def test_mixed_integers_promote_as_the_standards_table_says() -> None:
    table = {
        "int8": {"uint8": "int16", "uint16": "int32", "uint32": "int64"},
        "int16": {"uint8": "int16", "uint16": "int32", "uint32": "int64"},
        "int32": {"uint8": "int32", "uint16": "int32", "uint32": "int64"},
        "int64": {"uint8": "int64", "uint16": "int64", "uint32": "int64"},
    }
    for signed, row in table.items():
        assert {u: promote(signed, u) for u in row} == row
        assert {u: promote(u, signed) for u in row} == row
        with pytest.raises(InvalidProgram):
            promote(signed, "uint64")


@pytest.mark.parametrize(
    ("wider", "expected"), [("float32", "float32"), ("float64", "float64"), ("bfloat16", "bfloat16")]
)
def test_bfloat16_promotes_to_the_wider_floats(wider: str, expected: str) -> None:
    assert promote("bfloat16", wider) == promote(wider, "bfloat16") == expected


@pytest.mark.parametrize("other", [d for d in DTYPES if d not in ("bfloat16", "float32", "float64")])
def test_bfloat16_promotes_with_nothing_else(other: str) -> None:
    for pair in (("bfloat16", other), (other, "bfloat16")):
        with pytest.raises(InvalidProgram):
            promote(*pair)


def test_promotion_is_a_join() -> None:
    def join(*dtypes: str) -> str | None:
        found = dtypes[0]
        for dtype in dtypes[1:]:
            try:
                found = promote(found, dtype)
            except InvalidProgram:
                return None
        return found

    for a, b in itertools.product(DTYPES, DTYPES):
        assert join(a, a) == a
        assert join(a, b) == join(b, a)
        if (ab := join(a, b)) is not None:
            assert join(a, ab) == join(b, ab) == ab  # it absorbs both


def test_an_unknown_dtype_does_not_promote() -> None:
    with pytest.raises(InvalidProgram, match=r"^dtype is 'float8' but should be one of bool, int8, "):
        promote("float8", "float8")


def test_narrow_dtypes_promote_with_nothing_but_themselves() -> None:
    for narrow, other in itertools.product(NARROW, DTYPES):
        if narrow == other:
            assert promote(narrow, other) == narrow
            continue
        for pair in ((narrow, other), (other, narrow)):
            with pytest.raises(InvalidProgram):
                promote(*pair)


# --------------------------------------------------------------------------------------------------- dtypes and kinds
@pytest.mark.parametrize("dtype", STANDARD)
def test_kinds_are_those_of_isdtype(dtype: str) -> None:
    for kind, members in KINDS.items():
        if kind == "any":
            expected = True
        elif kind == "real numeric":
            expected = np.isdtype(np.dtype(dtype), ("integral", "real floating"))
        elif kind.startswith("narrow"):
            expected = False
        else:
            expected = np.isdtype(np.dtype(dtype), kind)
        assert (DTYPES[dtype].kind in members) == expected
        assert (dtype in dtypes_of(kind)) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_names_bits_and_numpy_dtypes_agree(dtype: str) -> None:
    d = DTYPES[dtype]
    assert d.name == dtype == NAMES[d.np] == str(d.np)
    assert d.bits == (4 if dtype in ("int4", "uint4") else 8 * d.np.itemsize)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_formats_are_those_that_numpy_reports(dtype: str) -> None:
    d, info = DTYPES[dtype], np.finfo(dtype)
    assert is_floating(dtype)
    assert d.precision == info.nmant + 1
    assert (d.emin, d.emax) == (info.minexp, info.maxexp - 1)
    assert d.max == float(info.max)
    assert d.eta == float(info.smallest_subnormal)
    assert d.unit == float(info.eps) / 2


def test_bfloat16_has_float32s_exponents_and_eight_bits() -> None:
    d, single = DTYPES["bfloat16"], DTYPES["float32"]
    assert (d.precision, d.emin, d.emax) == (8, single.emin, single.emax)
    bits = np.array([1, 0x7F7F, 0x7F80], np.uint16).view(d.np).astype(np.float64)
    assert list(bits) == [d.eta, d.max, math.inf]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_narrow_formats_are_those_that_ml_dtypes_reports(dtype: str) -> None:
    d, info = DTYPES[dtype], ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # ml_dtypes leaves it untyped
    assert (d.precision, d.emin, d.max) == (info.nmant + 1, info.minexp, float(info.max))
    assert d.eta == float(info.smallest_subnormal)
    assert d.finite != bool(np.isinf(np.asarray(math.inf, d.np)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "int4", "uint4"])
def test_the_range_of_an_integer_dtype_is_that_of_its_library(dtype: str) -> None:
    info = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]  # ml_dtypes leaves it untyped
    assert DTYPES[dtype].range == (int(info.min), int(info.max))


@pytest.mark.parametrize("dtype", [d for d in DTYPES if not d.startswith(("float", "bfloat"))])
def test_other_dtypes_are_not_floating(dtype: str) -> None:
    assert not is_floating(dtype)


# --------------------------------------------------------------------------------------------------------- ArrayType
@pytest.mark.parametrize(
    ("type", "text"),
    [
        (ArrayType("float32", (2, 3)), "float32[2,3]"),
        (ArrayType("bool", ()), "bool[]"),
        (ArrayType("bfloat16", (0,)), "bfloat16[0]"),
        (ArrayType("uint64", (1,) * 64), f"uint64[{','.join('1' * 64)}]"),
    ],
)
def test_a_type_prints_and_parses_back(type: ArrayType, text: str) -> None:
    assert str(type) == f"{type}" == text
    assert parse_type(text) == type


def test_size_and_bytes_follow_from_dtype_and_shape() -> None:
    type = ArrayType("bfloat16", (2, 0, 3))
    assert (type.ndim, type.size, type.nbytes) == (3, 0, 0)
    type = ArrayType("float64", (2, 3))
    assert (type.ndim, type.size, type.nbytes, type.np) == (2, 6, 48, np.dtype("float64"))
    assert ArrayType("int8", ()).size == 1


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("float33", (1,), "dtype is 'float33' but should be one of bool, int8, int16, int32, int64, uint8, uint16, "),
        (np.float32, (1,), "dtype is <class 'numpy.float32'> but should be one of bool, int8, "),
        (["int8"], (1,), "dtype is ['int8'] but should be one of bool, int8, "),
        ("int8", [1], "shape is [1] but should be a tuple of non-negative ints"),
        ("int8", 1, "shape is 1 but should be a tuple of non-negative ints"),
        ("int8", (-1,), "shape is (-1,) but should be a tuple of non-negative ints"),
        ("int8", (True,), "shape is (True,) but should be a tuple of non-negative ints"),
        ("int8", (1.0,), "shape is (1.0,) but should be a tuple of non-negative ints"),
        ("int8", (None,), "shape is (None,) but should be a tuple of non-negative ints"),
        ("int8", (1,) * 65, "shape has 65 axes but should have at most 64, as in NumPy"),
    ],
)
def test_a_bad_dtype_or_shape_is_refused(dtype: object, shape: object, message: str) -> None:
    with pytest.raises(InvalidProgram) as caught:
        ArrayType(dtype, shape)  # type: ignore[arg-type]  # which is the point
    assert str(caught.value).startswith(message)


def test_the_type_of_an_array_is_its_dtype_and_shape() -> None:
    for name, d in DTYPES.items():
        assert type_of(np.zeros((2, 0), d.np)) == ArrayType(name, (2, 0))


@pytest.mark.parametrize("dtype", [np.clongdouble, np.dtype(">f4"), np.dtype("U3"), object, np.longdouble])
def test_an_array_of_another_dtype_has_no_type(dtype: object) -> None:
    with pytest.raises(InvalidProgram, match=r"^array has dtype .* but should have one of bool, int8, "):
        type_of(np.zeros(1, dtype))  # type: ignore[call-overload]  # any dtype
