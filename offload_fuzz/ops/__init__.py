"""The ops: one table, `OPS`, of rows by array API category."""

from offload_fuzz.ops import elementwise as elementwise
from offload_fuzz.ops import shaped as shaped
from offload_fuzz.ops.base import OPS as OPS
from offload_fuzz.ops.base import Op as Op
from offload_fuzz.ops.base import defop as defop
from offload_fuzz.ops.base import find_op as find_op
from offload_fuzz.ops.base import ulps as ulps

BUILT_IN: tuple[str, ...] = tuple(OPS)
