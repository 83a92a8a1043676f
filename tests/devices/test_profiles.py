"""The profiles of the simulated accelerator: each is as it declares, uses what it declares, and its limits are real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import host
from offload_fuzz.adapters.simulated import PROFILES, KernelError, OutOfMemory, Simulated, add_profiles, make
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.memory import NEVER_WRITTEN
from offload_fuzz.adapters.simulated.queues import ORDERS
from offload_fuzz.adapters.simulated.subnormals import flushed
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.loop import Campaign
from offload_fuzz.campaign.report import Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.device import are_peers, place
from offload_fuzz.errors import EXIT_INCONCLUSIVE, EXIT_OK, UsageError
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.plan import Plan
from offload_fuzz.types import DTYPES

from ..programs import build

X = np.arange(12, dtype=np.float32).reshape(4, 3)
SHIPPED = ("simulated.gpu", "simulated.npu", "simulated.dsp", "simulated.multichip", "simulated.tight")


# ------------------------------------------------------------------------------------------------------- declarations
@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_says_what_its_device_declares(name: str) -> None:
    profile, features = PROFILES[name], make(f"{name}:0").features
    assert features.streams == (0 if profile.blocking else profile.streams)
    assert features.dtypes == profile.dtypes
    assert bool(features.out_of_memory) == (profile.memory is not None)
    assert features.memory == profile.memory
    assert features.compile == profile.compile


def test_an_index_beyond_the_number_of_devices_is_refused() -> None:
    with pytest.raises(UsageError, match="device index is 1 but should be below 1"):
        make("simulated.dsp:1")
    make("simulated:99")


def test_in_a_ring_neighbours_are_peers_and_others_are_not() -> None:
    chips = [make(f"simulated.multichip:{i}").features.peers for i in range(16)]
    for i, mine in enumerate(chips):
        assert [j for j, other in enumerate(chips) if are_peers(mine, other)] == sorted({(i - 1) % 16, i, (i + 1) % 16})


BAD = [
    ('["simulated.a"]', "profile has no summary"),
    ('["other"]\nsummary = "s"', "should have its own name simulated.KIND"),
    ('["simulated.gpu"]\nsummary = "s"', "should have its own name simulated.KIND"),
    ('["simulated.a"]\nsummary = "s"\nstream = 2', "did you mean 'streams'?"),
    ('["simulated.a"]\nsummary = "s"\nstreams = 0', "streams is 0 but should be an int >= 1"),
    ('["simulated.a"]\nsummary = "s"\nalignment = 48', "alignment is 48 but should be a power of two"),
    ('["simulated.a"]\nsummary = "s"\nops = ["ad"]', "did you mean"),
    ('["simulated.a"]\nsummary = "s"\ntile = 4', "tile is 4 but should be two ints > 0"),
    ('["simulated.a"]\nsummary = "s"\naccumulator = "int8"', "accumulator is 'int8'"),
    ("=", "profiles are not TOML"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_profile_that_cannot_be_is_refused_with_the_reason(text: str, message: str) -> None:
    known = list(PROFILES)
    with pytest.raises(UsageError) as error:
        add_profiles(text)
    assert message in str(error.value)
    assert list(PROFILES) == known


# ------------------------------------------------------------------------------------------------- precision, flushing
def test_the_npu_keeps_sums_in_bfloat16_by_draw_and_its_contract_says_so() -> None:
    npu, x = make("simulated.npu:0"), np.array([256, 1, 1, 1], np.float32)
    assert npu.features.contract.accumulator_of("float32") == "bfloat16"
    seen = set()
    for seed in range(40):
        npu.reset(seed)
        seen.add(float(npu.download(npu.launch("sum", [npu.upload(x)], {"axis": (0,), "keepdims": False}))))
    assert 259.0 in seen
    assert seen & {256.0, 258.0, 260.0}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_flushing_makes_zeros_of_subnormals_by_draw_and_of_nothing_else(dtype: str) -> None:
    d = DTYPES[dtype]
    tiny = 2.0**d.emin
    x = np.array([tiny, -tiny, tiny / 2, -tiny / 2, 0.0, -0.0, 1.0, np.nan, np.inf], d.np)
    with np.errstate(all="ignore"):  # as kernels run
        found = {flushed(x, {dtype}, Draws(seed)).tobytes() for seed in range(20)}
    zeros = np.array([tiny, -tiny, 0.0, -0.0, 0.0, -0.0, 1.0, np.nan, np.inf], d.np)
    assert found == {x.tobytes(), zeros.tobytes()}
    assert flushed(x, set(), Draws(1)).tobytes() == x.tobytes()


# --------------------------------------------------------------------------------------------------------------- tiles
def test_padding_is_in_memory_and_in_no_result() -> None:
    npu = make("simulated.npu:0")
    a = npu.upload(X)
    assert a.strides == (32, 4)
    row = npu.memory.arena[a.storage.address : a.storage.address + 32].view(np.uint16)
    assert (row[6:] == NEVER_WRITTEN).all()
    b = npu.launch("add", [a, a], {})
    assert (npu.download(b) == X + X).all()
    for op, attributes in (("sum", {"axis": None, "keepdims": False}), ("max", {"axis": None, "keepdims": False})):
        found = npu.download(npu.launch(op, [b], attributes))
        assert float(found) == float(getattr(np, op)(X + X))
    assert (npu.download(npu.launch("reshape", [b], {"shape": (12,)})) == (X + X).reshape(12)).all()


def test_a_write_into_a_view_leaves_the_elements_beyond_it() -> None:
    npu, x = make("simulated.npu:0"), np.arange(32, dtype=np.float32).reshape(4, 8)
    a = npu.upload(x)
    view = npu.launch("getitem", [a], {"index": ((0, 3, 1), (0, 8, 1))})
    npu.launch("negative", [view], {}, out=view)
    assert (npu.download(a)[3] == x[3]).all()


# -------------------------------------------------------------------------------------------------------------- memory
def test_memory_that_is_used_up_is_reported_and_comes_back() -> None:
    dsp = make("simulated.dsp:0")
    x = np.ones(1024, np.float32)
    held = [dsp.upload(x) for _ in range(4)]
    with pytest.raises(OutOfMemory, match="release something"):
        dsp.upload(x)
    dsp.release(held.pop())
    assert dsp.download(dsp.upload(x)).tobytes() == x.tobytes()  # which nobody holds afterwards
    assert dsp.download(dsp.upload(x)).tobytes() == x.tobytes()
    assert all(dsp.download(b).tobytes() == x.tobytes() for b in held)


@pytest.mark.parametrize("order", ORDERS)
def test_a_release_that_is_still_queued_makes_room(order: str, small: str) -> None:
    device = make(f"{small}:0")
    device.reset(1, order)
    x = np.ones(96, np.float32)
    for _ in range(5):
        b = device.upload(x, stream=1, blocking=False)
        device.release(b, stream=1)
        del b


@pytest.fixture
def small() -> Iterator[str]:
    (name,) = add_profiles('["simulated.small"]\nsummary = "of 512 bytes"\nstreams = 2\nmemory = 512')
    yield name
    del PROFILES[name]


def test_a_run_that_is_out_of_memory_is_counted_and_neither_right_nor_wrong(small: str) -> None:
    options = Settings(devices=(f"{small}:0",), max_cases=60, isolation="inline", dtypes=("float64",))
    report = Campaign(options).run()
    counts = report.counts
    assert not report.findings
    assert 0 < counts.out_of_memory < counts.cases


def test_a_campaign_of_which_nothing_fitted_is_inconclusive() -> None:
    assert Report(Settings(), Counts(cases=5, out_of_memory=5)).exit_code == EXIT_INCONCLUSIVE
    assert Report(Settings(), Counts(cases=5, out_of_memory=4, judged=1)).exit_code == EXIT_OK


# -------------------------------------------------------------------------------------------------------------- errors
def raising(device: Simulated, op: str) -> Simulated:
    """The device, with a kernel of `op` that raises when it runs."""

    def result(value: Any, name: str, operands: Any, attributes: Any) -> Any:
        if name == op:
            raise ValueError("the kernel died")
        return value

    device.hooks.__dict__["result"] = result  # as a fault would be planted
    return device


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("profile", ["simulated.gpu", "simulated.multichip", "simulated"])
def test_an_error_surfaces_at_the_next_synchronisation_and_not_before(profile: str, order: str) -> None:
    device = raising(make(f"{profile}:0"), "negative")
    device.reset(1, order)
    a = device.upload(X, stream=1)
    b = device.launch("negative", [a], {}, stream=1)
    device.launch("add", [b, b], {}, stream=1)
    event = device.record(1)
    device.wait(0, event)
    with pytest.raises(KernelError, match="ValueError: the kernel died") as error:
        device.synchronize(stream=0)  # which waits for the stream at fault
    assert (error.value.launch, error.value.device) == (0, f"{profile}:0")
    device.reset(1, order)
    device.synchronize()


def test_a_device_that_blocks_raises_at_once() -> None:
    device = raising(make("simulated.dsp:0"), "negative")
    with pytest.raises(KernelError):
        device.launch("negative", [device.upload(X)], {})


@pytest.mark.parametrize("profile", ["simulated.gpu", "simulated.npu", "simulated.dsp", "simulated.multichip"])
def test_an_error_is_laid_to_the_node_whose_kernel_it_was(profile: str) -> None:
    program = build([X, ("abs", (0,), {}), ("negative", (1,), {}), ("add", (2, 1), {}), ("abs", (3,), {})], [4])
    device = raising(make(f"{profile}:0"), "negative")
    examiner = Examiner((host(), place(device)))
    for seed in range(30):
        plan = Plan({("device", (v,)): 1 for v, _ in program.numbered()} | {("repeat", ()): 1 + seed % 2}, seed)
        trial = examiner.trial(program, [plan])
        (verdict,) = examiner.verdicts(trial)
        assert (verdict.kind, verdict.value) == ("raised", 2)
        assert "the kernel died" in verdict.message
