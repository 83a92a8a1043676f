"""Ops of neural networks and special functions in NumPy, as source: what a script computes on the host.

Each is the op's definition in PyTorch's documentation, computed wider and rounded once, as in the reference.
"""

from __future__ import annotations

#: Ops of one expression; {w1} is the first operand, wider.
ONE_LINE = {
    "leaky_relu": "np.where({w1} > 0, {w1}, {negative_slope} * {w1})",
    "elu": "np.where({w1} > 0, {w1}, {alpha} * np.expm1(np.minimum({w1}, 0)))",
    "selu": "1.0507009873554805 * np.where({w1} > 0, {w1}, 1.6732632423543772 * np.expm1(np.minimum({w1}, 0)))",
    "expit": "1 / (1 + np.exp(-{w1}))",
    "silu": "np.where({w1} == -np.inf, -0.0, {w1} / (1 + np.exp(-{w1})))",
    "softplus": "np.logaddexp({w1}, 0)",
    "logsigmoid": "-np.logaddexp(-{w1}, 0)",
    "softsign": "{w1} / (1 + np.abs({w1}))",
    "hardsigmoid": "np.clip({w1} / 6 + 0.5, 0, 1)",
    "hardswish": "{w1} * np.clip({w1} / 6 + 0.5, 0, 1)",
    "mish": "{w1} * np.tanh(np.logaddexp({w1}, 0))",
    "rsqrt": "1 / np.sqrt({w1})",
    "erf": "np.vectorize(math.erf, otypes=[np.float64])({w1})",
    "erfc": "np.vectorize(math.erfc, otypes=[np.float64])({w1})",
    "linear": "np.matmul({w1}, {w2}.T) + {w3}",
}
#: As templates of `numpy_ops`.
THROUGH = {
    **{op: f"({text}).astype({{x1}}.dtype)" for op, text in ONE_LINE.items()},
    "relu": "np.maximum({x1}, {x1}.dtype.type(0))",
    "relu6": "np.minimum(np.maximum({x1}, {x1}.dtype.type(0)), {x1}.dtype.type(6))",
    "hardtanh": "np.minimum(np.maximum({x1}, {x1}.dtype.type(-1)), {x1}.dtype.type(1))",
}
FUNCTIONS = {
    "wide": '''
def wide(x):
    """x with more bits than it needs: results are rounded once, at the end."""
    return x.astype(np.longdouble if x.dtype == np.float64 else np.float64)
''',
    "xlogy": '''
def xlogy(x1, x2):
    dtype = np.result_type(x1, x2)
    x1, x2 = wide(x1), wide(x2)
    return np.where((x1 == 0) & ~np.isnan(x2), 0.0, x1 * np.log(x2)).astype(dtype)
''',
    "gelu": '''
def gelu(x, approximate):
    w = wide(x)
    if approximate == "tanh":
        half = 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (w + 0.044715 * w**3)))
    else:
        half = 0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-w / math.sqrt(2))
    return np.where(w == -np.inf, -0.0, w * half).astype(x.dtype)
''',
    "softmax": '''
def softmax(x, axis):
    w = wide(x)
    e = np.exp(w - w.max(axis=axis, keepdims=True, initial=-np.inf))
    return (e / e.sum(axis=axis, keepdims=True)).astype(x.dtype)
''',
    "log_softmax": '''
def log_softmax(x, axis):
    w = wide(x)
    w = w - w.max(axis=axis, keepdims=True, initial=-np.inf)
    return (w - np.log(np.exp(w).sum(axis=axis, keepdims=True))).astype(x.dtype)
''',
    "logsumexp": '''
def logsumexp(x, axis, keepdims):
    return np.logaddexp.reduce(wide(x), axis=axis, keepdims=keepdims).astype(x.dtype)
''',
    "layer_norm": '''
def layer_norm(x, weight, bias, epsilon):
    w = wide(x)
    w = (w - w.mean(axis=-1, keepdims=True)) / np.sqrt(w.var(axis=-1, keepdims=True) + epsilon)
    return (w * wide(weight) + wide(bias)).astype(x.dtype)
''',
    "rms_norm": '''
def rms_norm(x, weight, epsilon):
    w = wide(x)
    return (w / np.sqrt(np.mean(w * w, axis=-1, keepdims=True) + epsilon) * wide(weight)).astype(x.dtype)
''',
    "batch_norm": '''
def batch_norm(x, mean, variance, epsilon):
    mean, variance = (wide(v).reshape(-1, *(1,) * (x.ndim - 2)) for v in (mean, variance))
    return ((wide(x) - mean) / np.sqrt(variance + epsilon)).astype(x.dtype)
''',
    "scaled_dot_product_attention": '''
def scaled_dot_product_attention(query, key, value, is_causal):
    q, k, v = (wide(x) for x in (query, key, value))
    scores = np.matmul(q / math.sqrt(q.shape[-1]), np.swapaxes(k, -1, -2))
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.matmul(e / e.sum(axis=-1, keepdims=True), v).astype(query.dtype)
''',
    "windows": '''
def windows(x, size, stride, padding=0, dilation=1, fill=0):
    """The windows of the axes after the first two, as many axes more at the end."""
    n = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * n], constant_values=fill)
    reach = tuple((k - 1) * dilation + 1 for k in size)
    found = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, 2 + n)))
    return found[(slice(None), slice(None), *[slice(None, None, stride)] * n, *[slice(None, None, dilation)] * n)]
''',
    "convolution": '''
def convolution(x, weight, stride, padding, dilation, groups):
    w = windows(wide(x), weight.shape[2:], stride, padding, dilation)
    size = w.shape[2 : x.ndim]
    terms = math.prod(weight.shape[1:])
    w = np.moveaxis(w, 1, x.ndim - 1).reshape(x.shape[0], *size, groups, terms)
    k = wide(weight).reshape(groups, weight.shape[0] // groups, terms)
    out = np.stack([w[..., g, :] @ k[g].T for g in range(groups)], axis=-2)
    return np.moveaxis(out.reshape(x.shape[0], *size, weight.shape[0]), -1, 1).astype(x.dtype)
''',
    "max_pool": '''
def max_pool(x, kernel_size, stride, padding):
    n = x.ndim - 2
    w = windows(x, (kernel_size,) * n, stride, padding, fill=np.asarray(-np.inf, x.dtype))
    return np.maximum.reduce(w.reshape(*w.shape[: x.ndim], kernel_size**n), axis=-1)
''',
    "avg_pool": '''
def avg_pool(x, kernel_size, stride):
    n = x.ndim - 2
    w = windows(wide(x), (kernel_size,) * n, stride)
    return w.reshape(*w.shape[: x.ndim], kernel_size**n).mean(axis=-1).astype(x.dtype)
''',
    "conv1d": "conv1d = convolution\n",
    "conv2d": "conv2d = convolution\n",
    "max_pool1d": "max_pool1d = max_pool\n",
    "max_pool2d": "max_pool2d = max_pool\n",
    "avg_pool1d": "avg_pool1d = avg_pool\n",
    "avg_pool2d": "avg_pool2d = avg_pool\n",
    "setitem": '''
def setitem(x, value, index):
    out = x.copy()
    out[index] = value
    return out
''',
    "scatter_add": '''
def scatter_add(x, value, index):
    out = x.copy()
    out[(*index, ...)] = out[(*index, ...)] + value
    return out
''',
    "index_add": '''
def index_add(x, indices, value, axis):
    dtype = x.dtype if x.dtype.kind in "biu" else wide(x).dtype
    out = np.moveaxis(x, axis, 0).astype(dtype)
    if out.size:
        np.add.at(out, indices % out.shape[0], np.moveaxis(value, axis, 0).astype(dtype))
    return np.moveaxis(out, 0, axis).astype(x.dtype)
''',
    "pixel_shuffle": '''
def pixel_shuffle(x, factor):
    n, c, h, w = x.shape
    r = factor
    split = x.reshape(n, c // (r * r), r, r, h, w)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(n, c // (r * r), h * r, w * r)
''',
}  # fmt: skip  # source


def calls(op: str) -> tuple[str, ...]:
    """The functions of the table that the source of `op` calls, beside its own."""
    text = FUNCTIONS.get(op, "") + THROUGH.get(op, "")
    stem = op[:-2] if op[-2:] in ("1d", "2d") else ""
    stem = "convolution" if stem == "conv" else stem
    found = {"wide", "windows"} if stem else {"wide"} if "{w" in text or "wide(" in text else set()
    return (*(name for name in ("wide", "windows") if name in found), *([stem] if stem else []))
