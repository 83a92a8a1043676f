"""Options that several commands of the command line share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from offload_fuzz.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
EXIT_CODES = """\b
Exit codes:
    0  nothing to fail on
    1  a finding that counts
    2  wrong usage, configuration or adapter
    3  inconclusive
    4  device or library missing
    5  nothing was tested
   70  internal error
  130  interrupted, reports written"""


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """`60s`, `500ms`, `5m`, `1.5h`, a number alone is seconds; as seconds."""
    if value is None:
        return None
    text = value.strip().lower()
    unit = next((u for u in UNITS if text.endswith(u)), "")
    try:
        found = float(text.removesuffix(unit)) * UNITS.get(unit, 1.0)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:
        raise UsageError(f"{param.opts[-1]} is {value!r} but should be a duration such as 500ms, 60s, 5m or 1h")
    return found


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as a tuple of at least one name."""
    if value is None:
        return None
    found = tuple(n.strip() for n in value.split(",") if n.strip())
    if not found:
        raise UsageError(f"{param.opts[-1]} is {value!r} but should be names with commas between them")
    return found


def load_option(command: F) -> F:
    """`--load`."""
    return click.option(
        "--load", multiple=True, metavar="FILE|MODULE", help="Import ops, strategies, oracles or faults; repeatable."
    )(command)


def hang_after_option(command: F) -> F:
    """`--hang-after`."""
    return click.option(
        "--hang-after",
        callback=seconds,
        default="20s",
        show_default=True,
        metavar="DURATION",
        help="Silence that is a hang.",
    )(command)


def isolation_option(command: F) -> F:
    """`--isolation` and `--hang-after`."""
    kinds = "process: a crash or a hang is a finding like others; inline: everything in this process."
    isolation = click.option("--isolation", default="process", show_default=True, metavar="KIND", help=kinds)
    return isolation(hang_after_option(command))


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(command)


def dir_option(command: F) -> F:
    """`--report-dir`."""
    return click.option(
        "--report-dir", metavar="DIR", help="State folder for findings and reports.  [default: .offload-fuzz]"
    )(command)


def roles(given: Sequence[str]) -> dict[str, str]:
    """`d0=torch:cpu` and the like, as a mapping."""
    found = {}
    for item in given:
        role, equals, name = item.partition("=")
        if not (role and equals and name):
            raise UsageError(f"--device is {item!r} but should be ROLE=NAME such as d0=torch:cpu")
        found[role] = name
    return found
