"""Statistics, searching, sorting, manipulation, indexing, linear algebra and creation in JAX, as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offload_fuzz.ops.statistical import accumulated_dtype

Table = dict[str, Callable[..., Any]]


def shaping(jax: Any, of_common: Callable[[Any], Any]) -> Table:
    """All of them. of_common: casts two operands to their common dtype first."""
    jnp = jax.numpy
    return {
        **_statistics(jax),
        **_manipulation(jnp),
        **_linear_algebra(jnp, of_common),
        **_creation(jnp),
        "argmin": lambda x, *, axis, keepdims: jnp.argmin(x, axis=axis, keepdims=keepdims).astype("int64"),
        "argsort": lambda x, *, axis, descending: _int64(jnp.argsort(x, axis=axis, stable=True, descending=descending)),
        "count_nonzero": lambda x, **over: _int64(jnp.count_nonzero(x, **over)),
        "searchsorted": lambda x1, x2, *, side: _int64(of_common(jnp.searchsorted)(x1, x2, side=side)),
        "all": jnp.all,
        "any": jnp.any,
        "take_along_axis": lambda x, indices, *, axis: jnp.take_along_axis(x, indices, axis=axis),
    }


def _int64(x: Any) -> Any:
    return x.astype("int64")


def _statistics(jax: Any) -> Table:
    jnp, lax = jax.numpy, jax.lax

    def accumulated(function: Any) -> Callable[..., Any]:
        return lambda x, **attributes: function(x, dtype=accumulated_dtype(x.dtype.name), **attributes)

    return {
        "min": jnp.min,
        "std": jnp.std,
        "var": jnp.var,
        "cumulative_prod": accumulated(jnp.cumprod),
        "cumulative_max": lambda x, *, axis: lax.cummax(x, axis % x.ndim),
        "cumulative_min": lambda x, *, axis: lax.cummin(x, axis % x.ndim),
        "diff": lambda x, *, axis, n: jnp.diff(x, n=n, axis=axis),
        "nansum": accumulated(jnp.nansum),
        "nanmax": jnp.nanmax,
        "nanmin": jnp.nanmin,
        "nanmean": jnp.nanmean,
    }


def _manipulation(jnp: Any) -> Table:
    return {
        "moveaxis": lambda x, *, source, destination: jnp.moveaxis(x, source, destination),
        "repeat": lambda x, *, repeats, axis: jnp.repeat(x, repeats, axis=axis),
        "roll": lambda x, *, shift, axis: jnp.roll(x, shift, axis=axis),
        "stack": lambda x1, x2, *, axis: jnp.stack((x1, x2), axis=axis),
        "tile": lambda x, *, repetitions: jnp.tile(x, repetitions),
        "unstack": lambda x, *, axis, index: jnp.unstack(x, axis=axis)[index],
        "meshgrid": lambda x1, x2, *, indexing, index: jnp.meshgrid(x1, x2, indexing=indexing)[index],
        "swapaxes": lambda x, *, axis1, axis2: jnp.swapaxes(x, axis1, axis2),
        "rot90": lambda x, *, k: jnp.rot90(x, k, axes=(0, 1)),
        "pad": lambda x, *, width: jnp.pad(x, width),
        "tril": lambda x, *, k: jnp.tril(x, k),
        "triu": lambda x, *, k: jnp.triu(x, k),
    }


def _linear_algebra(jnp: Any, of_common: Callable[[Any], Any]) -> Table:
    return {
        "vecdot": of_common(jnp.vecdot),
        "tensordot": lambda x1, x2, *, axes: of_common(lambda a, b: jnp.tensordot(a, b, axes))(x1, x2),
        "outer": of_common(jnp.outer),
        "cross": of_common(jnp.cross),
        "kron": of_common(jnp.kron),
        "matrix_transpose": jnp.matrix_transpose,
        "diagonal": lambda x, *, offset: jnp.linalg.diagonal(x, offset=offset),
        "trace": lambda x, *, offset: jnp.linalg.trace(x, offset=offset, dtype=accumulated_dtype(x.dtype.name)),
        "vector_norm": jnp.linalg.vector_norm,
    }


def _creation(jnp: Any) -> Table:
    return {
        "arange": lambda *, start, stop, step, dtype: jnp.arange(start, stop, step, dtype=dtype),
        "linspace": lambda *, start, stop, num, dtype: jnp.linspace(start, stop, num, dtype=dtype),
        "eye": lambda *, n_rows, n_cols, k, dtype: jnp.eye(n_rows, n_cols, k, dtype=dtype),
        "full": lambda *, shape, fill_value, dtype: jnp.full(shape, fill_value, dtype=dtype),
        "ones": lambda *, shape, dtype: jnp.ones(shape, dtype=dtype),
        "zeros": lambda *, shape, dtype: jnp.zeros(shape, dtype=dtype),
        "full_like": lambda x, *, fill_value: jnp.full_like(x, fill_value),
        "ones_like": jnp.ones_like,
        "zeros_like": jnp.zeros_like,
    }
