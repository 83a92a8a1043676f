"""JAX on the CPU: every op and dtype that it has, within its contract; transfers, layouts, places, start-up."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters import jax as adapter
from offload_fuzz.adapters.jax import JaxDevice
from offload_fuzz.adapters.jax_ops import ALIASING
from offload_fuzz.adapters.jax_probes import EXAMPLES, SQUARE, Example
from offload_fuzz.contract import union
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import place
from offload_fuzz.errors import MissingDevice, UsageError
from offload_fuzz.host_arrays import HostMemory, float_environment
from offload_fuzz.ops import BUILT_IN, OPS, defop, ulps
from offload_fuzz.ops.data_type import fits
from offload_fuzz.program import Builder
from offload_fuzz.reference import evaluate_program
from offload_fuzz.types import DTYPES, Array, ArrayType, is_complex, type_of

from ..devices import LAYOUTS, Case, cases, elements, laid_out

pytestmark = pytest.mark.real_device
CONTRACTS = (contract_named("xla-cpu"), union([contract_named("numpy"), contract_named("xla-cpu")]))
#: JAX compiles each op for each type: a few dtypes of each kind stand for all.
SOME_DTYPES = (
    "bool", "int8", "int64", "uint32", "float16", "bfloat16", "float32", "float64", "complex64", "float8_e5m2", "uint4",
)  # fmt: skip  # names, as many as fit a line


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


SUM = {"axis": None, "keepdims": False}


def run(device: JaxDevice, case: Case) -> Array:
    buffers = [device.upload(x) for x in case.operands]
    return device.download(device.launch(case.op, buffers, case.attributes))


def supported(device: JaxDevice, op: str, n: int) -> Iterator[Case]:
    features = device.features
    for dtype in SOME_DTYPES:
        for case in cases(op, dtype, n) if dtype in (features.ops.get(op) or ()) else ():
            if case.is_defined and features.supports(op, [type_of(x) for x in case.operands], case.type):
                yield case


@pytest.mark.parametrize("op", [op for op in BUILT_IN if OPS[op].dtypes & set(DTYPES)])
def test_results_are_within_the_contract(jax_device: JaxDevice, op: str) -> None:
    ran = 0
    for case in supported(jax_device, op, 4):
        result = run(jax_device, case)
        assert type_of(result) == case.type, str(case)
        for contract in CONTRACTS:
            assert case.allows(contract, result), f"{case} gave {result} [{contract.name}]"
        ran += 1
    assert ran >= 2
    assert float_environment() is None


@pytest.mark.parametrize("op", [op for op in BUILT_IN if OPS[op].dtypes & set(DTYPES)])
def test_aliasing_is_as_declared(jax_device: JaxDevice, op: str) -> None:
    device = jax_device
    aliasing = device.features.alias_of(op)
    for case in supported(device, op, 1):
        if case.type.size == 0:
            continue
        operands = [device.upload(x) for x in case.operands]
        result = device.launch(op, operands, case.attributes)
        shared = result.unsafe_buffer_pointer() in [x.unsafe_buffer_pointer() for x in operands]
        assert not shared or aliasing == "may", str(case)


def _flip(array: Array) -> None:
    """Change a bit of each element; of complex numbers of the real part."""
    real = array.real if array.dtype.kind == "c" else array
    real.view(f"u{real.itemsize}")[...] ^= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_transfer_copies(jax_device: JaxDevice, layout: str) -> None:
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        for shape in ((), (3,), (2, 3), (0, 2), (2, 1, 3)):
            array = laid_out(elements(rng, dtype, shape, "bits"), layout)
            before = array.tobytes()
            buffer = jax_device.upload(array)
            assert buffer.dtype == array.dtype
            downloaded = jax_device.download(buffer)
            assert downloaded.tobytes() == before
            assert type_of(downloaded) == type_of(array)
            if array.size and array.flags.writeable:
                _flip(array)
                assert jax_device.download(buffer).tobytes() == before, "the upload shares the host's memory"
            if array.size:
                _flip(downloaded)
                assert jax_device.download(buffer).tobytes() == before, "the download shares the device's memory"


@pytest.mark.parametrize("offset", [0, 4, 16])
@pytest.mark.parametrize("size", [1, 3, 1000, 300_000])
def test_the_source_is_free_when_an_upload_returns(jax_device: JaxDevice, size: int, offset: int) -> None:
    """At 64 bytes JAX itself aliases the array, `may_alias=False` notwithstanding (jax-ml/jax#37830)."""
    array = HostMemory().take(4 * size, offset).view(np.float32)
    array[...] = 1
    strided = np.ones((size, 2), np.float32)[:, 1]
    buffers = [jax_device.upload(array), jax_device.upload(strided)]
    array[...] = 2
    strided[...] = 2
    assert all(bool((jax_device.download(buffer) == 1).all()) for buffer in buffers)


def test_overlapping_elements_are_uploaded_as_values(jax_device: JaxDevice) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(5, dtype=np.int32), 3)
    assert jax_device.download(jax_device.upload(windows)).tolist() == windows.tolist()


def test_attributes_that_are_equal_but_not_the_same_are_compiled_apart(
    jax_device: JaxDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jax_device._functions, "times", lambda x, *, by: x * by)
    x = jax_device.upload(np.ones(1, np.float32))
    results = [jax_device.download(jax_device.launch("times", [x], {"by": by})) for by in (0.0, -0.0)]
    assert [bool(np.signbit(r[0])) for r in results] == [False, True]


def test_what_does_not_depend_on_its_operand_is_made_where_that_lies(
    jax_device: JaxDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jax_device._functions, "zeros", jax_device.jax.numpy.zeros_like)
    monkeypatch.setitem(jax_device._functions, "nothing", lambda: jax_device.jax.numpy.zeros(2))
    x = jax_device.upload(np.ones(2, np.float32))
    assert jax_device.place_of(jax_device.launch("zeros", [x], {})) == "jax:cpu:1"
    assert jax_device.place_of(jax_device.launch("nothing", [], {})) == "jax:cpu:1"


def test_what_is_compiled_is_bounded(jax_device: JaxDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "COMPILED", 4)
    monkeypatch.setattr(jax_device, "_compiled", {})
    for n in range(1, 8):
        x = jax_device.upload(np.ones(n, np.float32))
        assert jax_device.download(jax_device.launch("negative", [x], {})).tolist() == [-1] * n
        assert len(jax_device._compiled) <= 4


def test_several_ops_can_be_traced_together(jax_device: JaxDevice) -> None:
    add, total = jax_device.traceable("add", {}), jax_device.traceable("sum", {"axis": None, "keepdims": False})
    x = jax_device.upload(np.arange(4, dtype=np.int8))
    region = jax_device.jax.jit(lambda a, b: total(add(a, b)))
    result = region(x, x)
    assert jax_device.place_of(result) == "jax:cpu:1"
    assert jax_device.download(result).tolist() == 12
    assert type_of(jax_device.download(result)).dtype == "int64"


# --------------------------------------------------------------------------------------- compiled regions, donation
def test_a_region_is_one_program_that_gives_what_is_asked_for(jax_device: JaxDevice) -> None:
    x = jax_device.upload(np.array([1.5, -2.0], np.float32))
    nodes: list[Any] = [("multiply", [0, 1], {}), ("astype", [2], {"dtype": "int8"}), ("sum", [2], SUM)]
    found = jax_device.launch_compiled(nodes, [x, x], [4, 2, 3])
    assert [jax_device.download(b).tolist() for b in found] == [6.25, [2.25, 4.0], [2, 4]]
    assert {jax_device.place_of(b) for b in found} == {"jax:cpu:1"}
    made: list[Any] = [("full", [], {"shape": (2,), "fill_value": 3.0, "dtype": "float32"}), ("square", [0], {})]
    (created,) = jax_device.launch_compiled(made, [], [1])
    assert jax_device.download(created).tolist() == [9, 9]
    assert jax_device.place_of(created) == "jax:cpu:1"


def test_a_region_is_compiled_once_for_its_structure(jax_device: JaxDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_device, "_compiled", {})
    x, y = (jax_device.upload(np.ones(2, dtype)) for dtype in (np.float32, np.float64))
    nodes: list[Any] = [("square", [0], {}), ("sum", [1], SUM)]
    axis: list[Any] = [nodes[0], ("sum", [1], {**SUM, "axis": (0,)})]
    for given, operands, results in ((nodes, [x], [2]), (nodes, [x], [2]), (nodes, [y], [2]), (axis, [x], [2])):
        jax_device.launch_compiled(given, operands, results)
    jax_device.launch_compiled(nodes, [x], [1, 2])
    assert len(jax_device._compiled) == 4


REWRITTEN: list[tuple[str, str, list[float], list[float]]] = [
    ("divide", "divide", [1.7e-20, 1.3e-24], [1.1e-34]),
    ("exp", "multiply", [81.0, -5.9], []),
    ("exp2", "pow", [-float("inf")], [0.0]),
    ("pow", "log", [-2.6, 0.88], []),
    ("rsqrt", "log", [-1e-45], []),
]


@pytest.mark.parametrize(("producer", "user"), [row[:2] for row in REWRITTEN])
def test_the_rewrites_that_the_contract_names_are_unknown_in_a_region_only(producer: str, user: str) -> None:
    """So that none of them is a false alarm; what is measured of each stands in the contract."""
    (first, second) = next(row[2:] for row in REWRITTEN if row[:2] == (producer, user))
    b = Builder()
    x = [b.input(np.array([v], np.float32)) for v in (*first, *second)]
    arity = len(OPS[producer].operands)
    v = b.apply(producer, *x[:arity])
    w = b.apply(user, *([v, v] if user == "multiply" else [v, *x[arity:]]))
    apart, together = (evaluate_program(b.returns(w), CONTRACTS[0], r)[-1] for r in ((), [(v, w)]))
    assert apart.enclosure is not None
    assert together.enclosure is None


def test_pairs_that_the_contract_does_not_name_stay_within_it(jax_device: JaxDevice) -> None:
    rng = np.random.default_rng(4)
    unary, binary = ("negative", "exp", "tanh", "sqrt", "reciprocal"), ("add", "multiply", "divide", "subtract")
    for producer in (*unary, *binary):
        for user in binary:
            for dtype in ("float32", "bfloat16"):
                b = Builder()
                drawn = [rng.normal(size=24) * 4.0 ** rng.integers(-9, 9, 24) for _ in range(3)]
                x = [b.input(d.astype(DTYPES[dtype].np)) for d in drawn]
                v = b.apply(producer, *x[: len(OPS[producer].operands)])
                program = b.returns(v, b.apply(user, v, x[2]))
                nodes: list[Any] = [(n.op, list(n.operands), {}) for n in program.nodes]
                buffers = [jax_device.upload(a) for a in program.inputs]
                found = jax_device.launch_compiled(nodes, buffers, [3, 4])
                known = evaluate_program(program, CONTRACTS[1], [(3, 4)])[3:]
                for k, buffer in zip(known, found, strict=True):
                    assert k.enclosure is None or k.enclosure.contains(jax_device.download(buffer)).all(), (
                        f"{producer}>{user} of {dtype}"
                    )


def test_a_donated_array_is_deleted_and_its_memory_may_hold_the_result(jax_device: JaxDevice) -> None:
    assert jax_device.features.donate == set(jax_device.features.ops)
    ones, y = (jax_device.upload(np.full(1000, n, np.float32)) for n in (1, 2))
    x = jax_device.launch("square", [ones], {})  # XLA's own memory: an upload may lie in NumPy's, which it cannot take
    at = x.unsafe_buffer_pointer()
    result = jax_device.launch("subtract", [y, x], {}, donate=1)
    assert x.is_deleted()
    assert not y.is_deleted()
    assert result.unsafe_buffer_pointer() == at
    assert (jax_device.download(result) == 1).all()
    assert jax_device.download(jax_device.launch("sum", [result], SUM, donate=0)) == 1000
    assert not result.is_deleted(), "XLA takes only what has the result's type"
    kept = jax_device.upload(np.ones(2, np.float32))
    moved = jax_device.launch("reshape", [kept], {"shape": (2,)}, donate=0)
    assert jax_device.download(moved).tolist() == [1, 1]


# ---------------------------------------------------------------------------------------------------- shared uploads
@pytest.mark.parametrize("offset", [0, 4])
def test_a_shared_upload_lies_in_the_hosts_array_if_that_is_aligned(jax_device: JaxDevice, offset: int) -> None:
    """As github.com/jax-ml/jax/issues/37830 says of every aligned NumPy array; another one is copied."""
    array = HostMemory().take(4096, offset).view(np.float32)
    array[...] = np.arange(1024)
    buffer = jax_device.upload(array, share=True)
    assert (buffer.unsafe_buffer_pointer() == array.ctypes.data) == (offset == 0)
    assert jax_device.place_of(buffer) == "jax:cpu:1"
    assert jax_device.download(buffer).tobytes() == array.tobytes()
    before = array.tobytes()
    given = jax_device.launch("negative", [buffer], {}, donate=0)
    assert jax_device.download(given).tolist() == (-np.arange(1024)).tolist()
    assert array.tobytes() == before, "JAX writes nothing to what the host owns, even where it was donated"


@pytest.mark.parametrize("source", DTYPES)
def test_a_cast_to_any_dtype_is_within_the_contract(jax_device: JaxDevice, source: str) -> None:
    """Complex numbers to complex ones only; values beside the halfway points of the narrower floats among them."""
    rng = np.random.default_rng(11)
    parts = [elements(rng, source, (40,), manner) for manner in ("small", "wild", "medium", "bits")]
    if source in ("float32", "float64", "int64"):
        halves = (rng.integers(128, 256, 40) + 0.5) * 2.0 ** rng.integers(1, 20, 40)
        parts += [(halves * (1 + sign * 2.0**-28)).astype(source) for sign in (-1, 0, 1)]
    row, x = OPS["astype"], np.concatenate(parts)
    for dtype in DTYPES:
        if is_complex(source) and not is_complex(dtype):
            continue
        kept = x if fits(x, dtype=dtype) else np.array([v for v in x if fits(np.asarray(v), dtype=dtype)], x.dtype)
        case = Case("astype", (kept,), {"dtype": dtype}, row.result_type([type_of(kept)], {"dtype": dtype}))
        result = run(jax_device, case)
        assert type_of(result) == case.type
        for contract in CONTRACTS:
            assert case.allows(contract, result), f"{source} to {dtype} [{contract.name}]"


@pytest.mark.parametrize("op", ["abs", "add", "multiply", "square", "conj", "real", "equal"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_arithmetic_near_the_ends_is_within_the_contract(jax_device: JaxDevice, op: str, dtype: str) -> None:
    """Subnormals, numbers near overflow, infinities and NaN, which XLA flushes, multiplies out and spreads."""
    rng, row = np.random.default_rng(12), OPS[op]
    for manner in ("wild", "bits"):
        operands = tuple(elements(rng, dtype, (400,), manner) for _ in row.operands)
        case = Case(op, operands, {}, row.result_type([type_of(x) for x in operands], {}))
        assert case.allows(CONTRACTS[0], run(jax_device, case)), manner


# ---------------------------------------------------------------------------------------------- start-up, features
def test_the_features_say_what_jax_has(jax_device: JaxDevice) -> None:
    features = place(jax_device).features
    assert features.dtypes == frozenset(DTYPES)
    assert set(features.ops) == {op for op in BUILT_IN if OPS[op].dtypes & features.dtypes}
    for op, dtypes in features.ops.items():
        assert dtypes == OPS[op].dtypes & features.dtypes, op
    assert features.contract.name == "xla-cpu"
    assert features.place == jax_device.place_of(jax_device.upload(np.zeros(1))) == "jax:cpu:1"
    assert (features.streams, features.transfers, features.release) == (0, ("blocking", "shared"), False)
    assert (features.free_after("shared"), features.compile) == ("last use", True)
    assert features.free_after("blocking") == "return"
    assert features.shapes == "pool"


@pytest.mark.parametrize("op", sorted({*EXAMPLES, *ALIASING} - {"*"}))
def test_every_op_of_the_tables_can_be_traced(jax_device: JaxDevice, op: str) -> None:
    """Those that are not registered too: what a custom op of that name would run."""
    example = EXAMPLES.get(op, Example())
    attributes = {**example.attributes, **({"dtype": "float32"} if "dtype" in example.attributes else {})}
    function = jax_device.traceable(op, attributes)

    def traces(n: int) -> bool:
        shapes = example.shapes or (SQUARE,) * n
        dtypes = [example.dtypes.get(i, "float32") for i in range(len(shapes))]
        operands = [jax_device.jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, dtypes, strict=True)]
        try:
            jax_device.jax.eval_shape(function, *operands)
        except TypeError:
            return False
        return True

    assert any(traces(n) for n in range(4))


PRINT = "print(p.name, p.device.place, len(p.device.jax.devices('cpu')), p.device.jax.config.jax_platforms)"


def opened(*specs: str, **environment: str) -> list[str]:
    """What a process of its own says of the devices that it opens, JAX being started once per process."""
    code = f"from offload_fuzz.adapters.pool import open_places\nfor p in open_places({specs!r})[1:]: {PRINT}"
    plain = {k: v for k, v in os.environ.items() if k not in ("JAX_PLATFORMS", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**plain, **environment}, capture_output=True, text=True, timeout=120
    )
    return done.stdout.splitlines() or done.stderr.strip().splitlines()[-1:]


@pytest.mark.usefixtures("jax_device")
def test_jax_is_started_for_the_devices_that_are_asked_for() -> None:
    assert opened("jax:cpu", "jax:cpu:5") == ["jax:cpu jax:cpu:0 6 cpu", "jax:cpu:5 jax:cpu:5 6 cpu"]


@pytest.mark.usefixtures("jax_device")
def test_what_the_user_says_of_jax_is_kept() -> None:
    two = "--xla_force_host_platform_device_count=2"
    assert opened("jax:cpu", XLA_FLAGS=two, JAX_PLATFORMS="cpu") == ["jax:cpu jax:cpu:0 2 cpu"]
    (error,) = opened("jax:cpu:2", XLA_FLAGS=two)
    assert error.endswith("; set XLA_FLAGS=--xla_force_host_platform_device_count=3")
    (error,) = opened("jax:cuda:0", JAX_PLATFORMS="cpu")
    assert error.endswith("; JAX was started for 'cpu' alone: set JAX_PLATFORMS=cuda,cpu")


def test_a_missing_jax_is_a_missing_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    message = (
        "jax is not installed but device jax:* needs it [adapters.jax]; "
        "pip install 'jax>=0.5', or for GPUs as docs.jax.dev/en/latest/installation.html says"
    )
    with pytest.raises(MissingDevice, match=f"^{re.escape(message)}$") as raised:
        JaxDevice("jax:cpu")
    assert raised.value.exit_code == 4


def test_a_broken_jax_is_a_missing_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ImportError("jaxlib is version 0.4.1, but this version of jax requires version >= 0.5\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(MissingDevice, match=r"jax cannot be imported: jaxlib is version 0\.4\.1, but this"):
        JaxDevice("jax:cpu")


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("jax:cpu:99", MissingDevice, "jax has no device cpu:99 but jax:cpu:99 should name one of "),
        ("jax:nosuch:0", MissingDevice, "jax has no platform 'nosuch' but jax:nosuch:0 should name one: "),
        ("jax", UsageError, "device is 'jax' but should be jax:PLATFORM or jax:PLATFORM:INDEX such as jax:cpu:1"),
        ("jax:", UsageError, "device is 'jax:' but should be jax:PLATFORM"),
        ("jax:cpu:x", UsageError, "device is 'jax:cpu:x' but should be jax:PLATFORM"),
        ("jax:cpu:", UsageError, "device is 'jax:cpu:' but should be jax:PLATFORM"),
    ],
)
def test_a_device_that_there_is_not(jax_device: JaxDevice, name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}") as raised:
        JaxDevice(name)
    assert "\n" not in str(raised.value)


# ------------------------------------------------------------------------------------------------------ custom ops
def test_a_custom_op_runs_what_it_was_given(jax_device: JaxDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="op is 'twice' but should be one of"):
        adapter.implement("twice", lambda x: x + x)

    @defop("twice", kinds="real floating", accuracy=ulps(1))
    def twice(x: ArrayType) -> ArrayType:
        return x

    try:
        twice.reference(lambda x: x + x)
        monkeypatch.setattr(adapter, "_custom", {})
        adapter.implement("twice", lambda x: x + x)
        device = JaxDevice("jax:cpu")
        features = place(device).features
        assert features.ops["twice"] == OPS["twice"].dtypes
        assert features.alias_of("twice") == "may"
        assert "twice" not in jax_device.features.ops
        assert device.download(device.launch("twice", [device.upload(np.ones(2))], {})).tolist() == [2, 2]
    finally:
        OPS.pop("twice", None)
