"""What a PyTorch device is asked, to find out which ops and dtypes it has."""

from __future__ import annotations

from typing import Any

from offload_fuzz.adapters import torch_elementwise, torch_shaping
from offload_fuzz.adapters.torch_neural import PROBES as NEURAL

SQUARE, ROW = (2, 2), (17,)
REDUCE = {"axis": (0,), "keepdims": False}
BACKWARDS = (None, None, -1)
#: What a device is asked, as shapes and attributes; two questions where PyTorch's kernel depends on the shape.
PROBES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "sum": [(SQUARE, REDUCE)],
    "prod": [(SQUARE, REDUCE)],
    "mean": [(SQUARE, REDUCE)],
    "max": [(SQUARE, REDUCE)],
    "argmax": [(SQUARE, {"axis": 0, "keepdims": False})],
    "cumulative_sum": [(SQUARE, {"axis": 0})],
    "sort": [(SQUARE, {"axis": 0})],
    "reshape": [(SQUARE, {"shape": (4,)})],
    "permute_dims": [(SQUARE, {"axes": (1, 0)})],
    "flip": [(SQUARE, {"axis": (0,)}), (ROW, {"axis": None})],
    "broadcast_to": [(SQUARE, {"shape": (2, 2, 2)})],
    "squeeze": [(SQUARE, {"axis": ()})],
    "expand_dims": [(SQUARE, {"axis": 0})],
    "concat": [(SQUARE, {"axis": 0})],
    "getitem": [(SQUARE, {"index": (BACKWARDS, (0, 2, 1))}), (ROW, {"index": (BACKWARDS,)})],
    "setitem": [(SQUARE, {"index": (BACKWARDS, (0, 2, 1))}), (ROW, {"index": (BACKWARDS,)})],
    "take": [(SQUARE, {"axis": 1}), (ROW, {"axis": 0})],
    **torch_elementwise.PROBES,
    **torch_shaping.PROBES,
}
PROBES.update(NEURAL)
PLAIN: list[tuple[tuple[int, ...], dict[str, Any]]] = [(SQUARE, {})]
#: How PyTorch says that something is not there, apart from NotImplementedError.
ABSENT = (
    *("not implemented", "not supported", "unsupported", "not support", "could not run", "not available"),
    *torch_shaping.ABSENT,
)
