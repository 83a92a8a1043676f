"""The ID of a finding, from what matters: kind, minimal graph, crossing choices, dtype class; no seed, no device."""

from __future__ import annotations

import hashlib
import json

from offload_fuzz.case import Case
from offload_fuzz.types import DTYPES


def identity(kind: str, case: Case) -> str:
    """`F` and eight hexadecimal digits. Findings of one ID are counted as one."""
    program, plan = case.program, case.plan
    graph = [[n.op, min(plan.get("device", v), 1), _dtype_class(n.type.dtype)] for v, n in program.numbered()]
    choices = sorted({name for name, _ in plan.choices if name != "device"})
    text = json.dumps([kind, graph, choices], sort_keys=True)
    return "F" + hashlib.sha256(text.encode()).hexdigest()[:8]


def _dtype_class(dtype: str) -> str:
    d = DTYPES[dtype]
    return f"{d.bits}-bit {d.kind}" if d.bits == 64 else d.kind
