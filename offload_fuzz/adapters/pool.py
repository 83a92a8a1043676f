"""Devices by name, opened once per process: what strategies, checks and replays share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import evolve

from offload_fuzz.adapters.resolve import announce, resolve
from offload_fuzz.device import Place, place


@cache
def _opened(spec: str, role: int) -> Place:
    return evolve(resolve(spec), spec=spec)


def host() -> Place:
    """The host role, filled by NumPy."""
    return _opened("numpy", 0)


def open_places(devices: Sequence[Any]) -> tuple[Place, ...]:
    """The host, then one place per device; each is a spec, a `Place` or an adapter object.

    A tuple that already starts with the host is returned as it is. Raises `UsageError` or `MissingDevice`.
    """
    if devices and devices[0] is host():
        return tuple(devices)
    announce(d for d in devices if isinstance(d, str))
    opened = [_opened(d, i) if isinstance(d, str) else place(d) for i, d in enumerate(devices, 1)]
    return (host(), *opened)
