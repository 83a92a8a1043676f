"""Names that have moved, for those who still import them from here."""

from offload_fuzz.ops.rounding import nearest as nearest
from offload_fuzz.ops.statistical import accumulated_dtype as accumulated_dtype
