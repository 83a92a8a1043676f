"""What a JAX device is asked at start-up: for each op with attributes or particular operands, an example of a call.

Nothing is compiled: `jax.eval_shape` traces the op. An op without an example takes operands of shape (2, 2) of the
probed dtype and no attributes.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

Shape = tuple[int, ...]
SQUARE: Shape = (2, 2)
AXIS = {"axis": 0}
REDUCE = {"axis": (0,), "keepdims": False}
REDUCE_ONE = {"axis": 0, "keepdims": False}
BACKWARDS = ((None, None, -1), (0, 2, 1))
WINDOW = {"kernel_size": 2, "stride": 1}
CONVOLVE = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


@frozen
class Example:
    """Attributes, and the shapes of the operands; dtypes names those operands that have not the probed dtype."""

    attributes: dict[str, Any] = field(factory=dict)
    shapes: tuple[Shape, ...] | None = None
    dtypes: dict[int, str] = field(factory=dict)


#: op -> example; an attribute dtype of None stands for the probed one.
EXAMPLES: dict[str, Example] = {
    **dict.fromkeys(("sum", "prod", "mean", "max", "min", "nansum", "nanmax", "nanmin", "nanmean"), Example(REDUCE)),
    **dict.fromkeys(("all", "any", "count_nonzero"), Example(REDUCE)),
    **dict.fromkeys(("std", "var"), Example({**REDUCE, "correction": 0})),
    **dict.fromkeys(("argmax", "argmin", "logsumexp"), Example(REDUCE_ONE)),
    **dict.fromkeys(("cumulative_sum", "cumulative_prod", "cumulative_max", "cumulative_min"), Example(AXIS)),
    **dict.fromkeys(("sort", "concat", "stack", "softmax", "log_softmax"), Example(AXIS)),
    "argsort": Example({"axis": 0, "descending": False}),
    "diff": Example({"axis": 0, "n": 1}),
    "searchsorted": Example({"side": "left"}, ((2,), (2,))),
    "reshape": Example({"shape": (4,)}),
    "permute_dims": Example({"axes": (1, 0)}),
    "flip": Example({"axis": None}),
    "broadcast_to": Example({"shape": (2, 2, 2)}),
    "squeeze": Example({"axis": ()}),
    "expand_dims": Example(AXIS),
    "getitem": Example({"index": BACKWARDS}),
    "setitem": Example({"index": BACKWARDS}),
    "scatter_add": Example({"index": BACKWARDS}),
    "take": Example(AXIS, (SQUARE, (1,)), {1: "int64"}),
    "take_along_axis": Example(AXIS, (SQUARE, SQUARE), {1: "int64"}),
    "index_add": Example(AXIS, (SQUARE, (1,), (1, 2)), {1: "int64"}),
    "embedding": Example({}, (SQUARE, (2,)), {1: "int64"}),
    "one_hot": Example({"num_classes": 2}, ((2,),), {0: "int64"}),
    "where": Example({}, None, {0: "bool"}),
    **dict.fromkeys(("astype", "bitcast"), Example({"dtype": None})),
    "ldexp": Example({}, None, {1: "int32"}),
    "clip": Example({"min": 0, "max": 1}),
    "moveaxis": Example({"source": 0, "destination": 1}),
    "swapaxes": Example({"axis1": 0, "axis2": 1}),
    "repeat": Example({"repeats": 2, "axis": 0}),
    "roll": Example({"shift": 1, "axis": 0}),
    "tile": Example({"repetitions": (1, 2)}),
    "unstack": Example({"axis": 0, "index": 0}),
    "meshgrid": Example({"indexing": "xy", "index": 0}, ((2,), (3,))),
    "rot90": Example({"k": 1}),
    "pad": Example({"width": ((1, 0), (0, 1))}),
    **dict.fromkeys(("tril", "triu"), Example({"k": 0})),
    "vecdot": Example({"axis": -1}),
    "tensordot": Example({"axes": 1}),
    "outer": Example({}, ((2,), (2,))),
    "cross": Example({}, ((2, 3), (2, 3))),
    **dict.fromkeys(("diagonal", "trace"), Example({"offset": 0})),
    "vector_norm": Example({**REDUCE, "ord": 2}),
    "arange": Example({"start": 0, "stop": 2, "step": 1, "dtype": None}),
    "linspace": Example({"start": 0, "stop": 2, "num": 3, "dtype": None}),
    "eye": Example({"n_rows": 2, "n_cols": 2, "k": 0, "dtype": None}),
    "full": Example({"shape": SQUARE, "fill_value": 1, "dtype": None}),
    **dict.fromkeys(("ones", "zeros"), Example({"shape": SQUARE, "dtype": None})),
    "full_like": Example({"fill_value": 1}),
    "leaky_relu": Example({"negative_slope": 0.5}),
    "elu": Example({"alpha": 1.0}),
    "gelu": Example({"approximate": "none"}),
    "layer_norm": Example({"epsilon": 0.5}, (SQUARE, (2,), (2,))),
    "rms_norm": Example({"epsilon": 0.5}, (SQUARE, (2,))),
    "batch_norm": Example({"epsilon": 0.5}, (SQUARE, (2,), (2,))),
    "linear": Example({}, (SQUARE, SQUARE, (2,))),
    "conv1d": Example(CONVOLVE, ((1, 1, 3), (1, 1, 2))),
    "conv2d": Example(CONVOLVE, ((1, 1, 3, 3), (1, 1, 2, 2))),
    "max_pool1d": Example({**WINDOW, "padding": 0}, ((1, 1, 3),)),
    "max_pool2d": Example({**WINDOW, "padding": 0}, ((1, 1, 3, 3),)),
    "avg_pool1d": Example(WINDOW, ((1, 1, 3),)),
    "avg_pool2d": Example(WINDOW, ((1, 1, 3, 3),)),
    "scaled_dot_product_attention": Example({"is_causal": True}, (SQUARE, SQUARE, SQUARE)),
    "pixel_shuffle": Example({"factor": 2}, ((1, 4, 2, 2),)),
}
