"""The simulated accelerator: the embedded default device, and the devkit before silicon."""

from offload_fuzz.adapters.simulated.device import Simulated as Simulated
from offload_fuzz.adapters.simulated.device import make as make
from offload_fuzz.adapters.simulated.faults import FAULTS as FAULTS
from offload_fuzz.adapters.simulated.faults import Fault as Fault
from offload_fuzz.adapters.simulated.faults import fault as fault
from offload_fuzz.adapters.simulated.hooks import HOOKS as HOOKS
from offload_fuzz.adapters.simulated.memory import OutOfMemory as OutOfMemory
from offload_fuzz.adapters.simulated.profiles import PROFILES as PROFILES
from offload_fuzz.adapters.simulated.profiles import Profile as Profile
from offload_fuzz.adapters.simulated.profiles import add_profiles as add_profiles
from offload_fuzz.adapters.simulated.queues import KernelError as KernelError
