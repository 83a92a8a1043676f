"""Every adapter of a real backend keeps what it declares."""

from __future__ import annotations

import pytest

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance.judge import conformance
from offload_fuzz.errors import MissingDevice

pytestmark = pytest.mark.real_device
DEVICES = (
    "torch:cpu",
    "validating:torch:cpu",
    "array_api:array_api_strict:device1",
    "array_api:numpy",
    "array_api:torch",
)


@pytest.mark.parametrize("name", DEVICES)
def test_an_adapter_of_a_real_backend_conforms(name: str, pytestconfig: pytest.Config) -> None:
    try:
        device = resolve(name)
    except MissingDevice as error:
        if pytestconfig.getoption("--require-backends"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    broken = [r for r in conformance(device) if r["status"] == "broken"]
    assert not broken
