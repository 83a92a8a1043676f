"""Simpler attributes for nodes that make arrays out of nothing, whose size and elements no input holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import Any

from offload_fuzz.ops.base import find_op
from offload_fuzz.ops.shape_domains import Count, Fill, Offset, Shape
from offload_fuzz.program import Node

#: domain -> simpler values than a given one, the simplest first.
SIMPLER: dict[type, Callable[[Any], list[Any]]] = {
    Shape: lambda shape: [(), (1,) * len(shape), (2,), tuple(min(n, 2) for n in shape)],
    Count: lambda n: [1, 2, n // 2],
    Offset: lambda n: [0, 1 if n > 0 else -1],
    Fill: lambda value: [type(value)(1)],
}


def _differs(old: Any, new: Any) -> bool:
    return repr(old) != repr(new)


def simpler_attributes(node: Node) -> Iterator[dict[str, Any]]:
    """Attributes of a node without operands made simpler, all at once first, then one by one."""
    if node.operands:
        return
    domains = find_op(node.op).attributes
    found = {
        name: list(takewhile(partial(_differs, node.attributes[name]), SIMPLER[type(domain)](node.attributes[name])))
        for name, domain in domains.items()
        if type(domain) in SIMPLER
    }
    first = {name: values[0] for name, values in found.items() if values}
    if len(first) > 1:
        yield {**node.attributes, **first}
    for name, values in found.items():
        for value in values:
            yield {**node.attributes, name: value}
