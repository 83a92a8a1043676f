"""The template of an adapter: right types, no elements, so that a campaign fails at once."""

from __future__ import annotations

import numpy as np
import pytest

import offload_fuzz as of
from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.errors import UsageError
from offload_fuzz.ops import OPS
from offload_fuzz.types import DTYPES


def test_it_takes_every_op_and_dtype_and_gives_the_right_types() -> None:
    place = resolve("noop:0")
    assert set(place.features.ops) >= set(OPS)
    assert place.features.dtypes == frozenset(DTYPES)
    x = place.device.upload(np.ones((2, 3), np.int8))
    result = place.device.download(place.device.launch("sum", [x], {"axis": (0,), "keepdims": False}))
    assert result.dtype == np.int64
    assert result.tolist() == [0, 0, 0]
    assert place.device.place_of(x) == place.features.place == "noop:0"


def test_a_campaign_fails_at_once() -> None:
    report = of.run(["noop:0"], max_cases=50, stop_after=1, isolation="inline")
    assert report.exit_code == 1
    assert report.findings[0].known["kind"] == "wrong value"


@pytest.mark.parametrize("spec", ["noop", "noop:", "noop:x"])
def test_a_name_without_a_number_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match=rf"device is '{spec}' but should be noop:NUMBER such as noop:0"):
        resolve(spec)
