"""The simulated accelerator: the embedded default device, and the devkit before silicon."""

from offload_fuzz.adapters.simulated.device import Simulated as Simulated
from offload_fuzz.adapters.simulated.device import make as make
from offload_fuzz.adapters.simulated.faults import FAULTS as FAULTS
from offload_fuzz.adapters.simulated.faults import Fault as Fault
from offload_fuzz.adapters.simulated.faults import fault as fault
from offload_fuzz.adapters.simulated.hooks import HOOKS as HOOKS
from offload_fuzz.adapters.simulated.profiles import PROFILES as PROFILES
