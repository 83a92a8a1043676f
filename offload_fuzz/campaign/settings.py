"""What a campaign is asked to do, as data that travels to workers as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import asdict, field, frozen

from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.plan import FREEDOMS

#: Case runs per unit of work; a unit has its own Hypothesis engine, which bounds its memory.
UNIT_CASES = 250
DEFAULT_DEVICES = ("simulated:0", "simulated:1")


def _tuple(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _tuple_or_none(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _at_least(least: int) -> Any:
    def check(_: object, attribute: Any, value: int | float | None) -> None:
        if value is not None and not value >= least:
            option = "--" + attribute.name.replace("_", "-")
            raise UsageError(f"{option} is {value} but should be at least {least} [run]")

    return check


def _freedoms(_: object, __: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in FREEDOMS:
            raise one_of("freedom", name, FREEDOMS, "--without")


@frozen
class Settings:
    """The options of `run`; times in seconds. `hang_after`: silence of a worker that counts as a hang.

    without: freedoms whose choices are all plain. steer: whether plans are led to cells of the boundary that are new.
    """

    devices: tuple[str, ...] = field(default=DEFAULT_DEVICES, converter=_tuple)
    seed: int = field(default=0, validator=_at_least(0))
    max_cases: int | None = field(default=None, validator=_at_least(1))
    max_time: float | None = field(default=None, validator=_at_least(0))
    workers: int = field(default=1, validator=_at_least(1))
    plans: str = "default"
    ops: tuple[str, ...] | None = field(default=None, converter=_tuple_or_none)
    exclude_ops: tuple[str, ...] = field(default=(), converter=_tuple)
    dtypes: tuple[str, ...] | None = field(default=None, converter=_tuple_or_none)
    max_nodes: int = field(default=16, validator=_at_least(1))
    strategy: str | None = None
    oracles: tuple[str, ...] | None = field(default=None, converter=_tuple_or_none)
    contract: str | None = None
    load: tuple[str, ...] = field(default=(), converter=_tuple)
    known: str | None = None
    baseline: str | None = None
    fail_on: tuple[str, ...] | None = field(default=None, converter=_tuple_or_none)
    stop_after: int | None = field(default=None, validator=_at_least(1))
    isolation: str = "process"
    hang_after: float = field(default=20.0, validator=_at_least(1))
    without: tuple[str, ...] = field(default=(), converter=_tuple, validator=_freedoms)
    steer: bool = True
    shrink_budget: int = field(default=300, validator=_at_least(1))

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))
