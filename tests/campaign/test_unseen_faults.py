"""Faulty devices that are not in the catalogue and use none of its hooks: the campaign finds them as well."""

from __future__ import annotations

from pathlib import Path

import pytest

import offload_fuzz as of
from offload_fuzz.errors import EXIT_FINDING

DEVICES = Path(__file__).with_name("unseen_devices.py")

#: The devices that are found soon -> the kind of their first finding. The others take longer: docs/detection.md.
FOUND: dict[str, str] = {}


@pytest.mark.parametrize("name", FOUND)
def test_a_device_with_a_fault_that_was_never_seen_is_found(name: str, tmp_path: Path) -> None:
    report = of.run(
        [f"{DEVICES}:{name}"], max_cases=1500, seed=0, isolation="inline", stop_after=1, report_dir=tmp_path
    )
    assert report.exit_code == EXIT_FINDING
    assert [f.known["kind"] for f in report.findings] == [FOUND[name]]
