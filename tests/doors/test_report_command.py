"""`run --report LIST` and `report FILE --report LIST`: what is written, printed and returned."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from offload_fuzz import api, cli
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.errors import UsageError
from offload_fuzz.report.commands import run_command
from offload_fuzz.report.formats import FORMATS

from . import STRIDES, offload
from .reports import SNAPSHOTS, stored

FILES = {form.file for form in FORMATS.values() if form.file}
TWO = SNAPSHOTS / "two"


def test_run_writes_the_reports_that_are_asked_for(tmp_path: Path) -> None:
    wanted = ("--report", "junit,markdown,sarif,html", "--report-dir", "out")
    result = offload("run", STRIDES, "--max-cases", 250, "--stop-after", 1, *wanted, cwd=tmp_path)
    assert (result.code, result.out, result.err) == (1, "", "")
    assert {p.name for p in (tmp_path / "out").iterdir()} == (FILES - {"report.json"}) | {".gitignore", "findings"}
    findings = [p.name.partition(".")[0] for p in (tmp_path / "out" / "findings").iterdir()]
    assert findings
    for name in FILES - {"report.json"}:
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert [id for id in findings if id not in text] == [], name


def test_reports_made_later_are_those_that_the_run_writes(tmp_path: Path) -> None:
    every = ",".join(FORMATS)
    run = offload("run", STRIDES, "--max-cases", 250, "--stop-after", 1, "--report", every, cwd=tmp_path)
    state = tmp_path / ".offload-fuzz"
    made = offload("report", state / "report.json", "--report", every, "--report-dir", "again", cwd=tmp_path)
    assert (made.code, made.err) == (0, "")
    assert run.out.strip().endswith(made.out.strip().split("\n\n")[-1])
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (state / name).read_bytes(), name


def test_report_prints_the_terminal_report_and_takes_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(TWO)]) == 0
    assert capsys.readouterr().out == (TWO / "terminal.txt").read_text(encoding="utf-8")


def test_report_names_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["report", str(TWO / "report.json"), "--report", "html,sarif", "--report-dir", str(tmp_path / "a" / "b")]
    assert cli.main(command) == 0
    written = [str(tmp_path / "a" / "b" / name) for name in ("report.html", "report.sarif")]
    assert capsys.readouterr().out.splitlines() == written
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": written}


def test_reports_go_to_the_folder_of_the_file_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_bytes((TWO / "report.json").read_bytes())
    assert cli.main(["report", str(tmp_path), "--report", "junit"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.junit.xml'}\n"
    assert (tmp_path / "report.junit.xml").read_bytes() == (TWO / "report.junit.xml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "FILE", "--report", "htlm"],
         "report is 'htlm' but should be one of terminal, json, junit, markdown, sarif, html [--report]; did you mean "
         "'html'?"),
        (["report", "missing.json"], "file cannot be read: No such file or directory [missing.json]"),
        (["run", "--report", "pdf"],
         "report is 'pdf' but should be one of terminal, json, junit, markdown, sarif, html [--report]"),
        (["report", "FILE", "--report", "html", "--report-dir", "/dev/null/x"],
         "folder /dev/null/x cannot be made: Not a directory; give another with --report-dir"),
    ],
)  # fmt: skip  # a table
def test_what_is_wrong_is_one_line_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(TWO / "report.json")
    assert cli.main([path if a == "FILE" else a for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"offload-fuzz: error: {message}\n"


def test_python_takes_the_same_list_and_refuses_the_same_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^report is 'pdf' but should be one of .* \[run\]$"):
        api.run(max_cases=1, reports=("pdf",))
    api.run(max_cases=5, isolation="inline", report_dir=tmp_path, reports=("html",))
    assert (tmp_path / "report.html").is_file()
    assert not (tmp_path / "report.json").exists()


def test_annotations_are_written_where_a_host_shows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["report", str(TWO), "--report", "markdown", "--report-dir", str(tmp_path)]
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert cli.main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert cli.main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"::error file={TWO}/findings/F0badcafe.offload.json,line=12,title=F0badcafe%3A plans")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"devices": ("torch:cpu", "my chip.py:Chip"), "seed": 9, "max_time": 90.0, "workers": 2, "plans": "edges"},
        {"ops": ("add", "sum"), "exclude_ops": ("exp",), "dtypes": ("float32",), "max_nodes": 4, "strategy": "mine",
         "oracles": ("enclosed",), "contract": "xla-cpu", "load": ("a b.py", "c"), "stop_after": 2,
         "known": "known.toml", "baseline": "old", "fail_on": ("crash",),
         "isolation": "inline", "hang_after": 2.5},
    ],
)  # fmt: skip  # a table
def test_the_command_in_a_report_is_the_same_campaign(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def run(devices: Any, **given: Any) -> Any:
        known = {name: value for name, value in given.items() if name in Settings.__annotations__}
        asked.append(Settings(devices=devices, **known))
        raise UsageError("enough")

    monkeypatch.setattr(api, "run", run)
    words = shlex.split(run_command(Settings(**options)))
    assert words[0] == "offload-fuzz"
    assert cli.main(words[1:]) == 2
    assert asked == [Settings(**options)]


def test_the_formats_in_the_docs_are_those_of_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    for name, form in FORMATS.items():
        assert f"| `{name}` | {f'`{form.file}`' if form.file else 'printed'} |" in text
    assert stored("two")["version"] == 1
