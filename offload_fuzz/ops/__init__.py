"""The ops: one table, `OPS`, of rows by array API category."""

from offload_fuzz.ops import elementwise as elementwise
from offload_fuzz.ops import statistical as statistical  # isort: split

from offload_fuzz.ops import activations as activations  # isort: split

from offload_fuzz.ops import attention as attention
from offload_fuzz.ops import bits as bits
from offload_fuzz.ops import clamping as clamping
from offload_fuzz.ops import comparison as comparison
from offload_fuzz.ops import complex_numbers as complex_numbers
from offload_fuzz.ops import convolution as convolution
from offload_fuzz.ops import creation as creation
from offload_fuzz.ops import data_type as data_type
from offload_fuzz.ops import embedding as embedding
from offload_fuzz.ops import exponential as exponential
from offload_fuzz.ops import extremes as extremes  # isort: split

from offload_fuzz.ops import further_sums as further_sums
from offload_fuzz.ops import indexing as indexing
from offload_fuzz.ops import inner_products as inner_products
from offload_fuzz.ops import linear_algebra as linear_algebra
from offload_fuzz.ops import manipulation as manipulation
from offload_fuzz.ops import normalization as normalization
from offload_fuzz.ops import ordering as ordering
from offload_fuzz.ops import pooling as pooling
from offload_fuzz.ops import rearranging as rearranging
from offload_fuzz.ops import searching as searching
from offload_fuzz.ops import signs_and_steps as signs_and_steps
from offload_fuzz.ops import spread as spread
from offload_fuzz.ops import trigonometric as trigonometric
from offload_fuzz.ops.base import OPS as OPS
from offload_fuzz.ops.base import Op as Op
from offload_fuzz.ops.base import find_op as find_op
from offload_fuzz.ops.base import ulps as ulps
from offload_fuzz.ops.custom import defop as defop

BUILT_IN: tuple[str, ...] = tuple(OPS)
