"""What each op of neural networks is in PyTorch: op -> function(operands, attributes), and what a device is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
Run: TypeAlias = Callable[[list[Tensor], dict[str, Any]], Tensor]

#: Activations without attributes: op -> name in torch.nn.functional.
PLAIN = {
    "relu": "relu",
    "relu6": "relu6",
    "hardtanh": "hardtanh",
    "silu": "silu",
    "softplus": "softplus",
    "logsigmoid": "logsigmoid",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "softsign": "softsign",
}
#: Ops that take their operands in order and their attributes by the same names.
NAMED = {
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "gelu": "gelu",
    "linear": "linear",
    "conv1d": "conv1d",
    "conv2d": "conv2d",
    "max_pool1d": "max_pool1d",
    "max_pool2d": "max_pool2d",
    "avg_pool1d": "avg_pool1d",
    "avg_pool2d": "avg_pool2d",
    "scaled_dot_product_attention": "scaled_dot_product_attention",
}

X3, X4, SQUARE, ROW = (1, 2, 4), (1, 4, 4, 4), (2, 2), (2,)
STRIDES = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
MAXIMUM = {"kernel_size": 2, "stride": 1, "padding": 0}
AVERAGE = {"kernel_size": 2, "stride": 1}
EPSILON = {"epsilon": 2.0**-10}
#: op -> shapes of the operands (with a dtype of their own after a slash) and attributes of the questions.
PROBES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    **{op: [((SQUARE,), {})] for op in PLAIN},
    "leaky_relu": [((SQUARE,), {"negative_slope": 0.25})],
    "elu": [((SQUARE,), {"alpha": 1.0})],
    "gelu": [((SQUARE,), {"approximate": how}) for how in ("none", "tanh")],
    "softmax": [((SQUARE,), {"axis": axis}) for axis in (0, 1)],
    "log_softmax": [((SQUARE,), {"axis": axis}) for axis in (0, 1)],
    "logsumexp": [((SQUARE,), {"axis": 0, "keepdims": False})],
    "scaled_dot_product_attention": [
        (((1, *lead, 2, 2),) * 3, {"is_causal": causal}) for lead in ((), (2,)) for causal in (False, True)
    ],
    "linear": [((SQUARE, SQUARE, ROW), {})],
    "conv1d": [((X3, (2, 2, 2)), STRIDES)],
    "conv2d": [((X4, (2, 4, 2, 2)), STRIDES)],
    "max_pool1d": [((X3,), MAXIMUM)],
    "max_pool2d": [((X4,), MAXIMUM)],
    "avg_pool1d": [((X3,), AVERAGE)],
    "avg_pool2d": [((X4,), AVERAGE)],
    "embedding": [((SQUARE, "int64"), {})],
    "one_hot": [((SQUARE,), {"num_classes": 4})],
    "scatter_add": [((SQUARE, (2, 1)), {"index": ((None, None, -1), (0, 1, 1))})],
    "index_add": [(((2, 1), "int64", (1, 1)), {"axis": 0})],
    "pixel_shuffle": [((X4,), {"factor": 2})],
    "layer_norm": [((SQUARE, ROW, ROW), EPSILON)],
    "rms_norm": [((SQUARE, ROW), EPSILON)],
    "batch_norm": [((SQUARE, ROW, ROW), EPSILON), ((X3, ROW, ROW), EPSILON)],
}


def runs(t: Any, forward: Callable[..., Any]) -> dict[str, Run]:
    """The table for module `t` (torch); `forward` turns a region into slices of positive step."""
    f = t.nn.functional

    def scatter_add(operands: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        x, value = operands
        out = x.clone()
        region, reversed_axes = forward(attributes["index"], x.shape)
        out[region].add_(t.flip(value, reversed_axes) if reversed_axes else value)
        return out

    return {
        **{op: _plain(getattr(f, name)) for op, name in PLAIN.items()},
        **{op: _named(getattr(f, name)) for op, name in NAMED.items()},
        "softmax": lambda o, a: f.softmax(o[0], a["axis"]),
        "log_softmax": lambda o, a: f.log_softmax(o[0], a["axis"]),
        "logsumexp": lambda o, a: t.logsumexp(o[0], a["axis"], a["keepdims"]),
        "layer_norm": lambda o, a: f.layer_norm(o[0], o[1].shape, o[1], o[2], a["epsilon"]),
        "rms_norm": lambda o, a: f.rms_norm(o[0], o[1].shape, o[1], a["epsilon"]),
        "batch_norm": lambda o, a: f.batch_norm(o[0], o[1], o[2], eps=a["epsilon"]),
        "embedding": lambda o, a: f.embedding(o[1], o[0]),
        "one_hot": lambda o, a: f.one_hot(o[0].to(t.int64), a["num_classes"]),
        "scatter_add": scatter_add,
        "index_add": lambda o, a: t.index_add(o[0], a["axis"], o[1], o[2]),
        "pixel_shuffle": lambda o, a: f.pixel_shuffle(o[0], a["factor"]),
    }


def _plain(function: Any) -> Run:
    return lambda operands, attributes: function(operands[0])


def _named(function: Any) -> Run:
    return lambda operands, attributes: function(*operands, **attributes)
