"""How elements come to memory made for them on PyTorch: the freedoms `update`, `destination` and `chunks`."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from offload_fuzz.adapters.torch_ops import ALIASING, TorchOps
from offload_fuzz.device import Chunks
from offload_fuzz.types import Array

Tensor = Any


def ways(ops: Collection[str], written: frozenset[str]) -> dict[str, frozenset[str]]:
    """How -> which of `ops`: those with a result of their own; and those `written` through `out=`, and setitem."""
    fresh = frozenset(op for op in ops if ALIASING.get(op, ALIASING["*"]) == "fresh")
    out = written & fresh
    regions = out | ({"setitem"} & fresh)
    return {"assign": fresh, "out": out, "view": regions, "strided view": regions}


def updated(ops: TorchOps, op: str, operands: list[Tensor], attributes: dict[str, Any], update: str) -> Tensor:
    """The result of `op` in memory of its own, or in a view of a larger tensor, put there as `update` says."""
    result = ops.runs[op](operands, attributes)
    target = memory_for(result, update)
    if op == "setitem":
        return ops.assign_region(target.copy_(operands[0]), operands[1], attributes["index"], target.shape)
    if update == "assign":
        target[...] = result
    else:
        ops.into[op](operands, target)
    return target


def memory_for(result: Tensor, how: str, device: Any = None) -> Tensor:
    """A tensor for the elements of `result`: in memory of its own, in the middle of more, or in every second place."""
    shape = tuple(result.shape)
    if how in ("view", "offset"):
        return result.new_empty(result.numel() + 2, device=device)[1:-1].view(shape)
    if how in ("strided view", "strided"):
        space = (*shape[:-1], 2 * shape[-1] + 1) if shape else (3,)
        whole = result.new_empty(space, device=device)
        return whole[..., 1::2] if shape else whole[1]
    return result.new_empty(shape, device=device)


def put(target: Tensor, source: Tensor, chunks: Chunks | None, blocking: bool = True) -> Tensor:
    """`target`, filled with the elements of `source`: by one copy, or by one for each piece, in order."""
    axis, bounds = chunks or (0, ())
    for start, stop in pairwise(bounds):
        part = target.narrow(axis, start, stop - start)
        part.copy_(source.narrow(axis, start, stop - start), non_blocking=not blocking)
    return target if bounds else target.copy_(source, non_blocking=not blocking)


def overlaps(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements may share memory: some stride is within the reach of the smaller ones."""
    reach = 0
    for stride, n in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n > 1):
        if stride <= reach:
            return True
        reach += (n - 1) * stride
    return False


class Writable:
    """An array's memory under another claim: writable, so that PyTorch takes it without a warning. Never written."""

    def __init__(self, array: Array) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
