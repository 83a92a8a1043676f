"""The adapters' own tables turned into source: an op is called with operands that write down what is done to them.

`TorchOps` and `JaxOps` take the module that they work with as an argument. Given a `Module` in its place, and `Traced`
values for operands, each op gives the statements that it consists of: no second table says what an op is in PyTorch.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from offload_fuzz.errors import UsageError

#: Functions that ask about a dtype and compute nothing: called, not written down.
ASKING = frozenset({"issubdtype", "iinfo", "finfo"})


class Untraceable(UsageError):
    """An op that decides by what its operands hold, so that no fixed statements stand for it."""


class Name:
    """What the script has under a name of its own, such as a device."""

    def __init__(self, source: str) -> None:
        self.source = source


class Module:
    """A module under a name: its functions are written down, its numbers and dtypes are themselves."""

    def __init__(self, module: ModuleType, name: str, names: dict[str, str] | None = None) -> None:
        self._module, self._name, self._names = module, name, names or {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        text = f"{self._name}.{name}"
        if isinstance(found, ModuleType):
            return Module(found, self._names.get(text, text), self._names)
        return Function(found, text) if callable(found) else found


class Function:
    """A function or class of a module under its full name."""

    def __init__(self, function: Any, name: str) -> None:
        self.function, self.name = function, name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if self.name.rpartition(".")[2] in ASKING:
            return self.function(*[a.function if isinstance(a, Function) else a for a in arguments], **keywords)
        return Traced([self.name, *_call(arguments, keywords)], *_like(arguments, keywords), bound=True)


class Traced:
    """A value in the making: `_parts`, text and other values, spell it.

    An operand has its dtype and shape, another value the dtype of what it is made from, if that can be told.
    """

    _numbers = iter(range(2**63))

    def __init__(
        self,
        parts: Sequence[Any],
        dtype: Any = None,
        shape: tuple[int, ...] | None = None,
        bound: bool = False,
        operator: bool = False,
        effect: bool = False,
    ) -> None:
        self._parts, self._dtype, self._shape = list(parts), dtype, shape
        self._bound, self._operator, self._effect = bound, operator, effect
        self._number = next(self._numbers)
        if effect:
            EFFECTS.append(self)

    # ------------------------------------------------------------------------------------------------ what is asked
    @property
    def dtype(self) -> Any:
        if self._dtype is None:
            raise Untraceable("its dtype depends on what is computed")
        return self._dtype

    @property
    def shape(self) -> Any:
        return self._shape if self._shape is not None else Traced([self, ".shape"])

    @property
    def ndim(self) -> Any:
        return len(self._shape) if self._shape is not None else Traced([self, ".ndim"])

    def numel(self) -> int:
        if self._shape is None:
            raise Untraceable("the number of elements depends on what is computed")
        return math.prod(self._shape)

    def __bool__(self) -> bool:
        raise Untraceable("a branch depends on what is computed")

    def __iter__(self) -> Iterator[Any]:
        yield Traced(["*", self])

    # ------------------------------------------------------------------------------------------------- what is done
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Traced([self, f".{name}"], self._dtype)

    def __getitem__(self, index: Any) -> Traced:
        return Traced([self, "[", *_index(index), "]"], self._dtype)

    def __call__(self, *arguments: Any, **keywords: Any) -> Traced:
        name = str(self._parts[-1])
        dtype, _ = _like((Traced([], self._dtype), *arguments), keywords)
        effect = name.endswith("_") and not name.endswith("__")
        origin = self._parts[0]._shape if isinstance(self._parts[0], Traced) else None
        shape = (*origin, 1) if name == ".unsqueeze" and arguments == (-1,) and origin is not None else None
        return Traced([self, *_call(arguments, keywords)], dtype, shape, bound=True, effect=effect)

    def __add__(self, other: Any) -> Traced:
        return _infix(self, "+", other)

    def __sub__(self, other: Any) -> Traced:
        return _infix(self, "-", other)

    def __mul__(self, other: Any) -> Traced:
        return _infix(self, "*", other)

    def __truediv__(self, other: Any) -> Traced:
        return _infix(self, "/", other)

    def __mod__(self, other: Any) -> Traced:
        return _infix(self, "%", other)


#: Between these an operator needs no parentheses.
OPENS, CLOSES = ("(", ", ", "="), (")", ",", "]")
#: What was changed in place since the last `statements` began, in order.
EFFECTS: list[Traced] = []


def _infix(x: Any, sign: str, y: Any) -> Traced:
    return Traced([x, f" {sign} ", *pieces(y)], x._dtype, operator=True)


def _is_dtype(value: Any) -> bool:
    return isinstance(value, np.dtype) or type(value).__name__ == "dtype"


def _like(arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, None]:
    """The dtype of a result: the one asked for, or that of the first operand; and no shape."""
    given = [keywords.get("dtype"), *arguments[1:]]
    for value in given:
        if _is_dtype(value):
            return value, None
    if any(isinstance(value, str) and value in np.sctypeDict for value in given):
        return np.dtype(next(v for v in given if isinstance(v, str))), None
    return next((a._dtype for a in arguments if isinstance(a, Traced)), None), None


def _call(arguments: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
    given = [pieces(a) for a in arguments] + [[f"{k}=", *pieces(a)] for k, a in keywords.items()]
    return ["(", *_joined(given), ")"]


def _joined(groups: Sequence[list[Any]]) -> list[Any]:
    found: list[Any] = []
    for i, group in enumerate(groups):
        found += [", ", *group] if i else group
    return found


def _index(index: Any) -> list[Any]:
    parts = index if isinstance(index, tuple) else (index,)
    return _joined([pieces(p) if not isinstance(p, slice) else [slice_text(p)] for p in parts]) or ["()"]


def slice_text(part: slice) -> str:
    """`1:5:2` as written in brackets."""
    start, stop, step = ("" if n is None else str(n) for n in (part.start, part.stop, part.step))
    return f"{start}:{stop}" if step in ("", "1") else f"{start}:{stop}:{step}"


def pieces(value: Any) -> list[Any]:
    """An argument as source, traced values in it left to be named."""
    if isinstance(value, Traced):
        return [value]
    if isinstance(value, (tuple, list)):
        inner = _joined([pieces(v) for v in value])
        if isinstance(value, list):
            return ["[", *inner, "]"]
        return ["(", *inner, ",)" if len(value) == 1 else ")"]
    return [literal(value)]


def source(value: Any) -> str:
    """A constant, tuples of them too, as source."""
    return "".join(pieces(value))


def literal(value: Any) -> str:
    """A constant as source that needs nothing but `np`; raises `Untraceable` for what has none."""
    if isinstance(value, Function):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    if isinstance(value, (bool, int, float, complex, str, type(None), slice)):
        return repr(value)
    if value is bool or value is Ellipsis:
        return "bool" if value is bool else "..."
    if isinstance(value, np.dtype):
        return dtype_text(value)
    if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0:
        return f"np.asarray({literal(np.asarray(value).astype(object).item())}, {dtype_text(value.dtype)})"
    if _is_dtype(value):
        return str(value)
    if isinstance(value, Name):
        return value.source
    raise Untraceable(f"{type(value).__name__} has no source")


def dtype_text(dtype: np.dtype[Any]) -> str:
    """`np.float32`, `ml_dtypes.bfloat16`."""
    return f"ml_dtypes.{dtype.name}" if dtype.kind == "V" or dtype.name.startswith("float8") else f"np.{dtype.name}"


def _within(value: Traced) -> list[Traced]:
    return [p for p in value._parts if isinstance(p, Traced)]


def statements(op: str, run: Callable[[], Any], target: str, fresh: Callable[[], str]) -> list[str]:
    """The source of `run()`, which gives a traced value, as statements whose last names it `target`.

    fresh: gives a new name for what is used twice. Raises `Untraceable` naming the op.
    """
    EFFECTS.clear()
    try:
        result = run()
    except Untraceable as error:
        raise Untraceable(f"{op} cannot be written down: {error} [export]") from None
    uses: Counter[int] = Counter()
    seen: dict[int, Traced] = {}
    waiting = [result, *EFFECTS]
    while waiting:
        value = waiting.pop()
        if value._number in seen:
            continue
        seen[value._number] = value
        for part in _within(value):
            uses[part._number] += 1
            waiting.append(part)
    uses[result._number] += 1
    names: dict[int, str] = {}

    def spell(value: Traced) -> str:
        parts = value._parts
        around = ["", *[p if isinstance(p, str) else "" for p in parts], ""]
        return "".join(
            part if isinstance(part, str) else ref(part, around[i].endswith(OPENS) and around[i + 2].startswith(CLOSES))
            for i, part in enumerate(parts)
        )

    def ref(value: Traced, alone: bool) -> str:
        if value._number in names:
            return names[value._number]
        return f"({spell(value)})" if value._operator and not alone else spell(value)

    lines = []
    for number in sorted(seen):
        value = seen[number]
        if value._effect and value is not result:
            lines.append(spell(value))
        elif (value._bound or value._operator) and uses[number] > 1:
            name = target if value is result else fresh()
            lines.append(f"{name} = {spell(value)}")
            names[number] = name
    return lines if result._number in names else [*lines, f"{target} = {spell(result)}"]


def without_types(function: Callable[..., Any]) -> str:
    """The source of a function of ours for a script, which does not know the names in its annotations."""
    tree = ast.parse(inspect.getsource(function))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return f"\n{ast.unparse(tree)}\n"
