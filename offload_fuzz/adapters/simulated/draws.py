"""The simulated device's own generator: every lawful choice that it makes is drawn from the seed of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from offload_fuzz.types import Array

MASK = (1 << 64) - 1
LONGEST = 4096
_table = np.random.Generator(np.random.PCG64(20))
#: What the vector draws are slices of: steps of -2 .. 2 representable numbers, and keys whose order is a permutation.
_STEPS = _table.integers(-2, 3, 2 * LONGEST)
_KEYS = _table.random(2 * LONGEST)


class Draws:
    """A linear congruential generator modulo 2**64, with Knuth's MMIX constants (TAOCP volume 2, section 3.3.4).

    accumulators: float dtype -> the narrowest dtype in which the device keeps sums of it, where it is not its own.
    """

    __slots__ = ("accumulators", "state")

    def __init__(self, seed: int, accumulators: Mapping[np.dtype[Any], np.dtype[Any]] | None = None) -> None:
        self.accumulators = accumulators
        self.state = ((seed + 1) * 0x9E3779B97F4A7C15) & MASK
        self.below(2)

    def below(self, n: int) -> int:
        """An int from 0 to n-1, n < 2**31."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return ((self.state >> 33) * n) >> 31

    def steps(self, n: int) -> Array:
        """`n` ints from -2 to 2; beyond `LONGEST` they repeat."""
        at = self.below(LONGEST)
        return _STEPS[at : at + n] if n <= LONGEST else np.resize(_STEPS[at:], n)

    def permutation(self, n: int) -> Array:
        """An order of 0 .. n-1, n <= `LONGEST`."""
        at = self.below(LONGEST)
        return np.argsort(_KEYS[at : at + n])
