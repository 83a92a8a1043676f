"""What a device promises about numbers, as data: accuracy per op, casts, accumulators, zero signs.

A contract is a TOML file (`offload_fuzz.contract_files`); the shipped ones lie in `offload_fuzz/contracts/`, each
figure with its source. A figure that a contract does not state is the row's own default (`offload_fuzz.ops`). `union`
joins contracts to the weakest promise of each kind: what is lawful on either device is lawful under the union.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from math import inf
from typing import Any, TypeAlias

from attrs import Factory, field, fields, frozen

from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.types import DTYPES, is_floating

#: What a compiler may do across the ops of a compiled region, unless the contract excludes it.
LIBERTIES = ("contraction", "excess precision", "reassociation")
#: Ops that reassociation joins with their like.
REASSOCIATED = frozenset(
    ["add", "subtract", "multiply", "divide", "square", "negative", "sum", "mean", "prod", "matmul"]
)
#: How var and std may be computed, the weaker last.
VARIANCES = ("two-pass", "one-pass")
#: The row of `composite` that stands for every op without a row of its own.
EVERY = "every"

Figures: TypeAlias = Mapping[str, Mapping[str, float]]
PerOp: TypeAlias = Mapping[str, frozenset[Any]]


# ------------------------------------------------------------------------------------------ kinds of sections of a file
def _without_source(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != "source"}


def named(key: str, join: Callable[[Any, Any], Any] = operator.or_, section: str = "", validator: Any = None) -> Any:
    """A set of names, listed under `key` of its section; a union has those of either contract, or `join`."""
    meta = {"read": lambda row: frozenset(row.get(key, ())), "join": join, "section": section}
    return field(default=frozenset(), metadata=meta, validator=validator)


def figures() -> Any:
    """op -> dtype (or "default") -> a number; a union looks it up in its members."""
    meta = {
        "read": lambda row: {op: _without_source(table) for op, table in row.items() if op != "source"},
        "join": lambda a, b: {},
    }
    return field(default=Factory(dict), metadata=meta, validator=_check_figures)


def per_op(validator: Any = None) -> Any:
    """op -> names or numbers; a union has those of either contract."""

    def join(a: PerOp, b: PerOp) -> PerOp:
        return {op: a.get(op, frozenset()) | b.get(op, frozenset()) for op in {*a, *b}}

    meta = {"read": lambda row: {op: frozenset(v) for op, v in row.items() if op != "source"}, "join": join}
    return field(default=Factory(dict), metadata=meta, validator=validator)


# --------------------------------------------------------------------------------------------------------------- checks
def _check_figures(_: object, attribute: Any, value: Figures) -> None:
    what = attribute.name.replace("_", " ")
    for op, table in value.items():
        for dtype, n in table.items():
            if dtype != "default" and dtype not in DTYPES:
                raise UsageError(
                    f"contract gives {what} for {op}.{dtype} but {dtype} is not a dtype; use {list(DTYPES)}"
                )
            if not isinstance(n, (int, float)) or not 0 <= n < 2**20:
                raise UsageError(f"contract gives {n!r} {what} for {op}.{dtype} but should give a number >= 0")


def _check_answers(_: object, __: object, value: PerOp) -> None:
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


def _check_variance(_: object, __: object, value: str) -> None:
    if value not in VARIANCES:
        raise one_of("variance", value, VARIANCES, "contract")


def _check_liberties(_: object, __: object, value: frozenset[str]) -> None:
    for name in value:
        if name not in LIBERTIES:
            raise one_of("excluded liberty", name, LIBERTIES, "contract, compiled")


def _narrower(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Per dtype the accumulator of fewer digits."""
    dtypes = [d for d in DTYPES if is_floating(d)]
    return {d: min(a.get(d, d), b.get(d, d), key=lambda n: DTYPES[n].precision) for d in dtypes}


def _larger(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {d: max(a.get(d, 0.0), b.get(d, 0.0)) for d in {*a, *b}}


def _flushed_by_either(a: PerOp, b: PerOp) -> PerOp:
    return {op: _flushed_by(a, op) | _flushed_by(b, op) for op in {*a, *b}}


def _flushed_by(table: PerOp, op: str) -> frozenset[str]:
    found = table.get(op, table.get(op.removesuffix(":complex")))
    return table.get("*", frozenset()) if found is None else found


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
WIDE = Steps(0.0, 0.0, inf)


@frozen(eq=False)
class Contract:
    """The accuracy that a device promises; each field but `members` is a section of a file, or a key of one.

    correctly_rounded: ops beyond + - * whose result is the correctly rounded one.
    either_zero: ops whose exact zero result may have either sign; "add:complex" is add of complex numbers.
    ulps: op -> dtype (or "default") -> bound on the error, in units in the last place of the exact result.
    accumulator: dtype -> the narrowest float dtype in which sums of it are kept; its own dtype if not stated.
    cast_through_float32: pairs "source->target" whose conversion may round to float32 first.
    flushed: op (or "*": every op not named, but data movement) -> dtypes of which it may take subnormal operands and
        results as zero; of complex numbers those of the components, for "abs:complex" where that row differs.
    pow_by_root: dtypes in which pow(x, 0.5) may be sqrt(x), so that pow(-inf, 0.5) may be NaN.
    reciprocal_division: dtypes in which x / y may be x * (1 / y), of which the reciprocal may underflow.
    spreading: ops in which an infinity or NaN in one component of a complex number may make the other component NaN.
    saturating_casts: dtypes of which a conversion beyond the largest number may give that number.
    absolute: op -> dtype (or "default") -> an absolute error that comes on top of the ulps.
    infinite_beyond: op -> dtype (or "default") -> the size of the argument beyond which the result may be infinite.
    nan_answers: op -> numbers that it may give where the first operand is NaN.
    nan_payload: op that moves data -> dtypes of which it may give another NaN for a NaN.
    variance: "two-pass" if var subtracts the mean first, "one-pass" (if not stated) if it may not.
    composite: op -> dtype (or "default") -> how many times the bound of its rule, in units of the accumulator, each
        step of a composite op may be off; 0: its steps are computed wide and the result is rounded once.
    fast_convolution: dtype -> error of convolutions by Winograd's or an FFT algorithm or on inputs rounded to TF32, in
        units of the dtype, relative to the largest |x| of a channel times the sum of |weight|; not stated where sums
        are direct.
    compiled_excludes: which of `LIBERTIES` a compiler does not take in a region of ops compiled together.
    compiled_rewrites: pairs "op>op", a producer and its user, that it replaces by something with other roundings.
    members: the contracts that this one is the union of.
    """

    name: str
    correctly_rounded: frozenset[str] = named("ops", operator.and_)
    either_zero: frozenset[str] = named("ops")
    ulps: Figures = figures()
    accumulator: Mapping[str, str] = field(
        default=Factory(dict), validator=_check_accumulator, metadata={"read": _without_source, "join": _narrower}
    )
    cast_through_float32: frozenset[str] = named("casts")
    flushed: PerOp = field(default=Factory(dict), metadata={**per_op().metadata, "join": _flushed_by_either})
    pow_by_root: frozenset[str] = named("dtypes")
    reciprocal_division: frozenset[str] = named("dtypes")
    spreading: frozenset[str] = named("ops")
    saturating_casts: frozenset[str] = named("dtypes")
    absolute: Figures = figures()
    infinite_beyond: Figures = figures()
    nan_answers: PerOp = per_op(_check_answers)
    nan_payload: PerOp = per_op()
    variance: str = field(
        default=VARIANCES[-1],
        validator=_check_variance,
        metadata={
            "read": lambda row: row.get("algorithm", VARIANCES[-1]),
            "join": lambda a, b: max(a, b, key=VARIANCES.index),
        },
    )
    composite: Figures = figures()
    fast_convolution: Mapping[str, float] = field(
        default=Factory(dict),
        metadata={"read": lambda row: {d: float(n) for d, n in _without_source(row).items()}, "join": _larger},
    )
    compiled_excludes: frozenset[str] = named("excludes", operator.and_, "compiled", _check_liberties)
    compiled_rewrites: frozenset[str] = named("rewrites", section="compiled")
    members: tuple[Contract, ...] = ()

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
        return dtype in self.flushed_by(op)

    def flushed_by(self, op: str) -> frozenset[str]:
        """The dtypes of which `op` may take subnormal operands and results as zero."""
        return _flushed_by(self.flushed, op)

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


#: The fields that are read from a file and joined, with how; the section is the field's name unless it says another.
PROMISES = tuple(f for f in fields(Contract) if "read" in f.metadata)


def section_of(promise: Any) -> str:
    """The section of a file in which a promise is stated."""
    return str(promise.metadata.get("section") or promise.name)


def _weaker(a: Contract, b: Contract) -> Contract:
    if a is b:
        return a
    joined = {f.name: f.metadata["join"](getattr(a, f.name), getattr(b, f.name)) for f in PROMISES}
    members = (*(a.members or (a,)), *(b.members or (b,)))
    return Contract(f"{a.name}|{b.name}", **joined, members=members)


def union(contracts: Iterable[Contract]) -> Contract:
    """The weakest promise of each kind over `contracts`."""
    return reduce(_weaker, contracts)
