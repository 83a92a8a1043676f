"""Contracts: the union is the weakest promise of each kind; files are checked; flushed subnormals join zero."""

from __future__ import annotations

import numpy as np
import pytest

from offload_fuzz.contract import Contract, union
from offload_fuzz.contract_files import contract_named, parse_contract, shipped_contracts
from offload_fuzz.enclosure import Enclosure, exact
from offload_fuzz.errors import UsageError
from offload_fuzz.ops import OPS
from offload_fuzz.ops.base import Application
from offload_fuzz.reference import quiet
from offload_fuzz.types import ArrayType

TIGHT = Contract("tight", frozenset({"divide", "sqrt"}), frozenset(), {"exp": {"float32": 1}}, {"float16": "float32"})
LOOSE = Contract("loose", frozenset({"divide"}), frozenset({"max"}), {"log": {"default": 9}}, {"float16": "float16"})


def test_a_union_promises_what_all_of_them_promise() -> None:
    both = union([TIGHT, LOOSE])
    assert both.correctly_rounded == {"divide"}
    assert both.either_zero == {"max"}
    assert both.accumulator_of("float16") == "float16"


def test_a_union_takes_the_default_of_the_row_where_one_is_silent() -> None:
    both = union([TIGHT, LOOSE])
    assert both.ulps_of("exp", "float32", 4) == 4
    assert both.ulps_of("log", "float32", 4) == 9
    assert union([TIGHT, TIGHT]).ulps_of("exp", "float32", 4) == 1


def test_every_shipped_contract_is_read() -> None:
    assert {"ieee", "numpy", "simulated", "torch-cpu"} <= set(shipped_contracts())
    for name in shipped_contracts():
        assert contract_named(name).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "contract is not TOML but should be"),
        ('name = "x"\n[ulp.exp]\ndefault = 1', "did you mean 'ulps'?"),
        ('name = "x"\n[ulps.exp]\nfloat31 = 1', "float31 is not a dtype"),
        ('name = "x"\n[ulps.exp]\nfloat32 = -1', "should give a number >= 0"),
        ('name = "x"\n[accumulator]\nfloat32 = "int8"', "both should be float dtypes"),
        ("[ulps.exp]\ndefault = 1", "section of the wrong form"),
    ],
)
def test_a_bad_contract_says_what_it_should_be(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_contract(text, "mine.toml")
    assert message in str(error.value)


def product(x: list[float], y: list[float], contract: Contract) -> Enclosure:
    a, b = np.array([x], np.float32), np.array([[v] for v in y], np.float32)
    type = ArrayType("float32", (1, 1))
    with quiet():
        _, e = OPS["matmul"].enclose(Application(OPS["matmul"], [exact(a), exact(b)], [a, b], {}, type, contract))
    assert e is not None
    return e


def test_flushed_subnormals_may_count_as_zero_and_only_where_the_contract_says_so() -> None:
    flushing = Contract("flushing", flushed={"matmul": frozenset({"float32"})})
    zero, kept = np.zeros((1, 1), np.float32), np.full((1, 1), 1e-40, np.float32)
    for x, y in (([1e-40, 0.0], [1.0, 1.0]), ([1e-20, 0.0], [1e-20, 1.0])):
        assert product(x, y, flushing).contains(zero).all()
        assert product(x, y, flushing).contains(kept).all()
        assert not product(x, y, Contract("plain")).contains(zero).all()
    assert product([1.0, 2.0], [3.0, 4.0], flushing).contains(np.full((1, 1), 11, np.float32)).all()
    assert not product([1.0, 2.0], [3.0, 4.0], flushing).contains(np.full((1, 1), 11.000001, np.float32)).all()


def test_the_nan_of_a_root_is_lawful_only_where_the_contract_says_so() -> None:
    x, y = np.array([-np.inf, -0.0], np.float32), np.array([0.5, 0.5], np.float32)
    op, type = OPS["pow"], ArrayType("float32", (2,))
    nan, inf = np.array([np.nan, 0], np.float32), np.array([np.inf, 0], np.float32)
    for contract, lawful in ((contract_named("ieee"), False), (contract_named("numpy"), True)):
        with quiet():
            _, e = op.enclose(Application(op, [exact(x), exact(y)], [x, y], {}, type, contract))
        assert e is not None
        assert e.contains(inf)[0]
        assert bool(e.contains(nan)[0]) == lawful
