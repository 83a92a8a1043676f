"""The array API adapter: array-api-strict with its several devices, NumPy and PyTorch through array-api-compat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import offload_fuzz as of
from offload_fuzz.adapters.array_api import ArrayApiDevice
from offload_fuzz.adapters.array_api_ops import AS_THEY_ARE, DIFFERS, LINALG, MAKES
from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.contract_files import contract_named
from offload_fuzz.errors import MissingDevice, UsageError
from offload_fuzz.ops import BUILT_IN, OPS
from offload_fuzz.types import DTYPES, type_of

from ..devices import LAYOUTS, cases, elements, laid_out

pytestmark = pytest.mark.real_device
STRICT = "array_api:array_api_strict"
STANDARD = {*AS_THEY_ARE.split(), *LINALG.split(), *DIFFERS, *MAKES}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module")
def opened(pytestconfig: pytest.Config) -> Any:
    """Devices by the end of their name; a skip where the library is missing, with `--require-backends` a failure."""
    known: dict[str, ArrayApiDevice] = {}

    def open_device(name: str) -> ArrayApiDevice:
        try:
            return known.setdefault(name, ArrayApiDevice(name))
        except MissingDevice as error:
            if pytestconfig.getoption("--require-backends"):
                pytest.fail(str(error))
            pytest.skip(str(error))

    return open_device


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op in STANDARD])
def test_results_are_those_of_numpy(opened: Any, op: str) -> None:
    device = opened(f"{STRICT}:device1")
    contract = contract_named("numpy")
    ran = 0
    for dtype in sorted(device.features.ops.get(op) or ()):
        for case in cases(op, dtype, 12):
            if not case.is_defined or not device.features.supports(op, [type_of(x) for x in case.operands], case.type):
                continue
            buffers = [device.upload(x) for x in case.operands]
            result = device.launch(op, buffers, case.attributes)
            assert device.place_of(result) == f"{STRICT}:device1"
            array = device.download(result)
            assert type_of(array) == case.type, str(case)
            assert case.allows(contract, array), f"{case} gave {array}"
            ran += 1
    assert ran >= 6


def test_it_has_every_op_of_the_standard_that_there_is(opened: Any) -> None:
    device = opened(f"{STRICT}:CPU_DEVICE")
    assert set(device.features.ops) == STANDARD & OPS.keys()
    assert device.features.dtypes == {d for d in DTYPES if hasattr(device.xp, d)}
    assert {"float16", "bfloat16"}.isdisjoint(device.features.dtypes)
    assert device.features.ops["bitwise_and"] == OPS["bitwise_and"].dtypes
    assert device.features.contract.name == "numpy"


def test_a_device_has_the_dtypes_that_it_has(opened: Any) -> None:
    dtypes = opened(f"{STRICT}:no_x64").features.dtypes
    assert {"float64", "int64", "uint64"}.isdisjoint(dtypes)
    assert {"float32", "int32"} <= dtypes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [f"{STRICT}:device2", "array_api:numpy", "array_api:torch"])
def test_a_transfer_copies(opened: Any, name: str, layout: str) -> None:
    if name.endswith("torch"):
        pytest.importorskip("torch")
    device = opened(name)
    rng = np.random.default_rng(5)
    for dtype in device.features.dtypes:
        for shape in ((), (3,), (2, 3), (0, 2)):
            array = laid_out(elements(rng, dtype, shape, "bits"), layout)
            before = array.tobytes()
            buffer = device.upload(array)
            if array.size and array.flags.writeable:
                array[...] = 0
            downloaded = device.download(buffer)
            assert downloaded.tobytes() == before
            assert downloaded.flags.owndata
            assert type_of(downloaded) == type_of(array)


def test_a_copy_goes_from_device_to_device(opened: Any) -> None:
    one, two = opened(f"{STRICT}:device1"), opened(f"{STRICT}:device2")
    x = one.upload(np.arange(3))
    y = two.copy(x, one)
    assert (one.place_of(x), two.place_of(y)) == (f"{STRICT}:device1", f"{STRICT}:device2")
    y[0] = 9
    assert one.download(x).tolist() == [0, 1, 2]
    assert two.features.peers == one.features.peers == STRICT


def test_arrays_of_two_devices_do_not_mix(opened: Any) -> None:
    one, two = opened(f"{STRICT}:device1"), opened(f"{STRICT}:device2")
    with pytest.raises(ValueError, match="device"):
        one.launch("add", [one.upload(np.ones(1)), two.upload(np.ones(1))], {})


def test_a_campaign_on_two_devices_finds_nothing(opened: Any) -> None:
    opened(f"{STRICT}:device1")
    report = of.run([f"{STRICT}:device1", f"{STRICT}:device2"], max_cases=400, seed=5, isolation="inline")
    assert report.exit_code == 0, report.findings


def test_a_file_may_name_the_modules_that_are_known(opened: Any) -> None:
    opened(f"{STRICT}:device1")
    assert resolve(f"{STRICT}:device1").spec == f"{STRICT}:device1"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("array_api:", UsageError, "device is 'array_api:' but should be array_api:MODULE or array_api:MODULE:DEVICE"),
        ("array_api:no-name", UsageError, "device is 'array_api:no-name' but should be array_api:MODULE"),
        ("array_api:no_such_module", MissingDevice, "no_such_module is not installed but device array_api:* needs it"),
        ("array_api:json", UsageError, "module is 'json' but should make arrays of the array API standard"),
        (
            f"{STRICT}:dev",
            MissingDevice,
            f"device 'dev' is not in the namespace but {STRICT}:dev should name one of ",
        ),
    ],
)
def test_what_cannot_be_had_is_named(opened: Any, name: str, error: type[Exception], message: str) -> None:
    opened(f"{STRICT}:CPU_DEVICE")
    with pytest.raises(error, match=f"^{re.escape(message)}") as raised:
        ArrayApiDevice(name)
    assert "\n" not in str(raised.value)


def test_an_op_that_it_has_not_raises(opened: Any) -> None:
    device = opened("array_api:numpy")
    with pytest.raises(UsageError, match="op is 'nop' but should be one of"):
        device.launch("nop", [], {})
