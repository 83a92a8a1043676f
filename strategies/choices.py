"""Drawn bytes read as decisions: zeros, and everything past the end, stand for the simplest of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads decisions off `data`, which Hypothesis drew; no randomness of its own."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @classmethod
    def expanded(cls, seed: bytes, size: int) -> Choices:
        """`size` bytes worth of decisions out of a short drawn seed, by SHAKE-128."""
        return cls(hashlib.shake_128(seed).digest(size))

    def byte(self) -> int:
        """The next byte."""
        at = self.at
        self.at = at + 1
        return self.data[at] if at < len(self.data) else 0

    def below(self, n: int) -> int:
        """A number in [0, n): from one byte for small n, two for others, four beyond 4096."""
        if n <= 16:  # read here, and in `chance`: a program takes 150 bytes, and a call each is a tenth of its time
            at = self.at
            self.at = at + 1
            return (self.data[at] * n) >> 8 if at < len(self.data) else 0
        x = (self.byte() << 8) | self.byte()
        if n <= 4096:
            return (x * n) >> 16
        return (((x << 16) | (self.byte() << 8) | self.byte()) * n) >> 32

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, the first being the simplest."""
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """True in about `percent` of 100 draws; zero bytes give False."""
        at = self.at
        self.at = at + 1
        return at < len(self.data) and self.data[at] * 100 >= (100 - percent) * 256
