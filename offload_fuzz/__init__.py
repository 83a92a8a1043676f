"""offload-fuzz: a plan must never change the answer.

Names are imported when they are first used, so that `import offload_fuzz` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from offload_fuzz.adapters.validating import validating as validating
    from offload_fuzz.api import CounterexampleFound as CounterexampleFound
    from offload_fuzz.api import case_files as case_files
    from offload_fuzz.api import check as check
    from offload_fuzz.api import check_plans as check_plans
    from offload_fuzz.api import load_case as load_case
    from offload_fuzz.api import run as run
    from offload_fuzz.campaign.conformance.judge import conformance as conformance
    from offload_fuzz.campaign.report import Report as Report
    from offload_fuzz.case import Case as Case
    from offload_fuzz.errors import MissingDevice as MissingDevice
    from offload_fuzz.errors import OffloadError as OffloadError
    from offload_fuzz.errors import UsageError as UsageError
    from offload_fuzz.ops import defop as defop
    from offload_fuzz.ops import ulps as ulps
    from offload_fuzz.ops.base import Axes as Axes
    from offload_fuzz.ops.base import Axis as Axis
    from offload_fuzz.ops.base import Bool as Bool
    from offload_fuzz.ops.base import BroadcastShape as BroadcastShape
    from offload_fuzz.ops.base import Choice as Choice
    from offload_fuzz.ops.base import DTypeName as DTypeName
    from offload_fuzz.ops.base import Index as Index
    from offload_fuzz.ops.base import NewAxis as NewAxis
    from offload_fuzz.ops.base import Permutation as Permutation
    from offload_fuzz.ops.base import Range as Range
    from offload_fuzz.ops.base import SameSizeShape as SameSizeShape
    from offload_fuzz.ops.base import UnitAxes as UnitAxes
    from offload_fuzz.ops.base import exact as exact
    from offload_fuzz.plan import Plan as Plan
    from offload_fuzz.program import Program as Program
    from offload_fuzz.strategies import CaseBuilder as CaseBuilder
    from offload_fuzz.types import ArrayType as ArrayType

#: Module -> the public names that come from it.
_HOMES: dict[str, str] = {
    "adapters.validating": "validating",
    "api": "CounterexampleFound case_files check check_plans load_case run",
    "campaign.conformance.judge": "conformance",
    "campaign.report": "Report",
    "case": "Case",
    "errors": "MissingDevice OffloadError UsageError",
    "ops": "defop ulps",
    "ops.base": "Axes Axis Bool BroadcastShape Choice DTypeName Index NewAxis Permutation Range SameSizeShape UnitAxes "
    "exact",
    "plan": "Plan",
    "program": "Program",
    "strategies": "CaseBuilder",
    "types": "ArrayType",
}
_PUBLIC = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
