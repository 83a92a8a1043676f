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
from math import inf
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
    "spreading",
    "saturating_casts",
    "absolute",
    "infinite_beyond",
    "nan_answers",
    "compiled",
    "reciprocal_division",
)
#: What a compiler may do across the ops of a compiled region, unless the contract excludes it.
LIBERTIES = ("contraction", "excess precision", "reassociation")
#: Ops that reassociation joins with their like.
REASSOCIATED = frozenset(
    {"add", "subtract", "multiply", "divide", "square", "negative", "sum", "mean", "prod", "matmul"}
)


def _check_ulps(_: object, attribute: Any, value: Mapping[str, Mapping[str, float]]) -> None:
    what = attribute.name.replace("_", " ")
    for op, table in value.items():
        for dtype, n in table.items():
            if dtype != "default" and dtype not in DTYPES:
                raise UsageError(
                    f"contract gives {what} for {op}.{dtype} but {dtype} is not a dtype; use {list(DTYPES)}"
                )
            if not isinstance(n, (int, float)) or not 0 <= n < 2**20:
                raise UsageError(f"contract gives {n!r} {what} for {op}.{dtype} but should give a number >= 0")


def _check_answers(_: object, __: object, value: Mapping[str, frozenset[float]]) -> None:
    for op, numbers in value.items():
        if not all(type(n) in (int, float) for n in numbers):
            raise UsageError(
                f"contract gives nan_answers {sorted(map(repr, numbers))} for {op} but should give numbers"
            )


def _check_accumulator(_: object, __: object, value: Mapping[str, str]) -> None:
    for dtype, accumulator in value.items():
        for name in (dtype, accumulator):
            if name not in DTYPES or not is_floating(name):
                raise UsageError(f"contract names accumulator {dtype} = {accumulator!r}; both should be float dtypes")


@frozen(eq=False)
class Contract:
    """The accuracy that a device promises.

    correctly_rounded: ops beyond + - * whose result is the correctly rounded one.
    either_zero: ops whose exact zero result may have either sign; "add:complex" is add of complex numbers.
    spreading: ops in which an infinity or NaN in one component of a complex number may make the other component NaN.
    saturating_casts: dtypes of which a conversion beyond the largest number may give that number.
    ulps: op -> dtype (or "default") -> bound on the error, in units in the last place of the exact result.
    accumulator: dtype -> the narrowest float dtype in which sums of it are kept; its own dtype if not stated.
    cast_through_float32: pairs "source->target" whose conversion may round to float32 first.
    flushed: op (or "*": every op not named, but data movement) -> dtypes of which it may take subnormal operands and
        results as zero.
    pow_by_root: dtypes in which pow(x, 0.5) may be sqrt(x), so that pow(-inf, 0.5) may be NaN.
    compiled_excludes: which of `LIBERTIES` a compiler does not take in a region of ops compiled together.
    compiled_rewrites: pairs "op>op", a producer and its user, that it replaces by something with other roundings.
    absolute: op -> dtype (or "default") -> an absolute error that comes on top of the ulps.
    infinite_beyond: op -> dtype (or "default") -> the size of the argument beyond which the result may be infinite.
    nan_answers: op -> numbers that it may give where the first operand is NaN.
    reciprocal_division: dtypes in which x / y may be x * (1 / y), of which the reciprocal may underflow.
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
    spreading: frozenset[str] = frozenset()
    saturating_casts: frozenset[str] = frozenset()
    compiled_excludes: frozenset[str] = frozenset()
    compiled_rewrites: frozenset[str] = frozenset()
    absolute: Mapping[str, Mapping[str, float]] = field(default=Factory(dict), validator=_check_ulps)
    infinite_beyond: Mapping[str, Mapping[str, float]] = field(default=Factory(dict), validator=_check_ulps)
    nan_answers: Mapping[str, frozenset[float]] = field(default=Factory(dict), validator=_check_answers)
    members: tuple[Contract, ...] = ()
    reciprocal_division: frozenset[str] = frozenset()

    def ulps_of(self, op: str, dtype: str, default: float) -> float:
        """The bound for `op` on `dtype` in ulps: the contract's, or the row's `default`."""
        if self.members:
            return max(m.ulps_of(op, dtype, default) for m in self.members)
        table = self.ulps.get(op)
        if table is None:
            return default
        return table.get(dtype, table.get("default", default))

    def absolute_of(self, op: str, dtype: str) -> float:
        """The absolute error of `op` on `dtype` that comes on top of the ulps."""
        if self.members:
            return max(m.absolute_of(op, dtype) for m in self.members)
        table = self.absolute.get(op, {})
        return table.get(dtype, table.get("default", 0.0))

    def infinite_beyond_of(self, op: str, dtype: str) -> float:
        """The magnitude of the argument beyond which `op` may give infinity; inf where it may not."""
        if self.members:
            return min(m.infinite_beyond_of(op, dtype) for m in self.members)
        table = self.infinite_beyond.get(op, {})
        return table.get(dtype, table.get("default", inf))

    def flushes(self, op: str, dtype: str) -> bool:
        """Whether `op` may take subnormal operands and results of `dtype` as zero."""
        return dtype in self.flushed_by(op)

    def flushed_by(self, op: str) -> frozenset[str]:
        """The dtypes of which `op` may take subnormal operands and results as zero."""
        found = self.flushed.get(op)
        return self.flushed.get("*", frozenset()) if found is None else found

    @property
    def contracts_inside(self) -> bool:
        """Whether a product may reach the sum that uses it unrounded, inside a compiled region."""
        return "contraction" not in self.compiled_excludes

    @property
    def keeps_excess_inside(self) -> bool:
        """Whether any value may be used unrounded inside a compiled region."""
        return "excess precision" not in self.compiled_excludes

    def rewrites(self, producer: str, user: str) -> bool:
        """Whether `user` of what `producer` made may be computed in a way that no bound covers."""
        if f"{producer}>{user}" in self.compiled_rewrites:
            return True
        return "reassociation" not in self.compiled_excludes and {producer, user} <= REASSOCIATED

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
        {op: a.flushed_by(op) | b.flushed_by(op) for op in {*a.flushed, *b.flushed}},
        a.pow_by_root | b.pow_by_root,
        a.spreading | b.spreading,
        a.saturating_casts | b.saturating_casts,
        a.compiled_excludes & b.compiled_excludes,
        a.compiled_rewrites | b.compiled_rewrites,
        {},
        {},
        {
            op: a.nan_answers.get(op, frozenset()) | b.nan_answers.get(op, frozenset())
            for op in {*a.nan_answers, *b.nan_answers}
        },
        (*(a.members or (a,)), *(b.members or (b,))),
        a.reciprocal_division | b.reciprocal_division,
    )


def union(contracts: Iterable[Contract]) -> Contract:
    """The weakest promise of each kind over `contracts`."""
    return reduce(_weaker, contracts)


def _figures(data: Mapping[str, Any], section: str) -> dict[str, dict[str, float]]:
    """A section of figures per op and dtype, their sources left out."""
    rows = {op: row for op, row in data.get(section, {}).items() if op != "source"}
    return {op: {k: v for k, v in row.items() if k != "source"} for op, row in rows.items()}


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
            _figures(data, "ulps"),
            {k: v for k, v in data.get("accumulator", {}).items() if k != "source"},
            frozenset(data.get("cast_through_float32", {}).get("casts", ())),
            {op: frozenset(dtypes) for op, dtypes in data.get("flushed", {}).items() if op != "source"},
            frozenset(data.get("pow_by_root", {}).get("dtypes", ())),
            frozenset(data.get("spreading", {}).get("ops", ())),
            frozenset(data.get("saturating_casts", {}).get("dtypes", ())),
            _liberties(data.get("compiled", {}).get("excludes", ()), where),
            frozenset(data.get("compiled", {}).get("rewrites", ())),
            _figures(data, "absolute"),
            _figures(data, "infinite_beyond"),
            {op: frozenset(v) for op, v in data.get("nan_answers", {}).items() if op != "source"},
            reciprocal_division=frozenset(data.get("reciprocal_division", {}).get("dtypes", ())),
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise UsageError(
            f"contract has a section of the wrong form ({error}) [{where}]; see docs/contract.md"
        ) from None


def _liberties(names: Iterable[str], where: str) -> frozenset[str]:
    for name in names:
        if name not in LIBERTIES:
            raise one_of("excluded liberty", name, LIBERTIES, f"{where}, compiled")
    return frozenset(names)


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
