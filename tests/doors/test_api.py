"""The public API: names, checks, and what a failing one says."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import offload_fuzz as of
from offload_fuzz import strategies as ofs
from offload_fuzz.campaign.report import Found
from offload_fuzz.oracles import FAIL, PlacementInvariant, Verdict, WithinContract
from offload_fuzz.plan import PLAIN
from offload_fuzz.program import Builder
from offload_fuzz.trial import Trial

from . import EXAMPLE, ROOT, STRIDES, run_pytest


class Doubles:
    """A chip that is wrong about `negative`."""

    name = "doubles:0"
    features = {"ops": ["add", "negative"], "dtypes": ["float32"]}  # noqa: RUF012  # as an adapter's author writes it

    def upload(self, array: Any) -> Any:
        return np.array(array)

    def download(self, buffer: Any) -> Any:
        return np.array(buffer)

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        return operands[0] + operands[0] if op == "negative" else operands[0] + operands[1]


def negated() -> of.Program:
    builder = Builder()
    v0 = builder.input(np.ones(2, np.float32))
    return builder.returns(builder.apply("negative", v0))


# ------------------------------------------------------------------------------------------------------------- names
def test_every_public_name_is_there() -> None:
    for name in of.__all__:
        assert getattr(of, name) is not None
    assert set(dir(of)) == set(of.__all__)
    wanted = """run check check_plans case_files load_case CounterexampleFound CaseBuilder defop ulps exact Range Choice
        Axis Program Plan Case ArrayType OffloadError"""
    assert set(wanted.split()) <= set(of.__all__)


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse((ROOT / "offload_fuzz" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: f"offload_fuzz.{module}" for name, module in of._PUBLIC.items()}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'offload_fuzz' has no attribute 'chek'"):
        of.chek  # noqa: B018


# --------------------------------------------------------------------------------------------------------------- run
def test_run_takes_adapter_objects_and_reports_what_it_finds(tmp_path: Path) -> None:
    seen: list[tuple[Found, Path | None]] = []
    report = of.run(
        [Doubles()], max_cases=300, ops=["add", "negative"], report_dir=tmp_path, found=lambda f, p: seen.append((f, p))
    )
    assert report.exit_code == 1
    assert report.counts.cases == 300
    assert [f.id for f, _ in seen] == [f.id for f in report.findings]
    assert all(p is not None and p.read_text() == f.text for f, p in seen)
    assert '"doubles:0"' in (tmp_path / "report.json").read_text()


def test_run_without_a_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert of.run(["simulated:0"], max_cases=20, isolation="inline").exit_code == 0
    assert not list(tmp_path.iterdir())


def test_run_raises_what_kept_it_from_running() -> None:
    with pytest.raises(of.UsageError, match=r"device profile|fault is 'nope'"):
        of.run(["simulated:0+nope"], max_cases=1, isolation="inline")
    with pytest.raises(of.UsageError, match=r"fault is 'nope'"):
        of.run(["simulated:0+nope"], max_cases=1)
    with pytest.raises(of.UsageError, match=r"adapter objects cannot go to another process; use 'inline' \[run\]"):
        of.run([Doubles()], max_cases=1, isolation="process")
    with pytest.raises(of.UsageError, match=r"isolation is 'procces' .* did you mean 'process'\?"):
        of.run(max_cases=1, isolation="procces")


# ------------------------------------------------------------------------------------------------------------ checks
def test_a_failing_check_is_the_counterexample() -> None:
    case = of.load_case(EXAMPLE)
    with pytest.raises(of.CounterexampleFound) as caught:
        of.check(case)
    lines = str(caught.value).split("\n")
    assert lines[0] == "counterexample  wrong value"
    assert lines[1].startswith("  v1[1] is ")
    assert "  program(v0: float32[2])" in lines
    mark = "    v1: float32[2] = reshape v0, shape=(2,)  # simulated:0+upload_strides_ignored   <- first divergence"
    assert mark in lines
    assert "  needs     v1 on d0                  turning it plain makes it pass" in lines
    assert isinstance(caught.value, AssertionError)
    assert caught.value.case is case
    assert caught.value.verdict is not None
    assert caught.value.verdict.kind == "wrong value"
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own bytes
    assert str(again) == str(caught.value)


def test_a_case_replays_on_another_device() -> None:
    of.check(of.load_case(EXAMPLE, devices={"d0": "simulated:0"}))
    with pytest.raises(of.UsageError, match=r"role is 'd1' but should be one of the case's roles, d0 \[.*example"):
        of.load_case(EXAMPLE, devices={"d1": "simulated:0"})


def test_only_the_oracles_that_are_given_judge() -> None:
    case = of.load_case(EXAMPLE)
    of.check(case, oracles=[PlacementInvariant()])
    with pytest.raises(of.CounterexampleFound):
        of.check(case, oracles=[WithinContract()])


def test_an_oracle_of_ones_own_may_judge_and_one_that_raises_is_no_pass() -> None:
    class NeverNegative:
        def judge(self, trial: Trial) -> Verdict:
            return Verdict(FAIL, "negative", "nothing is negative", "v1 is negative", value=1)

    class Raises:
        def judge(self, trial: Trial) -> Verdict:
            raise KeyError("x")

    case = of.Case(negated(), PLAIN, ("simulated:0",))
    of.check(case)
    with pytest.raises(of.CounterexampleFound, match="nothing is negative"):
        of.check(case, oracles=[NeverNegative()])
    with pytest.raises(of.UsageError, match=r"oracle Raises raised KeyError: 'x' \[check\]; mend it"):
        of.check(case, oracles=[Raises()])


def test_what_is_no_case_or_program_is_refused() -> None:
    with pytest.raises(of.UsageError, match="case is int but should be a case"):
        of.check(3)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(of.UsageError, match="program is str but should be a program"):
        of.check_plans("x")  # type: ignore[arg-type]  # that is the point


def test_check_plans_runs_every_placement() -> None:
    of.check_plans(negated(), devices=["simulated:0"])
    with pytest.raises(of.CounterexampleFound) as caught:
        of.check_plans(negated(), devices=[Doubles()])
    assert "    v1: float32[2] = negative v0  # doubles:0   <- first divergence" in str(caught.value).split("\n")
    with pytest.raises(of.CounterexampleFound) as caught:
        of.check_plans(negated(), devices=[Doubles()], oracles=[PlacementInvariant()])
    assert "plans disagree" in str(caught.value)
    of.check_plans(negated(), devices=[Doubles()], plans=[PLAIN])
    with pytest.raises(of.UsageError, match="plans is 'all' but should be one of exhaustive"):
        of.check_plans(negated(), plans="all")


def test_a_hypothesis_failure_shows_the_program_and_no_constructor() -> None:
    @settings(max_examples=300, database=None, derandomize=True, phases=[Phase.generate], print_blob=False)
    @given(ofs.cases(devices=[STRIDES], max_nodes=4))
    def a_test(case: of.Case) -> None:
        of.check(case)

    with pytest.raises(of.CounterexampleFound) as caught:
        a_test()
    text = "\n".join(["".join(getattr(caught.value, "__notes__", [])), str(caught.value)])
    assert ": a_test(\n    case=program(v0: " in text
    assert not any(name in text for name in ("Case(", "Program(", "Plan(", "Node(", "array("))


# ------------------------------------------------------------------------------------------------------------- files
def test_case_files_are_those_below_a_folder(tmp_path: Path) -> None:
    assert of.case_files(tmp_path) == []
    (tmp_path / "b").mkdir()
    for name in ("b/2.offload.json", "1.offload.json", "notes.json"):
        (tmp_path / name).write_text("")
    assert of.case_files(str(tmp_path)) == [tmp_path / "1.offload.json", tmp_path / "b" / "2.offload.json"]
    with pytest.raises(of.UsageError, match=r"nope is no folder but should be one of \*.offload.json files"):
        of.case_files(tmp_path / "nope")


def test_the_plugin_names_case_files_in_test_ids(tmp_path: Path) -> None:
    (tmp_path / "F1.offload.json").write_text(EXAMPLE.read_text())
    (tmp_path / "test_it.py").write_text(
        "import offload_fuzz as of, pytest\n"
        "@pytest.mark.parametrize('path', of.case_files('.'))\n"
        "def test_fixed(path):\n    of.check(of.load_case(path))\n"
    )
    done = run_pytest("-v", ".", cwd=tmp_path)
    assert "\noffload-fuzz 0.1.0\n" in done.stdout
    assert "test_it.py::test_fixed[F1] FAILED" in done.stdout
    assert "  program(v0: float32[2])\n" in done.stdout
    assert done.returncode == 1
