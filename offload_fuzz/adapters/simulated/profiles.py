"""What kinds of simulated accelerator there are, as data, and what each declares: `profiles.toml` and additions."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import evolve, field, fields, frozen

from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.contract import Contract
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import DESTINATIONS, LEDGER, UPDATES, Features
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.ops.base import OPS, find_op
from offload_fuzz.types import DTYPES, is_floating

#: Which devices of a profile copy from each other and wait for each other's events.
PEERS = ("none", "all", "ring")
#: The name of the exception for memory that is used up; `memory.OutOfMemory`.
OUT_OF_MEMORY = "OutOfMemory"


def _names(value: Any) -> frozenset[str]:
    return frozenset(value)


@frozen(eq=False)
class Profile:
    """A kind of simulated accelerator.

    name: `simulated` or `simulated.KIND`. summary: one line. dtypes, ops: what it runs; ops None: all there are.
    devices: how many there are, from index 0; None: any number. streams: in-order queues of each. blocking: calls
    return when they are done. copy_engines: units through which all transfers of a device go in the order in which they
    are issued, by direction as far as there are enough; 0: each stream has its own. memory: bytes; None: no limit.
    alignment: of allocations. peers: one of `PEERS`. accumulator: the narrowest float dtype of the sums of `sum`,
    `mean`, `cumulative_sum` and `matmul`; None: that of contract `simulated`. flushes: float dtypes whose subnormals it
    may take as zero. tile: rows and columns of the last two axes to which each array is padded in memory. compile:
    whether it takes runs of nodes. pinned: whether it gives page-locked host memory. stages: whether asynchronous
    uploads from any other go over a staging buffer, so that the source is free when the call returns.
    """

    name: str
    summary: str
    dtypes: frozenset[str] = field(default=frozenset(DTYPES), converter=_names)
    ops: frozenset[str] | None = None
    devices: int | None = None
    streams: int = 1
    blocking: bool = False
    copy_engines: int = 0
    memory: int | None = None
    alignment: int = 64
    peers: str = "none"
    accumulator: str | None = None
    flushes: frozenset[str] = field(default=frozenset(), converter=_names)
    tile: tuple[int, int] | None = None
    compile: bool = False
    pinned: bool = False
    stages: bool = False

    @property
    def accumulators(self) -> dict[str, str]:
        """float dtype -> the narrowest one in which its sums are kept, where the profile says.

        Not for a dtype of a smaller range: a contract names one format, and could not say that sums may overflow in
        one and lose digits in the other.
        """
        if self.accumulator is None:
            return {}
        floats = [d for d in sorted(self.dtypes) if DTYPES[d].kind == "real floating"]
        return {d: self.accumulator for d in floats if DTYPES[d].emax >= DTYPES[self.accumulator].emax}


PROFILES: dict[str, Profile] = {}
KEYS = tuple(f.name for f in fields(Profile) if f.name != "name")
#: The keys whose value is a number, with the least that makes sense.
LEAST = {"devices": 1, "streams": 1, "copy_engines": 0, "memory": 1, "alignment": 2}


def add_profiles(text: str, where: str = "profile") -> list[str]:
    """Register the profiles that TOML `text` describes; their names.

    Raises `UsageError` for a name that is taken or not `simulated.KIND`, an unknown key, or a value that cannot be.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one, and so is an int of too many digits
        raise UsageError(f"profiles are not TOML but should be: {error} [{where}]") from None
    for name, row in data.items():
        kind = name.removeprefix("simulated.")
        if name in PROFILES or not (name == "simulated" or (kind != name and kind.isidentifier())):
            hint = 'write a table ["simulated.mychip"]'
            raise UsageError(
                f"profile is called {name!r} but should have its own name simulated.KIND [{where}]; {hint}"
            )
        PROFILES[name] = _checked(name, row, f"{where} {name}")
    return list(data)


def _checked(name: str, row: Any, where: str) -> Profile:
    if not isinstance(row, Mapping) or not isinstance(row.get("summary"), str):
        raise UsageError(f'profile has no summary but should say in one line what it is [{where}]; summary = "..."')
    for key in row:
        if key not in KEYS:
            raise one_of("profile key", key, KEYS, where)
    for key, least in LEAST.items():
        n = row.get(key, least)
        if type(n) is not int or n < least:
            raise UsageError(f"{key} is {n!r} but should be an int >= {least} [{where}]")
    given = dict(row)
    if row.get("alignment", 2) & (row.get("alignment", 2) - 1):
        raise UsageError(f"alignment is {row['alignment']} but should be a power of two [{where}]")
    for key in ("blocking", "compile", "pinned", "stages"):
        if type(row.get(key, False)) is not bool:
            raise UsageError(f"{key} is {row[key]!r} but should be true or false [{where}]")
    for op in row.get("ops", ()):
        find_op(op, f"{where}, ops")
    for key in ("dtypes", "flushes"):
        for dtype in row.get(key, ()):
            if dtype not in DTYPES:
                raise one_of("dtype", dtype, DTYPES, f"{where}, {key}")
    accumulator = row.get("accumulator")
    if accumulator is not None and not (accumulator in DTYPES and is_floating(accumulator)):
        raise one_of("accumulator", accumulator, [d for d in DTYPES if is_floating(d)], where)
    if row.get("peers", "none") not in PEERS:
        raise one_of("peers", row["peers"], PEERS, where)
    if "tile" in row:
        tile = row["tile"]
        if not (isinstance(tile, list) and len(tile) == 2 and all(type(n) is int and n > 0 for n in tile)):
            raise UsageError(f"tile is {tile!r} but should be two ints > 0, rows and columns [{where}]")
        given["tile"] = tuple(tile)
    if "ops" in row:
        given["ops"] = frozenset(row["ops"])
    return Profile(name, **given)


# ------------------------------------------------------------------------------------------------------ declarations
ALIASING = {
    "*": "fresh",
    **dict.fromkeys(VIEWS, "view"),
    "reshape": "may",  # a view of a contiguous operand, else a copy
}


@cache
def contract_of_profile(profile: Profile) -> Contract:
    """Contract `simulated`, weaker where the profile's accumulator and flushing make it so."""
    base = contract_named("simulated")
    if not (profile.accumulator or profile.flushes):
        return base
    return evolve(
        base,
        name=profile.name,
        accumulator={**base.accumulator, **profile.accumulators},
        flushed={**base.flushed, **({"*": profile.flushes} if profile.flushes else {})},
    )


def peers_of(profile: Profile, index: int) -> str | tuple[str, ...] | None:
    """What `Features.peers` says for the device of this index: in a ring, the links to both neighbours."""
    if profile.peers == "all":
        return profile.name
    if profile.peers == "none":
        return None
    n = profile.devices or index + 2
    return tuple(sorted({f"{profile.name} link {(index - 1) % n}", f"{profile.name} link {index}"}))


def features_of(profile: Profile, name: str, index: int = 0) -> Features:
    """What a device of this profile, name and index declares; ops registered so far are among them."""
    ops = [op for op in OPS.values() if profile.ops is None or op.name in profile.ops]
    fresh = frozenset(op.name for op in ops if ALIASING.get(op.name, "fresh") == "fresh")
    ways = UPDATES if profile.tile is None else ("assign", "out")  # padding lies where a view would
    return Features(
        ops=dict.fromkeys(op.name for op in ops),
        dtypes=profile.dtypes,
        streams=0 if profile.blocking else profile.streams,
        transfers=("blocking",) if profile.blocking else ("blocking", "async"),
        in_place=frozenset(op.name for op in ops if op.elementwise),
        donate=frozenset(op.name for op in ops),
        update=dict.fromkeys(ways, fresh),
        destination=frozenset(("download",) if profile.tile else DESTINATIONS),
        chunks=frozenset(DESTINATIONS),
        peers=peers_of(profile, index),
        release=True,
        compile=profile.compile,
        delay=not profile.blocking,
        drop=True,
        export=True,
        constants=True,
        pinned=profile.pinned,
        source_free={
            "blocking": "return",
            "async": "return" if profile.stages else "completion",
            "pinned": "completion",
        },
        aliasing=ALIASING,
        deterministic=False,
        contract=contract_of_profile(profile),
        place=name,
        ledger=LEDGER,
        out_of_memory=() if profile.memory is None else (OUT_OF_MEMORY,),
        memory=profile.memory,
        padding=1 if profile.tile is None else profile.tile[0] * profile.tile[1],
    )


add_profiles((files("offload_fuzz.adapters.simulated") / "profiles.toml").read_text(encoding="utf-8"), "profiles.toml")
