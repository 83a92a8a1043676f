"""`offload-fuzz shrink`: a case from any source comes down to its core; what is on disk, and what the end says."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from offload_fuzz import cli
from offload_fuzz.campaign.reducing import Job, reduce_file
from offload_fuzz.case import Case, dump_case, read_case
from offload_fuzz.finding.replay import FAILED, replay_file
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder
from tests.campaign.test_shrinking import failing

from . import CHIPS, EXAMPLE, offload

BIG, SMALL = "big.offload.json", "big.small.offload.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    case, _, _ = failing(100)
    (tmp_path / BIG).write_text(dump_case(case))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_case_without_a_finding_is_reduced_named_and_said_to_be_one_minimal(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["shrink", BIG]) == 0
    out = capsys.readouterr().out
    case, known = read_case(SMALL)
    assert len(case.program.nodes) == 1
    assert sorted(name for name, _ in case.plan.choices) == ["device", "layout"]
    assert known["shrunk"]["one_minimal"] is True
    assert known["failures"] == known["repeats"] == 3
    assert replay_file(SMALL, {}).status == FAILED
    assert f"\n{known['id']}  wrong value\n" in out
    assert f"\n  replay    offload-fuzz replay {SMALL}\n" in out
    words = " ".join(out.split())
    assert f"1 node, 2 choices, 4 elements in {SMALL} from 100 nodes, 103 choices, 24 elements by " in words
    assert words.endswith("; one-minimal: each single step that is left was tried and does not fail")


def test_100_nodes_and_3_come_down_to_the_same_finding(here: Path) -> None:
    (here / "three.offload.json").write_text(dump_case(failing(3)[0]))
    ends = [reduce_file(Job(source=Path(name), devices={})) for name in (BIG, "three.offload.json")]
    assert ends[0].case == ends[1].case
    assert ends[0].known["id"] == ends[1].known["id"]


def test_a_small_program_is_on_disk_after_few_executions(here: Path) -> None:
    """At 50 ms an execution, 5 s are 100 executions, the starting of a backend left out."""
    sizes: dict[int, int] = {}

    def better(case: Case, executions: int) -> None:
        sizes[executions] = len(read_case(SMALL)[0].program.nodes)
        assert sizes[executions] == len(case.program.nodes)

    reduce_file(Job(source=Path(BIG), devices={}), better)
    for most, executions in ((76, 3), (50, 12), (3, 25)):
        assert min(n for n, size in sizes.items() if size <= most) <= executions


def test_what_was_stopped_goes_on(here: Path) -> None:
    first = reduce_file(Job(source=Path(BIG), devices={}, max_cases=4))
    assert not first.minimal
    assert len(first.case.program.nodes) > 1
    assert first.executions == 4
    rest = reduce_file(Job(source=Path(BIG), devices={}))
    assert rest.minimal
    assert rest.executions > 4
    assert rest.known["executions"] == rest.executions
    again = reduce_file(Job(source=Path(BIG), devices={}))
    assert again.minimal
    assert again.case == rest.case
    no_time = reduce_file(Job(source=Path(BIG), out=here / "other.offload.json", devices={}, max_time=0))
    assert (no_time.executions, no_time.minimal) == (1, False)  # whether it fails again
    assert len(read_case("other.offload.json")[0].program.nodes) == 100


def test_a_command_can_be_the_judge(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; sys.exit(1 if 'strided' in open(sys.argv[1]).read() else 0)"
    (here / "check.py").write_text(script)
    assert cli.main(["shrink", BIG, "--check", f"{sys.executable} check.py", "-o", "out.offload.json", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["one_minimal"] is True
    assert data["finding"]["kind"] == "check"
    case, _ = read_case("out.offload.json")
    assert len(case.program.nodes) == 1
    assert [(name, choice) for (name, _), choice in case.plan.choices.items()] == [("layout", "strided")]


def test_a_crash_is_reduced_in_processes_of_its_own(here: Path) -> None:
    (here / "chips.py").write_text(CHIPS)
    text = EXAMPLE.read_text().replace('"op": "reshape"', '"op": "negative"').replace('{"shape": [2]}', "{}")
    text = text.replace('["0x1p+0", "0x1p+0"]', '["0x1p+1", "0x1p+0"]', 1)  # Moody crashes at 2
    (here / "dies.offload.json").write_text(text.replace('"kind": "wrong value"', '"kind": "crash"'))
    result = offload("shrink", "dies.offload.json", "--device", "d0=chips.py:Moody", cwd=here)
    assert (result.code, result.err) == (0, "")
    case, known = read_case("dies.small.offload.json")
    assert known["kind"] == "crash"
    assert case.program.inputs[0].reshape(-1).tolist() == [2.0]
    assert [name for name, _ in case.plan.choices] == ["device"]


def test_two_devices_of_which_one_is_at_fault_come_down_to_that_one(here: Path) -> None:
    text = (here / BIG).read_text()
    fault = text.partition('"d0": "')[2].partition('"')[0]
    two = text.replace(f'"d0": "{fault}"', f'"d0": "simulated:1", "d1": "{fault}"')
    data = json.loads(two)
    for row in data["plan"]["choices"]:
        row[2] = 2 if row[0] == "device" else row[2]
    (here / "two.offload.json").write_text(json.dumps(data))
    end = reduce_file(Job(source=Path("two.offload.json"), devices={}))
    assert end.case.devices == (fault,)
    assert end.minimal
    assert replay_file(end.path, {}).status == FAILED


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("nope", 2, "nope is neither a file, a folder nor a stored ID; `offload-fuzz show` lists the IDs"),
        (f"{BIG} -o {BIG}", 2, f"{BIG} exists but is no reduction of {BIG}; name another with -o"),
        (
            f"{BIG} --device d0=simulated:0",
            3,
            f"case does not fail but should, to be reduced: 0 of 3 runs failed [{BIG}]",
        ),
        (f"{BIG} --check true", 3, f"case does not fail but should, to be reduced: true does not exit with 1 [{BIG}]"),
        (
            f"{BIG} --check no_such_command",
            2,
            "--check no_such_command cannot be run: No such file or directory [shrink]",
        ),
        (
            f"{BIG} -o no/where.offload.json",
            2,
            "finding no/where.offload.json cannot be written: No such file or direc",
        ),
        (". ", 2, ". is a folder of 2 cases but should be one file or ID [shrink]"),
    ],
)
def test_what_cannot_be_reduced_is_said(
    arguments: str, code: int, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLE, here / "another.offload.json")
    assert cli.main(["shrink", *arguments.split()]) == code
    assert capsys.readouterr().err.startswith(f"offload-fuzz: error: {message}")


SLOW = """
import time

import numpy as np


class Slow:
    name = "slow:0"
    features = {"ops": ["negative", "multiply"], "dtypes": ["float32"], "contract": "numpy"}

    def reset(self, seed):
        time.sleep(0.05)

    def upload(self, array):
        return np.array(array)

    def download(self, buffer):
        return np.array(buffer)

    def launch(self, op, operands, attributes):
        return np.asarray(getattr(np, op)(*operands)) + np.float32(op == "multiply")
"""


def test_with_50_ms_an_execution_the_first_useful_reduction_is_on_disk_within_5_s(tmp_path: Path) -> None:
    """It takes the five seconds that it is about."""
    b = Builder()
    x = v = b.input(np.ones((3, 4), np.float32))
    for i in range(100):
        v = b.apply("multiply", v, x) if i == 50 else b.apply("negative", v)
    program = b.returns(v)
    case = Case(program, Plan({("device", (u,)): 1 for u, _ in program.numbered()}), ("slow.py:Slow",))
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / BIG).write_text(dump_case(case, {"kind": "wrong value"}))
    done = offload("shrink", BIG, "--device", "d0=slow.py:Slow", "--max-time", "5s", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    small, known = read_case(tmp_path / SMALL)
    assert len(small.program.nodes) <= 50
    assert "multiply" in [n.op for n in small.program.nodes]
    assert known["kind"] == "wrong value"
