"""Every adapter of a real backend keeps what it declares."""

from __future__ import annotations

import pytest

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance.judge import conformance
from offload_fuzz.errors import MissingDevice

pytestmark = pytest.mark.real_device
#: torch.kron raises for an operand that is not contiguous: pytorch/pytorch#54135, #185650, open.
KRON = "kron("
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
    seen = [v["where"] for r in broken for v in r["violations"]]
    assert [where for where in seen if not (name.endswith("torch:cpu") and where.startswith(KRON))] == [], broken
