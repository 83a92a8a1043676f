"""Subnormal numbers taken as zero by a unit that flushes them, where its draws say so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.types import DTYPES, NAMES, Array


def flushed(x: Any, dtypes: Collection[str], draws: Draws) -> Array:
    """`x`, or by draw `x` with the zero of its sign for each subnormal number, where its dtype is one of `dtypes`."""
    array = np.asarray(x)
    name = NAMES.get(array.dtype)
    if name is None or name not in dtypes or not draws.below(2):
        return array
    small = np.abs(array) < np.asarray(2.0 ** DTYPES[name].emin, array.dtype)
    return np.where(small, np.copysign(np.zeros((), array.dtype), array), array) if small.any() else array
