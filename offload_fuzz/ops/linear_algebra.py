"""Linear algebra functions of the array API standard: matmul."""

from __future__ import annotations

import numpy as np

from offload_fuzz.errors import require
from offload_fuzz.ops.base import Operand, accumulating, broadcast_shapes, shaped
from offload_fuzz.ops.complex_rules import matrix_product
from offload_fuzz.ops.sums import matmul_rule
from offload_fuzz.types import ArrayType, promote


@shaped(
    np.matmul, matrix_product(matmul_rule), "linear algebra", ("numeric",), accumulating,
    operands=(Operand(), Operand("contracts")),
)  # fmt: skip  # one row
def matmul(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """Matrix product over the last two axes; leading axes broadcast."""
    require(min(x1.ndim, x2.ndim) >= 2, f"matmul takes matrices, got {x1} and {x2}")
    *batch1, m, k1 = x1.shape
    *batch2, k2, n = x2.shape
    require(k1 == k2, f"matmul contracts {k1} with {k2} in {x1} @ {x2}")
    batch = broadcast_shapes(tuple(batch1), tuple(batch2))
    return ArrayType(promote(x1.dtype, x2.dtype), (*batch, m, n))
