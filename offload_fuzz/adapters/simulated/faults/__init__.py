"""Wrongness to plant on purpose: each fault is one function on a named hook, most modelled on a public bug report.

A fault gets what the lawful device is about to do, then the circumstances (`offload_fuzz.adapters.simulated.hooks`),
and returns what the faulty device does instead. `table` holds them all; each class has a module, imported here.
"""

from __future__ import annotations

from offload_fuzz.adapters.simulated.faults import aliasing as aliasing
from offload_fuzz.adapters.simulated.faults import compiled as compiled
from offload_fuzz.adapters.simulated.faults import errors as errors
from offload_fuzz.adapters.simulated.faults import fallback as fallback
from offload_fuzz.adapters.simulated.faults import memory as memory
from offload_fuzz.adapters.simulated.faults import metadata as metadata
from offload_fuzz.adapters.simulated.faults import multi_device as multi_device
from offload_fuzz.adapters.simulated.faults import ordering as ordering
from offload_fuzz.adapters.simulated.faults import precision as precision
from offload_fuzz.adapters.simulated.faults import semantics as semantics
from offload_fuzz.adapters.simulated.faults import transfer as transfer
from offload_fuzz.adapters.simulated.faults.table import CLASSES as CLASSES
from offload_fuzz.adapters.simulated.faults.table import FAULTS as FAULTS
from offload_fuzz.adapters.simulated.faults.table import Fault as Fault
from offload_fuzz.adapters.simulated.faults.table import fault as fault
