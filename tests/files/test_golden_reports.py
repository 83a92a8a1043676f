"""A report.json of every version of its format is read, and every other report is made of it: for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offload_fuzz.campaign.report import FORMAT, VERSION
from offload_fuzz.case import parse_case
from offload_fuzz.report.formats import FORMATS
from offload_fuzz.report.reader import read_report

from ..doors import offload

GOLDEN = Path(__file__).parent / "golden_reports"
FILES = sorted(GOLDEN.glob("*.json"))


def test_every_version_of_the_report_has_its_file() -> None:
    assert [path.name for path in FILES] == [f"{v}.json" for v in range(1, VERSION + 1)]
    for path in FILES:
        data = json.loads(path.read_text(encoding="utf-8"))
        assert (data["format"], f"{data['version']}.json") == (FORMAT, path.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_report_is_made_of_a_golden_file(path: Path, tmp_path: Path) -> None:
    done = offload("report", str(path), "--report", ",".join(FORMATS), "--report-dir", str(tmp_path), cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    data = read_report(path)
    made = {form.file: (tmp_path / form.file).read_text(encoding="utf-8") for form in FORMATS.values() if form.file}
    assert json.loads(made["report.json"]) == data
    for finding in data["findings"]:
        assert finding["text"] in done.out
        for name in ("report.md", "report.html", "report.junit.xml", "report.sarif"):
            assert finding["id"] in made[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_cases_in_a_golden_report_replay(path: Path, tmp_path: Path) -> None:
    findings = read_report(path)["findings"]
    for finding in findings:
        text = json.dumps(finding["case"])
        parse_case(text, finding["id"])
        (tmp_path / f"{finding['id']}.offload.json").write_text(text, encoding="utf-8")
    done = offload("replay", str(tmp_path), "--json", cwd=tmp_path)
    assert {r["status"] for r in json.loads(done.out)["replays"]} == {"FAILED"}
