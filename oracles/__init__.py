"""Judges: each takes a trial and gives a verdict, and reads as a claim. They neither generate nor run anything."""

if __name__ != "offload_fuzz.oracles":
    raise ImportError("import it as offload_fuzz.oracles")

from .agreement import PlacementInvariant
from .enclosed import WithinContract
from .integrity import HostUnchanged, InputsUntouched
from .liveness import RaisesNothing
from .metadata import TypesKept
from .movement import MovedAsPlanned, ReadsLastWritten
from .ordering import RanWherePlanned
from .recovery import Recovers
from .verdict import FAIL, PASS, UNKNOWN, Oracle, Verdict, judge

#: Name on the command line -> oracle; the order is that in which they judge.
ORACLES: dict[str, type[Oracle]] = {
    "liveness": RaisesNothing,
    "metadata": TypesKept,
    "enclosed": WithinContract,
    "agreement": PlacementInvariant,
    "integrity": InputsUntouched,
    "environment": HostUnchanged,
    "ordering": RanWherePlanned,
    "movement": MovedAsPlanned,
    "reads": ReadsLastWritten,
    "recovery": Recovers,
}


def default_oracles() -> list[Oracle]:
    """One of each."""
    return [oracle() for oracle in ORACLES.values()]


__all__ = [
    "FAIL",
    "ORACLES",
    "PASS",
    "UNKNOWN",
    "HostUnchanged",
    "InputsUntouched",
    "MovedAsPlanned",
    "Oracle",
    "PlacementInvariant",
    "RaisesNothing",
    "RanWherePlanned",
    "ReadsLastWritten",
    "Recovers",
    "TypesKept",
    "Verdict",
    "WithinContract",
    "default_oracles",
    "judge",
]
