"""What a device promises about numbers, as data: accuracy per op, casts, accumulators, zero signs.

A contract is a TOML file; the shipped ones lie in `offload_fuzz/contracts/`, each figure with its source. A figure
that a contract does not state is the row's own default (`offload_fuzz.ops`). `union` joins contracts to the weakest
promise of each kind: what is lawful on either device is lawful under the union.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

from attrs import Factory, field, frozen

from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.types import DTYPES, is_floating

SECTIONS = (
    "name",
    "summary",
    "correctly_rounded",
    "either_zero",
    "ulps",
    "accumulator",
    "cast_through_float32",
    "flushed",
    "pow_by_root",
    "composite",
    "fast_convolution",
)

#: The row of `composite` that stands for every op without a row of its own.
EVERY = "every"


def _check_ulps(_: object, __: object, value: Mapping[str, Mapping[str, float]]) -> None:
    for op, table in value.items():
        for dtype, n in table.items():
            if dtype != "default" and dtype not in DTYPES:
                raise UsageError(f"contract gives ulps for {op}.{dtype} but {dtype} is not a dtype; use {list(DTYPES)}")
            if not isinstance(n, (int, float)) or not 0 <= n < 2**20:
                raise UsageError(f"contract gives {n!r} ulps for {op}.{dtype} but should give a number >= 0")


def _check_accumulator(_: object, __: object, value: Mapping[str, str]) -> None:
    for dtype, accumulator in value.items():
        for name in (dtype, accumulator):
            if name not in DTYPES or not is_floating(name):
                raise UsageError(f"contract names accumulator {dtype} = {accumulator!r}; both should be float dtypes")


@frozen
class Steps:
    """The number format in which the steps of a composite op are sure to be rounded; unit 0: wide, rounded once.

    unit: the relative error of one rounding. eta: the absolute error of a step that underflows. max: the
    largest number.
    """

    unit: float
    eta: float
    max: float


#: Steps that are computed wide.
WIDE = Steps(0.0, 0.0, float("inf"))


@frozen(eq=False)
class Contract:
    """The accuracy that a device promises.

    correctly_rounded: ops beyond + - * whose result is the correctly rounded one.
    either_zero: ops whose exact zero result may have either sign.
    ulps: op -> dtype (or "default") -> bound on the error, in units in the last place of the exact result.
    accumulator: dtype -> the narrowest float dtype in which sums of it are kept; its own dtype if not stated.
    cast_through_float32: pairs "source->target" whose conversion may round to float32 first.
    flushed: op -> dtypes of which it may take subnormal operands and results as zero.
    pow_by_root: dtypes in which pow(x, 0.5) may be sqrt(x), so that pow(-inf, 0.5) may be NaN.
    composite: op -> dtype (or "default") -> how many times the bound of its rule, in units of the accumulator, each
        step of a composite op may be off; 0: its steps are computed wide and the result is rounded once.
    fast_convolution: dtype -> error of convolutions by Winograd's or an FFT algorithm or on inputs rounded to TF32, in
        units of the dtype, relative to the largest |x| of a channel times the sum of |weight|; not stated where sums
        are direct.
    members: the contracts that this one is the union of.
    """

    name: str
    correctly_rounded: frozenset[str] = frozenset()
    either_zero: frozenset[str] = frozenset()
    ulps: Mapping[str, Mapping[str, float]] = field(default=Factory(dict), validator=_check_ulps)
    accumulator: Mapping[str, str] = field(default=Factory(dict), validator=_check_accumulator)
    cast_through_float32: frozenset[str] = frozenset()
    flushed: Mapping[str, frozenset[str]] = field(factory=dict)
    pow_by_root: frozenset[str] = frozenset()
    composite: Mapping[str, Mapping[str, float]] = field(default=Factory(dict), validator=_check_ulps)
    fast_convolution: Mapping[str, float] = field(factory=dict)
    members: tuple[Contract, ...] = ()

    def ulps_of(self, op: str, dtype: str, default: float) -> float:
        """The bound for `op` on `dtype` in ulps: the contract's, or the row's `default`."""
        if self.members:
            return max(m.ulps_of(op, dtype, default) for m in self.members)
        table = self.ulps.get(op)
        if table is None:
            return default
        return table.get(dtype, table.get("default", default))

    def steps_of(self, op: str, dtype: str) -> Steps:
        """The format of the steps of composite `op` on `dtype`."""
        if self.members:
            found = [m.steps_of(op, dtype) for m in self.members]
            return Steps(max(s.unit for s in found), max(s.eta for s in found), min(s.max for s in found))
        table = self.composite.get(op) or self.composite.get(EVERY, {})
        factor = table.get(dtype, table.get("default", 1.0))
        if not factor:
            return WIDE
        d = DTYPES[self.accumulator_of(dtype)]
        eta = 2.0 * max(2.0**d.emin, 2.0 ** DTYPES[dtype].emin) if self.flushes(op, dtype) else d.eta
        return Steps(factor * d.unit, factor * eta, d.max)

    def flushes(self, op: str, dtype: str) -> bool:
        """Whether `op` may take subnormal operands and results of `dtype` as zero."""
        return dtype in self.flushed.get(op, ())

    def accumulator_of(self, dtype: str) -> str:
        """The narrowest float dtype in which sums of `dtype` are kept."""
        return self.accumulator.get(dtype, dtype)


def _weaker(a: Contract, b: Contract) -> Contract:
    if a is b:
        return a
    narrow = {
        d: min(a.accumulator_of(d), b.accumulator_of(d), key=lambda n: DTYPES[n].precision)
        for d in DTYPES
        if is_floating(d)
    }
    return Contract(
        f"{a.name}|{b.name}",
        a.correctly_rounded & b.correctly_rounded,
        a.either_zero | b.either_zero,
        {},
        narrow,
        a.cast_through_float32 | b.cast_through_float32,
        {op: a.flushed.get(op, frozenset()) | b.flushed.get(op, frozenset()) for op in {*a.flushed, *b.flushed}},
        a.pow_by_root | b.pow_by_root,
        {},
        {
            d: max(a.fast_convolution.get(d, 0.0), b.fast_convolution.get(d, 0.0))
            for d in {*a.fast_convolution, *b.fast_convolution}
        },
        (*(a.members or (a,)), *(b.members or (b,))),
    )


def union(contracts: Iterable[Contract]) -> Contract:
    """The weakest promise of each kind over `contracts`."""
    return reduce(_weaker, contracts)


def parse_contract(text: str, where: str) -> Contract:
    """A contract from TOML `text`; raises `UsageError` naming `where` and what should be different."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"contract is not TOML but should be: {error} [{where}]") from None
    for key in data:
        if key not in SECTIONS:
            raise one_of("contract section", key, SECTIONS, where)
    try:
        return Contract(
            str(data["name"]),
            frozenset(data.get("correctly_rounded", {}).get("ops", ())),
            frozenset(data.get("either_zero", {}).get("ops", ())),
            {op: {k: v for k, v in row.items() if k != "source"} for op, row in data.get("ulps", {}).items()},
            {k: v for k, v in data.get("accumulator", {}).items() if k != "source"},
            frozenset(data.get("cast_through_float32", {}).get("casts", ())),
            {op: frozenset(dtypes) for op, dtypes in data.get("flushed", {}).items() if op != "source"},
            frozenset(data.get("pow_by_root", {}).get("dtypes", ())),
            {op: {k: v for k, v in row.items() if k != "source"} for op, row in data.get("composite", {}).items()},
            {k: float(v) for k, v in data.get("fast_convolution", {}).items() if k != "source"},
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"contract has a section of the wrong form ({error}) [{where}]; see docs/contract.md"
        ) from None


@cache
def shipped_contracts() -> tuple[str, ...]:
    """The names of the contracts that come with the package."""
    found = files("offload_fuzz.contracts").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in found if f.name.endswith(".toml")))


@cache
def contract_named(name: str) -> Contract:
    """A shipped contract by name, or one read from a `.toml` path; raises `UsageError` if there is none."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"contract file {name} does not exist; give a path or one of {shipped_contracts()}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"contract file {name} cannot be read as UTF-8 text: {error}") from None
        return parse_contract(text, name)
    if name not in shipped_contracts():
        raise one_of("contract", name, shipped_contracts(), "contract")
    return parse_contract((files("offload_fuzz.contracts") / f"{name}.toml").read_text(encoding="utf-8"), name)


def contract_of(value: Any) -> Contract:
    """A contract given as a `Contract`, a name or a path."""
    return value if isinstance(value, Contract) else contract_named(str(value))
