"""The one table of faults, `FAULTS`, and how a row comes into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from offload_fuzz.adapters.simulated.hooks import HOOKS, HookFunction
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, contiguous_strides
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.plan import FREEDOMS
from offload_fuzz.types import Array

CLASSES = (
    "transfer",
    "ordering",
    "aliasing",
    "op semantics",
    "fallback",
    "memory",
    "multi-device",
    "compiled regions",
    "errors",
    "precision",
    "metadata",
)


@frozen(eq=False)
class Fault:
    """A name, the hook that it is planted on and its function; its class and one sentence.

    report: a public report of the like, as owner/repository#number; empty where none is known. needs: the freedoms of
    the plan without which it cannot show, beside `device`, which every fault needs. inside: whether it needs the memory
    of the simulated device, so that it cannot be planted around another (`adapters/faulty.py`). profile: the simulated
    devices that show it, which have all that `simulated` has.
    """

    name: str
    hook: str
    function: HookFunction
    cls: str
    sentence: str
    report: str = ""
    needs: tuple[str, ...] = ()
    inside: bool = False
    profile: str = "simulated"

    @property
    def devices(self) -> int:
        """How many devices a campaign must have to see it."""
        return 2 if self.cls == "multi-device" else 1


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    hook: str,
    cls: str,
    sentence: str,
    report: str = "",
    needs: Sequence[str] = (),
    inside: bool = False,
    profile: str = "simulated",
) -> Callable[[HookFunction], HookFunction]:
    """Register the decorated function as a fault.

    Raises `UsageError` for a name that is taken, and for an unknown hook, class or freedom.
    """
    where = f"fault {name}"
    if hook not in HOOKS:
        raise one_of("hook", hook, HOOKS, where)
    if cls not in CLASSES:
        raise one_of("fault class", cls, CLASSES, where)
    for freedom in needs:
        if freedom not in FREEDOMS:
            raise one_of("freedom", freedom, FREEDOMS, where)
    if name in FAULTS or not name.isidentifier() or name != name.lower():
        raise UsageError(f"fault is called {name!r} but should have its own name, lowercase_with_underscores [{where}]")

    def decorate(function: HookFunction) -> HookFunction:
        FAULTS[name] = Fault(name, hook, function, cls, sentence, report, tuple(needs), inside, profile)
        return function

    return decorate


def result_fault(
    name: str, ops: str, cls: str, report: str, sentence: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A fault in the results of `ops`: function(result, operand arrays, attributes) -> result."""
    names = frozenset(ops.split())

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @fault(name, hook="result", cls=cls, sentence=sentence, report=report)
        def planted(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
            return function(result, operands, attributes) if op in names else result

        return function

    return decorate


def in_row_major_order(layout: Layout, buffer: Buffer) -> Layout:
    """`layout` with row-major strides, moved back where the elements would not fit into the storage."""
    item = buffer.type.np.itemsize
    room = buffer.storage.nbytes - buffer.type.nbytes
    if room < 0:
        return layout  # an expanded operand: there is no room for its elements in a row
    return min(layout[0], room), contiguous_strides(buffer.type.shape, item)
