"""Every adapter of a real backend keeps what it declares, but for triaged bugs of the backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance.judge import conformance
from offload_fuzz.errors import MissingDevice
from tests.doors import offload

pytestmark = pytest.mark.real_device
KNOWN = Path(__file__).parent.parent / "findings" / "known-issues.toml"
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
    records = conformance(device, known=str(KNOWN))
    assert [r for r in records if r["status"] == "broken"] == []
    assert [hint for r in records for hint in r.get("hints", ()) if "known issue" in hint] == [], "an entry is stale"
    known = [r["promise"] for r in records if r["status"] == "known"]
    assert known == (["operand_layouts"] if name.endswith("torch:cpu") else [])


def test_without_known_issues_the_bug_of_kron_breaks_a_promise(torch_device: object) -> None:
    (record,) = conformance(torch_device, ["operand_layouts"], known="none")
    assert record["status"] == "broken"
    assert {v["where"].partition("(")[0] for v in record["violations"]} == {"kron"}


def test_the_command_shows_the_known_row_and_exits_0(torch_device: object, tmp_path: Path) -> None:
    done = offload("conformance", "torch:cpu", cwd=tmp_path, timeout=600)
    assert (done.code, done.err) == (0, "")
    assert "\n  known   operand_layouts       results do not depend on the layout of the operands\n" in done.out
    assert "https://github.com/pytorch/pytorch/issues/185650" in done.out
    assert done.out.endswith("; exit 0: conformant but for known issues\n")
