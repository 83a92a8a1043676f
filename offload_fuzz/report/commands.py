"""The commands that do again what a report tells of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import attrs

from offload_fuzz.campaign.settings import Settings

#: Settings that are not options of `run`, or not given as such.
NO_OPTION = frozenset({"devices", "shrink_budget"})
SECONDS = frozenset({"max_time", "hang_after"})


def run_command(settings: Settings) -> str:
    """`offload-fuzz run ...` with every option that is not the default; empty where a device is an object."""
    if not all(isinstance(d, str) for d in settings.devices):
        return ""
    words = ["offload-fuzz", "run", *settings.devices]
    for option in attrs.fields(Settings):
        value = getattr(settings, option.name)
        if option.name in NO_OPTION or (value == option.default and option.name != "seed"):
            continue
        name = "--" + option.name.replace("_", "-")
        if option.name == "load":
            words += [part for item in value for part in (name, item)]
        elif isinstance(value, bool):
            words.append(name if value else f"--no-{name.removeprefix('--')}")
        elif isinstance(value, tuple):
            words += [name, ",".join(value)]
        else:
            words += [name, f"{value:g}s" if option.name in SECONDS else str(value)]
    return shlex.join(words)


def replay_options(settings: Mapping[str, Any]) -> list[str]:
    """Options of `run` without which a replay would not see the same."""
    from offload_fuzz.oracles import ORACLES

    needed = [part for name in settings["load"] for part in ("--load", name)]
    if settings["contract"] is not None:
        needed += ["--contract", settings["contract"]]
    if settings["oracles"] is not None and not set(settings["oracles"]) <= ORACLES.keys():
        needed += ["--oracles", ",".join(settings["oracles"])]
    return needed
