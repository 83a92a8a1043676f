"""What an op is: a row of type rule, NumPy meaning, enclosure rule, attribute domains and operand needs.

`elementwise.row` makes an op of an ordinary shape from a NumPy function, `shaped` one from a decorated type rule, and
`custom.defop` is what users write. All put it into `OPS`, the one table that generation, reference, printing and the
adapters read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, field, frozen

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.errors import InvalidProgram, UsageError, one_of, require
from offload_fuzz.ops import shape_domains
from offload_fuzz.ops.flushing import flushing, losing_payloads
from offload_fuzz.types import KINDS, Array, ArrayType, dtypes_of, promote

TypeRule: TypeAlias = Callable[..., ArrayType]
NumpyMeaning: TypeAlias = Callable[..., Any]


# ---------------------------------------------------------------------------------------------- attribute domains
@frozen
class Axis:
    """One axis, -ndim <= axis < ndim; with `optional`, None stands for all."""

    optional: bool = False


@frozen
class Axes:
    """None or a tuple of distinct axes."""


@frozen
class Bool:
    """True or False; False is the plain one."""


@frozen
class Range:
    """A number from `lo` to `hi`, ints if both are ints; `lo` is the plain one."""

    lo: float
    hi: float


class Choice:
    """One of `values`; the first is the plain one."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"


@frozen
class DTypeName:
    """The name of a dtype."""


@frozen
class SameWidthDType:
    """The name of a numeric dtype as wide as the operand's."""


@frozen
class SameSizeShape:
    """A shape of as many elements as the operand has."""


@frozen
class BroadcastShape:
    """A shape to which the operand broadcasts."""


@frozen
class Permutation:
    """A tuple with every axis once."""


@frozen
class UnitAxes:
    """A tuple of distinct axes of length 1."""


@frozen
class NewAxis:
    """A place for a new axis, -ndim-1 <= axis <= ndim."""


@frozen
class Index:
    """A tuple of (start, stop, step) per axis, each as in a Python slice."""


@frozen
class Window:
    """A length from `least` to `most` that fits into each axis from `first` on."""

    first: int
    least: int
    most: int


@frozen
class Divisor:
    """A number whose `power` divides the length of an axis; 1 is the plain one."""

    axis: int
    power: int = 1


Domain: TypeAlias = (
    Axis
    | Axes
    | Bool
    | Range
    | Choice
    | DTypeName
    | SameWidthDType
    | SameSizeShape
    | BroadcastShape
    | Permutation
    | UnitAxes
    | NewAxis
    | Index
    | shape_domains.Shape
    | shape_domains.ResultDType
    | shape_domains.Fill
    | shape_domains.Number
    | shape_domains.Offset
    | shape_domains.Count
    | shape_domains.Position
    | shape_domains.NegativeAxis
    | shape_domains.Repetitions
    | shape_domains.Widths
    | Window
    | Divisor
)
DOMAINS = Domain.__args__


# ----------------------------------------------------------------------------------------------------------- rows
@frozen
class Accuracy:
    """How far a result may be from the exact one: exact, correctly rounded, ulps, accumulating or composite."""

    kind: str
    ulps: float = 0.0

    def __str__(self) -> str:
        return f"ulps({self.ulps:g})" if self.kind == "ulps" else self.kind


exact: Accuracy = Accuracy("exact")
correctly_rounded = Accuracy("correctly rounded")
accumulating = Accuracy("accumulating")
composite = Accuracy("composite")


def ulps(n: float) -> Accuracy:
    """Within `n` units in the last place of the exact result; a contract may state another figure."""
    return Accuracy("ulps", float(n))


@frozen
class Operand:
    """What an op needs of one operand beyond its kinds, as data that generation reads.

    relation: "any", "broadcast" (with the operands before), or one of the shape relations named in
    `offload_fuzz.strategies`; dtype: "same" (as the first of the kinds), or a dtype's name.
    """

    relation: str = "any"
    dtype: str = "same"


@frozen(eq=False)
class Application:
    """An op applied to enclosures: what an enclosure rule gets.

    operands: the enclosures of the operands; values: the reference's value of each; type: of the result.
    """

    op: Op
    operands: Sequence[Enclosure]
    values: Sequence[Array]
    attributes: Mapping[str, Any]
    type: ArrayType
    contract: Contract


EncloseRule: TypeAlias = Callable[[Application], tuple[Array, Enclosure | None]]


@frozen(eq=False)
class Op:
    """One op. `enclose` gives the reference's value and the enclosure (None: unknown).

    kinds: of the operands whose dtype is "same". monotone: per operand "increasing", "decreasing" or "other".
    moves: a pure data movement, NaN payload and -0 kept. elementwise: same shape, so an operand may be reused in place.
    defined: whether the standard defines the result for these operand values; where not, a difference is a hazard.
    """

    name: str
    category: str
    kinds: tuple[str, ...]
    accuracy: Accuracy
    type_rule: TypeRule
    numpy: NumpyMeaning
    enclose: EncloseRule
    operands: tuple[Operand, ...] = (Operand(),)
    attributes: Mapping[str, Domain] = field(factory=dict)
    monotone: tuple[str, ...] = ()
    elementwise: bool = False
    moves: bool = False
    defined: Callable[..., bool] | None = None
    summary: str = ""
    custom: bool = False

    def result_type(self, types: Sequence[ArrayType], attributes: Mapping[str, Any]) -> ArrayType:
        """The type of the result; raises `InvalidProgram` saying what would have been right."""
        if len(types) != len(self.operands):
            raise InvalidProgram(f"{self.name} takes {len(self.operands)} operands but got {len(types)}")
        if attributes.keys() != self.attributes.keys():
            raise InvalidProgram(
                f"{self.name} takes attributes ({', '.join(self.attributes)}) but got ({', '.join(attributes)})"
            )
        allowed = self.dtypes
        for type, operand in zip(types, self.operands, strict=True):
            if operand.dtype == "same" and type.dtype not in allowed:
                raise InvalidProgram(f"{self.name} takes {' or '.join(self.kinds)} operands but got {type}")
            if operand.dtype != "same" and type.dtype != operand.dtype:
                raise InvalidProgram(f"{self.name} takes a {operand.dtype} here but got {type}")
        return self.type_rule(*types, **attributes)

    @property
    def dtypes(self) -> frozenset[str]:
        """The dtypes that the operands may have."""
        return _dtypes_of(self.kinds)


@cache
def _dtypes_of(kinds: tuple[str, ...]) -> frozenset[str]:
    return frozenset(dtypes_of(*kinds))


OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Put `op` into the table; raises `UsageError` for a second op of that name or a contradictory row."""
    where = f"op {op.name}"
    if op.name in OPS:
        raise UsageError(f"op {op.name!r} is defined twice but should have its own name [{where}]; rename the new one")
    for kind in op.kinds:
        if kind not in KINDS:
            raise one_of("kind", kind, KINDS, where)
    for name, domain in op.attributes.items():
        if not isinstance(domain, DOMAINS):
            raise UsageError(f"attribute {name} is {domain!r} but should be a domain such as of.Range(1, 50) [{where}]")
    _check_signature(op, where)
    if not op.moves:
        op = evolve(op, enclose=flushing(op.name, op.enclose))
    op = evolve(op, enclose=losing_payloads(op.name, op.enclose))
    OPS[op.name] = op
    return op


def _check_signature(op: Op, where: str) -> None:
    parameters = inspect.signature(op.type_rule).parameters.values()
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    has_var_keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not has_var_keywords and keywords != set(op.attributes):
        raise UsageError(
            f"the type rule's keyword-only parameters are ({', '.join(sorted(keywords))}) but should be the attributes "
            f"({', '.join(sorted(op.attributes))}) [{where}]; write def {op.name}(x, *, {', '.join(op.attributes)})"
        )


def find_op(name: str, where: str = "program") -> Op:
    """The op called `name`; raises `UsageError` that names the nearest and `--load`."""
    op = OPS.get(name)
    if op is None:
        raise one_of("op", name, sorted(OPS), where, "A custom op needs --load FILE|MODULE.")
    return op


def shaped(
    numpy: NumpyMeaning,
    enclose: EncloseRule,
    category: str,
    kinds: tuple[str, ...] = ("any",),
    accuracy: Accuracy = exact,
    operands: tuple[Operand, ...] = (Operand(),),
    attributes: dict[str, Domain] | None = None,
    monotone: tuple[str, ...] = (),
    moves: bool = False,
    defined: Callable[..., bool] | None = None,
) -> Callable[[TypeRule], Op]:
    """Register the op that the decorated type rule names; a trailing underscore keeps Python's own name free."""

    def decorate(rule: TypeRule) -> Op:
        name = rule.__name__.rstrip("_")
        summary = (rule.__doc__ or "").strip().split("\n")[0]
        return register(
            Op(
                name, category, kinds, accuracy, rule, numpy, enclose, operands, attributes or {}, monotone,
                moves=moves, defined=defined, summary=summary,
            )
        )  # fmt: skip  # one row

    return decorate


# ---------------------------------------------------------------------------------------------------- type rules
def same_type(x: ArrayType, **_: object) -> ArrayType:
    """The operand's own type."""
    return x


def to_bool(x: ArrayType) -> ArrayType:
    """bool, of the operand's shape."""
    return ArrayType("bool", x.shape)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """As array API "Broadcasting"; raises `InvalidProgram` when the shapes do not broadcast."""
    if all(s == shapes[0] for s in shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise InvalidProgram(f"shapes {', '.join(map(str, shapes))} do not broadcast") from None


def broadcast_type(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """The promoted dtype over the broadcast shape."""
    return ArrayType(promote(x1.dtype, x2.dtype), broadcast_shapes(x1.shape, x2.shape))


def broadcast_to_bool(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """bool over the broadcast shape."""
    promote(x1.dtype, x2.dtype)
    return ArrayType("bool", broadcast_shapes(x1.shape, x2.shape))


def normalize_axis(axis: int, ndim: int, what: str = "axis") -> int:
    """`axis` as 0 <= axis < ndim."""
    require(isinstance(axis, int) and -ndim <= axis < ndim, f"{what} is {axis!r} but should be in [{-ndim}, {ndim})")
    return axis % ndim


def normalize_axes(axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """`axes` as distinct non-negative ints; None stands for all."""
    if axes is None:
        return tuple(range(ndim))
    require(isinstance(axes, tuple), f"axis is {axes!r} but should be None or a tuple of ints")
    found = tuple(normalize_axis(a, ndim) for a in axes)
    require(len(set(found)) == len(found), f"axis is {axes} but should name each axis once")
    return found


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """`shape` without `axes`, or with 1 there where `keepdims`."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def slices(index: tuple[tuple[int | None, int | None, int | None], ...]) -> tuple[slice, ...]:
    """The Python slices of an `Index` attribute."""
    return tuple(slice(*part) for part in index)


def indexed_shape(shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
    """The shape of `x[index]`; raises `InvalidProgram` for a malformed index."""
    require(
        isinstance(index, tuple)
        and len(index) == len(shape)
        and all(
            isinstance(s, tuple) and len(s) == 3 and all(v is None or type(v) is int for v in s) and s[2] != 0
            for s in index
        ),
        f"index is {index!r} but should have one (start, stop, step) for each axis of {shape}, no step 0",
    )
    return tuple(len(range(*slice(*s).indices(n))) for s, n in zip(index, shape, strict=True))
