"""Replaying as a user sees it: how often a case fails, with its confidence, and runs until it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offload_fuzz import cli
from offload_fuzz.finding.rate import wilson

from . import EXAMPLE, offload

CHIPS = """
import os
import signal

import numpy as np


class Sometimes:
    name = "chip:0"
    features = {"ops": ["reshape"], "dtypes": ["float32"]}
    every, count = 5, 0

    def upload(self, array):
        return np.array(array)

    def download(self, buffer):
        return np.array(buffer)

    def launch(self, op, operands, attributes):
        type(self).count += 1
        if type(self).count % self.every == 0:
            return self.wrong(operands[0])
        return np.reshape(operands[0], attributes["shape"])

    def wrong(self, x):
        return x + np.float32(1)


class Dies(Sometimes):
    def wrong(self, x):
        os.kill(os.getpid(), signal.SIGSEGV)


class Right(Sometimes):
    every = 10**9
"""
NAME = "case.offload.json"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "chips.py").write_text(CHIPS)
    (tmp_path / NAME).write_text(EXAMPLE.read_text())
    return tmp_path


#: (failures, runs) -> Wilson's interval, from table I of R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872
PUBLISHED = {
    (81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718),
}  # fmt: skip  # a table


@pytest.mark.parametrize("counts", PUBLISHED)
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    assert wilson(*counts) == pytest.approx(PUBLISHED[counts], abs=5e-5)


def test_the_interval_is_symmetric_and_holds_the_rate() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    for runs in range(1, 40):
        for failures in range(runs + 1):
            low, high = wilson(failures, runs)
            assert 0 <= low <= failures / runs <= high <= 1
            assert wilson(runs - failures, runs) == pytest.approx((1 - high, 1 - low))


def test_some_of_many_runs_failing_is_flaky_with_its_confidence(here: Path) -> None:
    result = offload("replay", NAME, "--device", "d0=chips.py:Sometimes", "--repeat", 20, cwd=here)
    assert (result.code, result.err) == (1, "")
    head = f"FLAKY    {NAME}: 4 of 20 runs failed (20.0%, 95% confidence 8.1% to 41.6%)\n\nF518fa02a  wrong value\n"
    assert result.out.startswith(head)
    assert "\n  failed    4 of 20 runs: flaky\n" in result.out
    assert result.out.endswith("\n1 file: 1 FLAKY; exit 1: a finding that counts\n")


def test_a_case_that_passes_shows_one_line(here: Path) -> None:
    result = offload("replay", NAME, "--device", "d0=chips.py:Right", "--repeat", 20, cwd=here)
    assert result.out == (
        f"FIXED    {NAME}: 0 of 20 runs failed (0.0%, 95% confidence 0.0% to 16.1%)\n"
        "1 file: 1 FIXED; exit 0: nothing to fail on\n"
    )


def test_until_fail_stops_at_the_first_failure(here: Path) -> None:
    result = offload("replay", NAME, "--device", "d0=chips.py:Sometimes", "--until-fail", "60s", cwd=here)
    assert result.code == 1
    assert result.out.startswith(f"FLAKY    {NAME}: run 5 failed, the first to do so\n\n")


def test_until_fail_ends_when_the_time_is_up_though_that_is_longer_than_a_hang(here: Path) -> None:
    arguments = ("--until-fail", "1.5s", "--hang-after", "1s", "--json")
    result = offload("replay", NAME, "--device", "d0=chips.py:Right", *arguments, cwd=here)
    assert result.code == 0
    (record,) = json.loads(result.out)["replays"]
    assert record["status"] == "FIXED"
    assert record["runs"] > 1
    assert record["interval"] is None


def test_a_crash_is_one_failing_run_of_many(here: Path) -> None:
    device = ("--device", "d0=chips.py:Dies", "--json")
    result = offload("replay", NAME, NAME, *device, "--repeat", 7, cwd=here)
    assert result.code == 1
    for record in json.loads(result.out)["replays"]:
        assert (record["status"], record["failures"], record["runs"]) == ("FLAKY", 1, 7)
        assert record["verdict"]["kind"] == "crash"
    result = offload("replay", NAME, *device, "--until-fail", "60s", cwd=here)
    (record,) = json.loads(result.out)["replays"]
    assert (record["status"], record["failures"], record["runs"]) == ("FLAKY", 1, 5)


def test_repeat_and_until_fail_are_two_ways_to_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", NAME, "--repeat", "3", "--until-fail", "3s"]) == 2
    message = "--repeat and --until-fail both say how often a case is run; give one of them [replay]"
    assert capsys.readouterr().err == f"offload-fuzz: error: {message}\n"
