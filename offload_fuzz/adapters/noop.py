"""`noop:0`: the template of an adapter. It accepts everything that the protocol has and computes nothing.

Copy this file to start an adapter of your own: the methods that a first adapter has are here, with what each is given
and what it must give. A buffer is only a type, and each downloaded array is zeros of that type; so a campaign fails at
once, and `offload-fuzz conformance noop:0` names the promises that are still to be kept. What it declares beyond `ops`
and `dtypes` is what a first adapter can declare: results are fresh, calls return when done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from offload_fuzz.device import Features
from offload_fuzz.errors import UsageError
from offload_fuzz.ops.base import OPS, find_op
from offload_fuzz.types import DTYPES, Array, ArrayType, type_of


class NoopDevice:
    """A device of which nothing but the types is right; its buffers are `ArrayType`s."""

    def __init__(self, name: str = "noop:0") -> None:
        kind, _, index = name.partition(":")
        if kind != "noop" or not (index.isascii() and index.isdigit()):
            raise UsageError(f"device is {name!r} but should be noop:NUMBER such as noop:0 [adapters.noop]")
        self.name = name
        self.features = Features(
            ops=dict.fromkeys(OPS),  # or {"add": {"float32", "int32"}, ...}: the dtypes that each op runs on
            dtypes=frozenset(DTYPES),
            aliasing={"*": "fresh"},  # every result is memory of its own
            source_free={"blocking": "return"},  # an upload has read the host's array when it returns
            deterministic=True,
            place=name,
        )

    def upload(self, array: Array) -> ArrayType:
        """A buffer with the elements of `array`, which is in any layout, perhaps misaligned or read-only."""
        return type_of(array)

    def download(self, buffer: ArrayType) -> Array:
        """A NumPy array of the buffer's dtype and shape, which the device never writes again."""
        return np.zeros(buffer.shape, buffer.np)

    def launch(self, op: str, operands: Sequence[ArrayType], attributes: Mapping[str, Any]) -> ArrayType:
        """A buffer with the result of `op`, an array API name, on buffers; the attributes are those of its row."""
        return find_op(op, self.name).result_type(operands, attributes)

    def place_of(self, buffer: ArrayType) -> str:
        """The name of the device that holds the buffer: what `place` in the features says."""
        return self.name
