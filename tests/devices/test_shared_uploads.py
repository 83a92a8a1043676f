"""Uploads that share the host's memory: how a plan's choice becomes one, what is then left alone, and who is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz import run
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.validating import BrokenPromise, validating
from offload_fuzz.device import parse_features, place
from offload_fuzz.errors import UsageError
from offload_fuzz.execute import execute
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Launch, Overwrite, Upload
from offload_fuzz.types import Array

from .liars import Honest, Memory

PLACES = (*open_places(()), place(Honest()), *open_places(("simulated:0",))[1:])


def program() -> Program:
    """v1 = -v0 on the host, v2 = abs v1, v3 = v2 + v1; v3 is returned."""
    b = Builder()
    v1 = b.apply("negative", b.input(np.arange(4, dtype=np.float32)))
    return b.returns(b.apply("add", b.apply("abs", v1), v1))


def plan(role: int = 1, **more: Any) -> Plan:
    choices: dict[Any, Any] = {("device", (v,)): role for v in (2, 3)}
    choices |= {("transfer", (2, 0)): "shared", ("reuse", (2,)): True, ("donate", (3,)): True}
    return Plan(choices | {(name, (2, 0)): choice for name, choice in more.items()}, 1)


def test_a_shared_upload_lies_in_the_hosts_storage_which_nobody_writes() -> None:
    schedule = lower(program(), plan(overwrite=True), PLACES)
    (shared,) = [c for c in schedule.commands if isinstance(c, Upload) and c.share]
    assert schedule.buffers[shared.source].storage == schedule.buffers[shared.target].storage
    assert (shared.blocking, shared.source_free) == (True, "last use")
    launches = {c.value: c for c in schedule.commands if isinstance(c, Launch)}
    assert launches[2].in_place is None
    assert not [c for c in schedule.commands if isinstance(c, Overwrite)]
    assert prove(schedule) is None
    (results,) = execute(schedule, program(), PLACES).results
    assert results[0].tolist() == [0, 0, 0, 0]


def test_a_device_that_does_not_share_is_given_a_copy() -> None:
    uploads = [c for c in lower(program(), plan(2), PLACES).commands if isinstance(c, Upload)]
    assert uploads
    assert not any(c.share for c in uploads)
    assert {c.source_free for c in uploads} == {"return"}


class KeepsAddresses(Honest):
    """Tells whether an array was really shared."""

    shared = 0

    def upload(self, array: Array, share: bool = False) -> Memory:
        found = super().upload(array, share)
        self.shared += share and np.shares_memory(found.array, array)
        return found


def test_a_campaign_on_a_device_that_shares_finds_nothing() -> None:
    device = KeepsAddresses()
    report = run([device], max_cases=1500, seed=3)
    assert report.findings == []
    assert device.shared > 50


class WritesWhatItShares(Honest):
    """Takes an operand of abs for memory of its own where it was shared."""

    def upload(self, array: Array, share: bool = False) -> Memory:
        found = super().upload(array, share)
        found.shared = share and array.flags.writeable  # type: ignore[attr-defined]  # a mark of this liar's
        return found

    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        if op == "abs" and getattr(operands[0], "shared", False):
            operands[0].array[...] = result.array
        return result


def test_a_device_that_writes_what_it_shares_is_found() -> None:
    report = run([WritesWhatItShares()], max_cases=1500, seed=3, dtypes=["float32"])
    assert report.findings
    assert any("crosses shared" in finding.text for finding in report.findings)


def test_only_a_device_that_declares_it_is_asked_to_share() -> None:
    device = validating(PLACES[2].device)
    with pytest.raises(BrokenPromise, match="share= is given but should be declared by transfers"):
        device.upload(np.ones(2, np.float32), share=True, stream=0, blocking=True)


def test_a_shared_source_is_free_at_its_last_use_unless_declared_weaker() -> None:
    base = {"ops": ["add"], "dtypes": ["float32"], "transfers": ("blocking", "shared")}
    assert parse_features(base, "here").free_after("shared") == "last use"
    with pytest.raises(UsageError, match="source_free of shared is 'return' but should be one of last use, never"):
        parse_features({**base, "source_free": {"shared": "return"}}, "here")
