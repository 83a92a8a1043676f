"""What each op is in NumPy, as source: an expression of x1, x2, ... and its attributes, for what runs on the host.

An op that is one universal function is that function. Ops of several steps are functions of `numpy_neural`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offload_fuzz.adapters.numpy import DIFFERS
from offload_fuzz.export.numpy_neural import FUNCTIONS, THROUGH, calls
from offload_fuzz.export.trace import Untraceable, dtype_text, literal, slice_text, source
from offload_fuzz.ops.base import OPS, normalize_axes, slices
from offload_fuzz.ops.clamping import limits
from offload_fuzz.ops.statistical import accumulated_dtype
from offload_fuzz.program import Node
from offload_fuzz.types import DTYPES, ArrayType, promote

#: {x1}, {x2}: operands; {x1c}, {x2c}: in their {common} dtype; {w1}: wider; {acc}: the dtype that sums have; {dims}:
#: axis and keepdims as they are passed; else attributes.
TEMPLATES = {
    "sum": "np.add.reduce({x1}, {dims}, dtype={acc})",
    "prod": "np.multiply.reduce({x1}, {dims}, dtype={acc})",
    "mean": "np.mean({x1}, {dims})",
    "max": "np.maximum.reduce({x1}, {dims})",
    "min": "np.minimum.reduce({x1}, {dims})",
    "nanmax": "np.fmax.reduce({x1}, {dims})",
    "nanmin": "np.fmin.reduce({x1}, {dims})",
    "nansum": "np.add.reduce(np.where(np.isnan({x1}), {x1}.dtype.type(0), {x1}), {dims})",
    "nanmean": "np.nanmean({x1}, {dims})",
    "var": "np.var({x1}, {dims}, ddof={correction})",
    "std": "np.std({x1}, {dims}, ddof={correction})",
    "all": "np.all({x1}, {dims})",
    "any": "np.any({x1}, {dims})",
    "argmax": "np.argmax({x1}, {dims})",
    "argmin": "np.argmin({x1}, {dims})",
    "count_nonzero": "np.add.reduce({x1} != 0, {dims}, dtype=np.int64)",
    "vector_norm": "np.linalg.vector_norm({x1}, {dims}, ord={ord}).astype({x1}.dtype)",
    "cumulative_sum": "np.cumsum({x1}, axis={axis}, dtype={acc})",
    "cumulative_prod": "np.cumprod({x1}, axis={axis}, dtype={acc})",
    "cumulative_max": "np.maximum.accumulate({x1}, axis={axis})",
    "cumulative_min": "np.minimum.accumulate({x1}, axis={axis})",
    "diff": "np.diff({x1}, {n}, {axis})",
    "trace": "np.add.reduce(np.diagonal({x1}, {offset}, -2, -1), axis=-1, dtype={acc})",
    "where": "np.where({x1}, {x2}, {x3})",
    "bitcast": "{x1}.view({dtype})",
    "astype": "{x1}.astype({dtype})",
    "isneginf": "np.asarray({x1} == -np.inf)",
    "isposinf": "np.asarray({x1} == np.inf)",
    "nan_to_num": "np.nan_to_num({x1})",
    "clip": "np.minimum(np.maximum({x1}, {low}), {high})",
    "real": "{x1}.real.copy()",
    "imag": "{x1}.imag.copy()",
    "full": "np.full({shape}, {fill_value}, {dtype})",
    "ones": "np.ones({shape}, {dtype})",
    "zeros": "np.zeros({shape}, {dtype})",
    "eye": "np.eye({n_rows}, {n_cols}, {k}, {dtype})",
    "arange": "np.arange({start}, {stop}, {step}, dtype={dtype})",
    "linspace": "np.linspace({start}, {stop}, num={num}, dtype={dtype})",
    "full_like": "np.full({x1}.shape, {fill_value}, {x1}.dtype)",
    "ones_like": "np.ones({x1}.shape, {x1}.dtype)",
    "zeros_like": "np.zeros({x1}.shape, {x1}.dtype)",
    "tril": "np.tril({x1}, {k})",
    "triu": "np.triu({x1}, {k})",
    "getitem": "{x1}[{index}]",
    "take": "np.take({x1}, {x2} % {x1}.shape[{axis}], axis={axis})",
    "take_along_axis": "np.take_along_axis({x1}, {x2}, {axis})",
    "embedding": "np.take({x1}, {x2} % {x1}.shape[0], axis=0)",
    "one_hot": "({x1}[..., None] == np.arange({num_classes})).astype(np.int64)",
    "vecdot": "np.vecdot({x1c}, {x2c}, axis={axis}).astype({common})",
    "tensordot": "np.tensordot({x1c}, {x2c}, {axes}).astype({common})",
    "outer": "np.outer({x1}, {x2})",
    "kron": "np.kron({x1}, {x2})",
    "cross": "np.cross({x1c}, {x2c})",
    "matmul": "np.matmul({x1c}, {x2c}).astype({common})",
    "reshape": "np.reshape({x1}, {shape})",
    "permute_dims": "np.transpose({x1}, {axes})",
    "flip": "np.flip({x1}, {axis})",
    "broadcast_to": "np.broadcast_to({x1}, {shape})",
    "squeeze": "np.squeeze({x1}, {axis})",
    "expand_dims": "np.expand_dims({x1}, {axis})",
    "concat": "np.concatenate(({x1}, {x2}), axis={axis})",
    "sort": "np.sort({x1}, axis={axis}, stable=True)",
    "searchsorted": "np.searchsorted({x1}, {x2}, side={side})",
    "moveaxis": "np.moveaxis({x1}, {source}, {destination})",
    "swapaxes": "np.swapaxes({x1}, {axis1}, {axis2})",
    "matrix_transpose": "np.swapaxes({x1}, -1, -2)",
    "rot90": "np.rot90({x1}, {k})",
    "diagonal": "np.diagonal({x1}, {offset}, -2, -1)",
    "repeat": "np.repeat({x1}, {repeats}, {axis})",
    "roll": "np.roll({x1}, {shift}, {axis})",
    "tile": "np.tile({x1}, {repetitions})",
    "pad": "np.pad({x1}, {width})",
    "unstack": "np.unstack({x1}, axis={axis})[{element}]",
    "stack": "np.stack(({x1}, {x2}), {axis})",
    "meshgrid": "np.meshgrid({x1}, {x2}, indexing={indexing})[{element}]",
    **THROUGH,
}


def numpy_source(node: Node, names: Sequence[str], types: Sequence[ArrayType], out: str | None = None) -> str:
    """The expression of `node` on host arrays called `names`, of `types`; into `out` if given.

    Raises `Untraceable` for an op that has none.
    """
    function = DIFFERS.get(node.op, OPS[node.op].numpy)
    if isinstance(function, np.ufunc):
        call = f"np.{function.__name__}({', '.join(names)}{f', out={out}' if out else ''})"
        return call if any(t.shape for t in types) else f"np.asarray({call})"
    template = special(node, names) if node.op not in TEMPLATES else TEMPLATES[node.op]
    known: dict[str, str] = {f"x{i}": name for i, name in enumerate(names, 1)}
    known |= {f"w{i}": f"wide({name})" for i, name in enumerate(names, 1)}
    known |= {name: source(value) for name, value in node.attributes.items()}
    if "dtype" in node.attributes:
        known["dtype"] = dtype_text(DTYPES[node.attributes["dtype"]].np)
    if "index" in node.attributes:
        index = node.attributes["index"]
        known["element"] = str(index)
        if isinstance(index, tuple):
            known["index"] = ", ".join([*map(slice_text, slices(index)), "..."])
    if types and "keepdims" in node.attributes:
        axis = node.attributes["axis"]
        axis = normalize_axes(axis, types[0].ndim) if isinstance(axis, tuple) else axis
        known["dims"] = f"axis={source(axis)}, keepdims={node.attributes['keepdims']}"
    if "{acc}" in template:
        known["acc"] = dtype_text(DTYPES[accumulated_dtype(types[0].dtype)].np)
    if "{x1c}" in template:
        common = dtype_text(DTYPES[promote(types[0].dtype, types[1].dtype)].np)
        same = types[0].dtype == types[1].dtype
        known["common"] = common
        known |= {f"x{i}c": name if same else f"{name}.astype({common})" for i, name in enumerate(names, 1)}
    if node.op == "clip":
        low, high = limits(DTYPES[types[0].dtype].np, node.attributes["min"], node.attributes["max"])
        known |= {"low": literal(low), "high": literal(high)}
    return f"np.asarray({template.format(**known)})"


def special(node: Node, names: Sequence[str]) -> str:
    """The expression of an op whose form depends on its attributes; raises `Untraceable` for one that has none."""
    if node.op == "argsort":
        if not node.attributes["descending"]:
            return "np.argsort({x1}, axis={axis}, stable=True)"
        return "{x1}.shape[{axis}] - 1 - np.flip(np.argsort(np.flip({x1}, {axis}), axis={axis}, stable=True), {axis})"
    if node.op in FUNCTIONS:
        given = [*names, *[f"{k}={source(v)}" for k, v in node.attributes.items() if k != "index"]]
        if "index" in node.attributes:
            index = ", ".join(repr(s) for s in slices(node.attributes["index"]))
            given.append(f"index=({index}{',' if node.attributes['index'] else ''})")
        return f"{node.op}({', '.join(given)})".replace("{", "{{").replace("}", "}}")
    what = "is a custom op" if OPS[node.op].custom else "has no source in NumPy here"
    raise Untraceable(f"{node.op} {what}, so that nothing stands for it on the host [export]")


def helpers(ops: Sequence[str]) -> list[str]:
    """The functions that the expressions of `ops` call."""
    wanted = dict.fromkeys(name for op in ops for name in (*calls(op), op) if name in FUNCTIONS)
    return [FUNCTIONS[name] for name in wanted]
