"""A case with a choice of nearly every freedom, for tests that write it down or run it."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.case import Case
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder


def varied_case(device: str) -> Case:
    """v1 = -v0, v2 = its transpose, v3 = v2 + v2, v4 = |v3| on the host, v5 = v4 with all of it set anew."""
    b = Builder()
    v1 = b.apply("negative", b.input(np.arange(1, 7, dtype=np.float32).reshape(2, 3)))
    v2 = b.apply("permute_dims", v1, axes=(1, 0))
    v3 = b.apply("add", v2, v2)
    v4 = b.apply("abs", v3)
    v5 = b.apply("setitem", v4, v4, index=((None, None, None), (None, None, None)))
    program = b.returns(v5, v4)
    choices: dict[Any, Any] = {("device", (v,)): 1 for v in (v1, v2, v3, v5)}
    choices |= {
        ("update", (v1,)): "strided view", ("update", (v3,)): "out", ("update", (v5,)): "view",
        ("lifetime", (v1,)): "dropped", ("destination", (v1, 0)): "strided", ("paging", (v1, 0)): "across",
        ("chunks", (v1, 0)): "halves", ("chunks", (program.returns, 0)): "halves",
        ("transfer", (v4, 0)): "shared", ("destination", (program.returns, 0)): "offset", ("delay", (v3,)): "launch",
        ("sync", ()): "minimal",
    }  # fmt: skip  # a plan
    return Case(program, Plan(choices), (device,))
