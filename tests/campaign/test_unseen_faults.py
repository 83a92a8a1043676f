"""Faulty devices that are not in the catalogue and use none of its hooks: the campaign finds them as well."""

from __future__ import annotations

from pathlib import Path

import pytest

import offload_fuzz as of

from .unseen_devices import __file__ as devices

#: The devices that are found within a thousand case runs or so; docs/detection.md tells of the others.
FOUND = (
    "BatchOfFirst",
    "BoolViewWrittenAtWord",
    "BroadcastSourceIsDense",
    "CacheForgetsAttributes",
    "CacheForgetsStrides",
    "DownloadsShareTwoPages",
    "EventsOfARing",
    "LargeUploadIsNotWaitedFor",
    "PageTailLost",
    "ReadOnlyIsShared",
    "RegionOperandsMerged",
    "ReleaseOnStreamZero",
    "SetitemReversed",
    "WaitOnce",
)


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_that_was_never_seen_is_found(name: str, tmp_path: Path) -> None:
    report = of.run(
        [f"{devices}:{name}"], max_cases=5000, seed=0, isolation="inline", stop_after=1, report_dir=tmp_path
    )
    assert len(report.findings) == 1
    assert report.findings[0].known["kind"] in ("wrong value", "stale read")
