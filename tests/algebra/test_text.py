"""Print and parse: what is printed parses back to the same bits, and malformed text is refused with its line."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import OPS, base, defop
from offload_fuzz.ops.domains import ADMITS
from offload_fuzz.program import Builder, same_bits
from offload_fuzz.text import (
    array_from,
    elements,
    format_element,
    parse_element,
    parse_program,
    parse_type,
    print_program,
    window,
)
from offload_fuzz.types import DTYPES, Array, ArrayType, dtypes_of

from ..programs import random_data, random_program

FLOATS = dtypes_of("real floating")


# ------------------------------------------------------------------------------------------------- print and parse
@pytest.mark.parametrize("op", OPS)
def test_every_op_prints_and_parses_back(op: str) -> None:
    rng = random.Random(f"text {op}")
    for _ in range(12):
        program = random_program(rng, [op], 2)
        assert parse_program(print_program(program, data=True)) == program
        assert parse_program(print_program(program), program.inputs) == program


def test_random_programs_print_and_parse_back() -> None:
    rng = random.Random(1)
    for _ in range(150):
        program = random_program(rng, size=rng.randint(0, 9) or 1)
        assert parse_program(print_program(program, data=True, note=lambda v: f"v{v}'s # note")) == program


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_of_every_dtype_come_back_bit_for_bit(dtype: str) -> None:
    rng = random.Random(f"elements {dtype}")
    for shape in ((), (0,), (3, 0, 2), (200,), (4, 5)):
        array = random_data(rng, ArrayType(dtype, shape))
        assert same_bits(array_from(ArrayType(dtype, shape), elements(array)), array)
        fortran = np.asfortranarray(array)
        assert same_bits(array_from(ArrayType(dtype, shape), elements(fortran)), array)
        for x in array.reshape(-1)[:20]:
            back = np.asarray(parse_element(format_element(x), dtype))
            assert back.tobytes() == x.tobytes()
            assert back.dtype == array.dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_all_bits_of_a_16_bit_float_come_back(dtype: str) -> None:
    array = np.arange(2**16, dtype=np.uint16).view(DTYPES[dtype].np)
    assert same_bits(array_from(ArrayType(dtype, array.shape), elements(array)), array)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_ends_of_a_float_format_come_back(dtype: str) -> None:
    d = DTYPES[dtype]
    ends = np.array([d.eta, -d.eta, 2.0**d.emin, d.max, -d.max, 0.0, -0.0, math.inf, -math.inf], np.float64)
    array = ends.astype(d.np)
    assert (array.astype(np.float64) == ends).all()
    assert same_bits(array_from(ArrayType(dtype, array.shape), elements(array)), array)


@pytest.mark.parametrize("dtype", dtypes_of("integral"))
def test_the_ends_of_an_integer_dtype_come_back(dtype: str) -> None:
    info = np.iinfo(DTYPES[dtype].np.type)
    array = np.array([info.min, info.max], DTYPES[dtype].np)
    assert elements(array) == [info.min, info.max]
    assert same_bits(array_from(ArrayType(dtype, (2,)), elements(array)), array)


def test_floats_print_as_short_hex_and_nan_as_bits() -> None:
    values = np.array([0.0, -0.0, 1.0, -1.5, 0.1, math.inf, -math.inf, math.nan], np.float32)
    assert elements(values) == [
        "0x0p+0", "-0x0p+0", "0x1p+0", "-0x1.8p+0", "0x1.99999ap-4", "inf", "-inf", "nan:0x7fc00000"
    ]  # fmt: skip  # one row
    assert elements(np.array([5e-324])) == ["0x0.0000000000001p-1022"]
    assert elements(np.array([True, False])) == [True, False]


def test_a_program_prints_as_the_design_shows_it() -> None:
    b = Builder()
    x = b.input(np.array([[1.0, -0.0]], np.float32))
    y = b.apply("sum", b.apply("permute_dims", x, axes=(1, 0)), axis=None, keepdims=False)
    assert print_program(b.returns(y, x), data=True, note={1: "simulated:0", 2: ""}.__getitem__) == (
        "program(v0: float32[1,2] = data('0x1p+0', '-0x0p+0'))\n"
        "  v1: float32[2,1] = permute_dims v0, axes=(1, 0)  # simulated:0\n"
        "  v2: float32[] = sum v1, axis=None, keepdims=False\n"
        "  return v2, v0"
    )


def test_a_window_shows_two_lines_on_each_side_of_the_marked_one() -> None:
    b = Builder()
    v = b.input(np.zeros(1, np.int8))
    for _ in range(6):
        v = b.apply("abs", v)
    assert window(b.returns(v), 5) == "\n".join(
        f"{'>' if i == 5 else ' '} v{i}: int8[1] = abs v{i - 1}" for i in (3, 4, 5, 6)
    )


# -------------------------------------------------------------------------------------------------- custom domains
@pytest.fixture
def softcap() -> Iterator[str]:
    """A custom op with the two domains that no built-in op has."""
    domains: dict[str, base.Domain] = {
        "cap": base.Range(1, 50),
        "mode": base.Choice("a # b", 'it\'s "so"\n', None, (1, (2.5, "x"))),
    }

    @defop("softcap_text", kinds=("real floating",), accuracy=base.ulps(4), attributes=domains)
    def softcap_text(x: ArrayType, *, cap: float, mode: object) -> ArrayType:
        return x

    @softcap_text.reference
    def _(x: Array, *, cap: float, mode: object) -> Array:
        return x

    yield "softcap_text"
    del OPS["softcap_text"]


def test_ranges_and_choices_of_a_custom_op_print_and_parse_back(softcap: str) -> None:
    rng = random.Random(5)
    for _ in range(40):
        program = random_program(rng, [softcap], 2)
        assert parse_program(print_program(program, data=True)) == program


def test_every_attribute_domain_has_a_check() -> None:
    assert set(ADMITS) == set(base.DOMAINS)


# ------------------------------------------------------------------------------------------------- refused elements
@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (1, "bool", "element [0] is 1 but should be true or false"),
        (True, "int8", "element [0] is True but should be an int"),
        (1.0, "int8", "element [0] is 1.0 but should be an int"),
        (128, "int8", "element [0] is 128, which int8 cannot hold"),
        (-1, "uint64", "element [0] is -1, which uint64 cannot hold"),
        (2**64, "uint64", "element [0] is 18446744073709551616, which uint64 cannot hold"),
        ("0x1p+0", "int8", "element [0] is '0x1p+0' but should be an int"),
        (1.0, "float32", "element [0] is 1.0 but should be a hex float such as '0x1.8p+0' or 'nan:0x...'"),
        ("1.5", "float32", "element [0] is '1.5' but should be a hex float such as '0x1.8p+0' or 'nan:0x...'"),
        ("nan", "float32", "element [0] is 'nan' but should be a hex float such as '0x1.8p+0' or 'nan:0x...'"),
        ("0x1p+99999", "float32", "element [0] is '0x1p+99999' but should be a hex float such as"),
        ("0x1.8p-1074", "float64", "element [0] is '0x1.8p-1074' but should be a hex float such as"),
        ("0x1.00000000000001p+0", "float64", "element [0] is '0x1.00000000000001p+0' but should be a hex float"),
        ("0x1p+1023", "float16", "element [0] is '0x1p+1023', which float16 cannot hold"),
        ("0x1.000001p+0", "bfloat16", "element [0] is '0x1.000001p+0', which bfloat16 cannot hold"),
        ("nan:0x7f800000", "float32", "element [0] is 'nan:0x7f800000' but those bits are not a NaN of float32"),
        ("nan:0x17fc00000", "float32", "element [0] is 'nan:0x17fc00000' but those bits are not a NaN of float32"),
        ("nan:-0x1", "float32", "element [0] is 'nan:-0x1' but should be a hex float"),
        (
            "x" * 999,
            "float32",
            "element [0] is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... but should be",
        ),
    ],
)
def test_an_element_that_is_not_exact_is_refused(value: object, dtype: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is asserted below
        parse_element(value, dtype)
    assert str(caught.value).startswith(message)


# ------------------------------------------------------------------------------------------------------ refused text
HEAD = "program(v0: int8[2] = data(1, 2), v1: float32[2] = data('0x1p+0', 'inf'))\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text is empty but should start with program(...)"),
        ("\n # only a comment\n", "text is empty but should start with program(...)"),
        ("\n\nprogramme()", "text should start with program(v0: float32[2], ...) [line 3: programme()]"),
        ("program(v0: int8[2])\n return v0", "v0: there is no data; print with data=True or give inputs="),
        ("program(v1: int8[0] = data())\n return v0", "input is 'v1: int8[0] = data()' but should look like v0: float"),
        ("program(v0: int8[2] = data(1))\n return v0", "v0: int8[2] has 2 elements but got 1 [line 1:"),
        ("program(v0: int8[1] = data('a'))\n return v0", "v0: element [0] is 'a' but should be an int [line 1:"),
        ("program(v0: int8[1] = data(1 +))\n return v0", "v0: '1 +' is no list of literals: invalid syntax [line 1:"),
        ("program(v0: int8[1] = data(a=1))\n return v0", "v0: data is 'a=1' but should be elements [line 1:"),
        ("program(v0: int99[0] = data())\n return v0", "v0: dtype is 'int99' but should be one of bool, int8"),
        ("program(v0: int8[,] = data())\n return v0", "input is 'v0: int8[,] = data()' but should look like"),
        (HEAD, "text has no return line but should end in return v... [line 1: program("),
        (HEAD + "  v2: int8[2] = abs v0", "text has no return line but should end in return v... [line 2: v2: int8[2]"),
        (HEAD + "\n  return v2", "text returns v2 but should return one of v0..v1 [line 3: return v2]"),
        (HEAD + "  return", "values are '' but should look like v1, v2 [line 2: return]"),
        (HEAD + "  return v0 v1", "values are 'v0 v1' but should look like v1, v2 [line 2: return v0 v1]"),
        (HEAD + "  return v0\n  return v1", "text goes on after return [line 3: return v1]"),
        (HEAD + "  v3: int8[2] = abs v0\n", "line should look like v2: float32[2] = add v0, v1 [line 2: v3: int8[2]"),
        (HEAD + "  v2: int8[3] = abs v0", "v2 has type int8[3] but should be int8[2] [line 2: v2: int8[3] = abs v0]"),
        (HEAD + "  v2: int8[-1] = abs v0", "type is 'int8[-1]' but should look like float32[2,3] [line 2:"),
        (HEAD + "  v2: int8[2] = abss v0", "op is 'abss' but should be one of "),
        (HEAD + "  v2: int8[2] = abs v9", "operand is v9 but should be one of v0..v1 [line 2: v2: int8[2] = abs v9]"),
        (HEAD + "  v2: int8[2] = abs", "abs takes 1 operands but got 0 [line 2: v2: int8[2] = abs]"),
        (HEAD + "  v2: int8[2] = abs v0, v1", "abs takes 1 operands but got 2 [line 2:"),
        (
            HEAD + "  v2: int8[2] = abs v0, 5",
            "attributes are '5' but should look like axis=1, keepdims=False, each once",
        ),
        (HEAD + "  v2: int8[2] = abs v0, axis=1", "abs takes attributes () but got (axis) [line 2:"),
        (HEAD + "  v2: int8[2] = add v0, v1", "int8 and float32 do not promote; insert an astype [line 2:"),
        (HEAD + "  v2: int64[] = sum v0, axis=0", "sum has axis=0 but should have None or a tuple of ints [line 2:"),
        (HEAD + "  v2: int64[] = sum v0, keepdims=True", "sum takes attributes (axis, keepdims) but got (keepdims) ["),
        (HEAD + "  v2: int8[2] = flip v0, axis=0", "flip has axis=0 but should have None or a tuple of ints [line 2:"),
        (HEAD + "  v2: int8[2] = flip v0, axis=(0,), axis=(0,)", "attributes are 'axis=(0,), axis=(0,)' but should"),
        (HEAD + "  v2: int8[2] = flip v0, axis=(0,)) + f(1", "'axis=(0,)) + f(1' is no list of literals [line 2:"),
        (HEAD + "  v2: int8[2] = flip v0, axis=(0,", "'axis=(0,' is no list of literals: "),
        (
            HEAD + "  v2: int8[2] = flip v0, **{'axis': None}",
            "attributes are \"**{'axis': None}\" but should look like",
        ),
        (
            HEAD + "  v2: int8[2] = flip v0, axis=open('x')",
            "axis is no literal; write numbers, strings, True, False, None or tuples [line 2:",
        ),
        (HEAD + "  v2: int8[2] = astype v0, dtype=[1]", "astype has dtype=[1] but should have the name of a dtype"),
        (HEAD + "  v2: int64[] = sum v0, axis=None, keepdims=1", "sum has keepdims=1 but should have True or False"),
        (HEAD + "  v2: int8[2] = sort v0, axis=True", "sort has axis=True but should have an int [line 2:"),
        (HEAD + "  v2: int8[2] = sort v0, axis=2", "axis is 2 but should be in [-1, 1) [line 2:"),
    ],
)
def test_malformed_text_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidProgram) as caught:
        parse_program(text)
    assert str(caught.value).startswith(message)


HOSTILE = [
    "program(v0: int8[" + "9" * 5000 + "] = data())\n return v0",
    "program(v0: int8[999999999999999999,999999999999999999] = data())\n return v0",
    "program(v0: float32[1] = data(" + "-" * 100_000 + "1))\n return v0",
    "program(v0: float32[1] = data(0x" + "f" * 9000 + "))\n return v0",
    "program(v0: float32[1] = data(\0))\n return v0",
    "program(v0: float32[1] = data('0x1p+0'), " * 2000,
    "program(" + "(" * 50_000,
    "program(v" + "1" * 5000 + ": int8[0] = data())",
    HEAD + "v" + "2" * 5000 + ": int8[2] = abs v0",
    HEAD + "v2: int8[2] = abs v" + "0" * 5000,
    HEAD + "v2: int8[2] = sort v0, axis=" + "9" * 5000,
    HEAD + "v2: int8[2] = sort v0, axis=0x" + "f" * 9000,
    HEAD + "v2: int8[2] = sort v0, axis=" + "-" * 50_000 + "1",
    HEAD + "v2: int8[2] = sort v0, axis=" + "(" * 5_000,
    HEAD + "v2: int8[2] = sort v0, axis=0x1for x in y",
    HEAD + "v2: int8[2] = sort v0, axis='\\d'",
    HEAD + "v2: int8[2] = reshape v0, shape=(" + "1, " * 70 + "2)",
    HEAD + "v2: int8[2] = expand_dims v0, axis={1: 2}",
    HEAD + "v2: int8[2] = getitem v0, index=(({}, {}, {}),)",
    HEAD + "return v" + "1" * 5000,
    HEAD + "return " + "v0, " * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidProgram, match=r"\[line \d+: ") as caught:
            parse_program(text)
    assert len(str(caught.value)) < 500


def test_mutated_text_parses_or_is_refused() -> None:
    rng = random.Random(3)
    alphabet = "v0123456789:=,()[]'\"#\n -+.xpnaif\\\0é"
    for _ in range(1500):
        text = print_program(random_program(rng, size=2), data=True)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(("", rng.choice(alphabet), text[at] * 2)) + text[at + rng.randint(0, 2) :]
        message = refusal(text)
        assert message is None or "[line " in message or "text is empty" in message


def refusal(text: str) -> str | None:
    try:
        parse_program(text)
    except InvalidProgram as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float32[2,3", "type is 'float32[2,3' but should look like float32[2,3]"),
        ("float32", "type is 'float32' but should look like float32[2,3]"),
        ("float32[2,]", "type is 'float32[2,]' but should look like float32[2,3]"),
        ("float33[2]", "dtype is 'float33' but should be one of bool, int8, int16, int32, int64, uint8, uint16, "),
        ("int8[" + "1," * 64 + "1]", "shape has 65 axes but should have at most 64, as in NumPy"),
    ],
)
def test_a_type_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidProgram) as caught:
        parse_type(text)
    assert str(caught.value).startswith(message)


def test_inputs_that_do_not_fit_the_text_are_refused() -> None:
    text = "program(v0: int8[2])\n  return v0"
    with pytest.raises(InvalidProgram, match=r"^v0: the input given is int16\[2\] but should be int8\[2\] \[line 1: "):
        parse_program(text, [np.zeros(2, np.int16)])
    with pytest.raises(InvalidProgram, match=r"^2 inputs are given but the text names 1 \[line 1: "):
        parse_program(text, [np.zeros(2, np.int8)] * 2)
    with pytest.raises(InvalidProgram, match=r"^v0: array has dtype complex256 but should have one of bool"):
        parse_program(text, [np.zeros(2, np.clongdouble)])
