"""Known issues, baselines and --fail-on: what they cover, what they say, how the file is kept."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from offload_fuzz import __version__, cli
from offload_fuzz.errors import UsageError
from offload_fuzz.finding.excuses import KINDS, Excuses, Seen, excuses
from offload_fuzz.finding.known import Issue, out_of_scope, parse_known, warnings
from offload_fuzz.finding.known_file import added, entry_text, removed
from offload_fuzz.oracles import recovery

from . import EXAMPLE, ROOT, STRIDES

ID = "F518fa02a"
ENTRY = f"""# ours: the upload of strided views
[[issue]]
id = "{ID}"
expect = "fail"
reason = "strided uploads"
witness = "case.offload.json"
tracker = "T-1"
owner = "runtime"
"""
DATA = json.loads(EXAMPLE.read_text())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "known-issues.toml").write_text(ENTRY)
    shutil.copy(EXAMPLE, tmp_path / "case.offload.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def issue(**fields: Any) -> Issue:
    return Issue(**{"id": ID, "expect": "fail", "reason": "r", "witness": "w", **fields})


# ------------------------------------------------------------------------------------------------------------- file
#: text of a file -> what is said of it
WRONG = {
    "issue = [": "known issues are not TOML but should be: ",
    "[issues]": "key is 'issues' but should be issue: each entry stands under [[issue]] [k]",
    "issue = 3": "issue is 3 but should be a list: each entry stands under [[issue]] [k]",
    "issue = [3]": "entry is 3 but should be a table: write [[issue]] above it [k, issue[0]]",
    ENTRY + "idd = 3": "key is 'idd' but should be one of id, expect, reason, witness, ",
    ENTRY.replace("expect", "#"): "expect is missing but should be stated [k, issue[0]]",
    ENTRY.replace(
        '"fail"', '"fails"'
    ): "expect is 'fails' but should be one of fail, flaky, crash, hang, skip [k, issue",
    ENTRY.replace(ID, "F 1"): "id is 'F 1' but should be the ID of a finding such as F518fa02a [k, issue[0]]",
    ENTRY.replace("strided uploads", " "): "reason is ' ' but should be a text that says something [k, issue[0]]",
    ENTRY.replace("T-1", "\\u001b"): "tracker is '\\x1b' but should be one line of printable text [k, issue[0]]",
    ENTRY.replace(
        "witness", "#"
    ): 'witness is missing but should be a case file, as expect is not "skip" [k, issue[0]]',
    ENTRY + 'review = "2027-01-31"': "review is '2027-01-31' but should be a date without quotes such as 2027-01-31 [k",
    ENTRY + 'versions = ">=2"': "versions is '>=2' but says not of what; add backend = \"torch\" [k, issue[0]]",
    ENTRY
    + 'backend = "torch"\nversions = "2"': "versions is '2' but should be versions as in PEP 440 such as \">=2.13",
    ENTRY + f'backend = "torch"\nversions = ">={"1" * 4400}"': "versions is '>=1111",
    ENTRY + f"review = {'1' * 4400}": "known issues are not TOML but should be: Exceeds the limit (4300 digits)",
    ENTRY + 'promises = "values"': "promises is 'values' but should be a list of rows of `conformance` such as [",
    ENTRY + "promises = []": "promises is [] but should be a list of rows of `conformance` such as [",
    ENTRY + ENTRY: f"id is '{ID}' but should stand in one entry only [k, issue[1]]",
}


@pytest.mark.parametrize("text", WRONG)
def test_whatever_is_wrong_in_the_file_is_said_with_its_place(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_known(text, "k")
    assert str(error.value).startswith(WRONG[text])


def test_an_entry_is_written_as_it_is_read() -> None:
    full = issue(reason='a "quoted" \\ reason', tracker="é", owner="o", review=date(2027, 1, 31), backend="torch",
                 versions=">=2.13")  # fmt: skip  # one entry
    assert parse_known(entry_text(full), "k") == [full]
    assert "\nreview = 2027-01-31\n" in entry_text(full)
    assert parse_known(added("", full, "k"), "k") == [full]


def test_adding_and_removing_leave_the_rest_as_it_was() -> None:
    first = f"# a head\n\n{ENTRY}"
    text = added(added(first, issue(id="F2"), "k"), issue(id="F3"), "k") + "\n# about F4\n" + entry_text(issue(id="F4"))
    assert text.startswith(first.rstrip())
    assert [i.id for i in parse_known(text, "k")] == [ID, "F2", "F3", "F4"]
    without = removed(text, ["F3", ID], "k")
    assert [i.id for i in parse_known(without, "k")] == ["F2", "F4"]
    assert without == "# a head\n\n# ours: the upload of strided views\n\n" + entry_text(
        issue(id="F2")
    ) + "\n\n# about F4\n" + entry_text(issue(id="F4"))
    with pytest.raises(UsageError, match="issue F2 is known already but should be added once"):
        added(text, issue(id="F2"), "k")
    inline = 'issue = [{id = "F1", expect = "skip", reason = "r"}]'
    with pytest.raises(UsageError, match=r"entries are not each under a line \[\[issue\]\] \[k\]; remove F1 by hand"):
        removed(inline, ["F1"], "k")


# ------------------------------------------------------------------------------------------------------------ scope
def test_versions_say_where_an_issue_is_one() -> None:
    assert out_of_scope(issue()) == ""
    assert out_of_scope(issue(backend="simulated", versions=f"=={__version__}")) == ""
    assert out_of_scope(issue(backend="simulated", versions=">99")) == f"simulated is {__version__}, not >99"
    assert out_of_scope(issue(backend="no_such_backend")) == "no_such_backend is not installed"
    assert out_of_scope(issue(backend="numpy", versions=">=1")) == ""


@pytest.mark.parametrize(
    ("fields", "kind", "devices", "covered"),
    [
        ({}, "wrong value", ("simulated:0",), True),
        ({}, "crash", ("simulated:0",), False),
        ({"expect": "flaky"}, "raised", (), True),
        ({"expect": "hang"}, "hang", (), True),
        ({"expect": "hang"}, "crash", (), False),
        ({"expect": "skip"}, "crash", (), True),
        ({"id": "F2"}, "wrong value", (), False),
        ({"backend": "simulated"}, "wrong value", ("validating:simulated:0+fault",), True),
        ({"backend": "simulated"}, "wrong value", ("numpy",), False),
        ({"backend": "simulated", "versions": ">99"}, "wrong value", ("simulated:0",), False),
    ],
)
def test_an_issue_covers_its_own_finding_only(
    fields: dict[str, Any], kind: str, devices: tuple[str, ...], covered: bool
) -> None:
    assert issue(**fields).covers(ID, kind, devices) == covered


def test_a_finding_that_is_not_shrunk_is_excused_by_kind_and_ops() -> None:
    told = Excuses(seen=(Seen("F1", "wrong value", frozenset({"reshape"}), "known"),))
    assert told.excuse("F9", DATA, reduced=False) == "not shrunk, as the time was up, and perhaps F1: known"
    assert told.excuse("F9", DATA, reduced=True) == ""
    other = Excuses(seen=(Seen("F1", "wrong value", frozenset({"sin"}), "known"),))
    assert other.excuse("F9", DATA, reduced=False) == ""


def test_a_review_date_that_has_passed_is_a_warning() -> None:
    told = warnings([issue(review=date(2026, 1, 1), owner="me"), issue(review=date(2026, 1, 2))], date(2026, 1, 2))
    assert told == [f"known issue {ID} was to be reviewed by 2026-01-01 by me: r"]


def test_every_kind_that_an_oracle_gives_is_one() -> None:
    text = "".join(p.read_text() for p in (ROOT / "oracles").glob("*.py"))
    import re

    named = set(re.findall(r'FAIL, "([a-z ]+)"', text)) | set(re.findall(r'FAIL,\s+"([a-z ]+)"', text))
    assert named | set(recovery.KINDS) | {"crash", "hang"} == set(KINDS)


# -------------------------------------------------------------------------------------------------------------- run
def test_what_is_known_or_in_the_baseline_does_not_fail_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", STRIDES, "--max-cases", "250", "--isolation", "inline"]
    assert cli.main([*run, "--report-dir", "a"]) == 1
    capsys.readouterr()
    shutil.copy("a/report.json", "old.json")
    ids = [f["id"] for f in json.loads(Path("old.json").read_text())["findings"]]

    assert cli.main([*run, "--report-dir", "b", "--baseline", "old.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{ids[0]}  wrong value: in the baseline old.json\n")
    assert f"\nexcused   {ids[0]}, " in out
    words = " ".join(out.split())
    n = len(ids)
    some = f"{n} finding{'s' * (n > 1)} in b/findings, of which {n} do{'es' * (n == 1)} not fail the run; exit 0"
    assert some in words

    add = ["--reason", "strides", "--known", "k.toml", "--report-dir", "a", "--review", "2020-01-31"]
    for id in ids:
        assert cli.main(["known", "add", id, *add]) == 0
    assert (
        Path(f"known-issues/{ids[0]}.offload.json").read_text() == Path(f"a/findings/{ids[0]}.offload.json").read_text()
    )
    assert cli.main([*run, "--report-dir", "c", "--known", "k.toml"]) == 0
    out = capsys.readouterr().out
    assert f"{ids[0]}  wrong value: known issue, expected to fail: strides\n" in out
    assert f"\nwarning   known issue {ids[0]} was to be reviewed by 2020-01-31: strides\n" in out
    report = json.loads(Path("c/report.json").read_text())
    assert report["findings"][0]["excuse"] == "known issue, expected to fail: strides"

    assert cli.main([*run, "--report-dir", "d", "--fail-on", "crash,hang"]) == 0
    assert f"{ids[0]}  wrong value: --fail-on leaves out wrong value\n" in capsys.readouterr().out
    assert cli.main([*run, "--report-dir", "d", "--fail-on", "wrong-value"]) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--known", "no.toml"], "file cannot be read: No such file or directory [no.toml]"),
        (["--known", "case.offload.json"], "known issues are not TOML but should be: "),
        (["--baseline", "no.json"], "file cannot be read: No such file or directory [no.json]"),
        (["--baseline", "case.offload.json"], 'file has no "format": "offload-fuzz report", so it is no report.json ['),
        (["--fail-on", "crashes"], "kind is 'crashes' but should be one of wrong value, plans disagree, "),
    ],
)
def test_a_run_says_what_is_wrong_with_them(
    option: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--max-cases", "1", "--isolation", "inline", *option]) == 2
    assert capsys.readouterr().err.startswith(f"offload-fuzz: error: {message}")


def test_nothing_is_excused_without_options() -> None:
    assert excuses(None, None, None).excuse(ID, DATA, reduced=True) == ""


# ----------------------------------------------------------------------------------------------------------- verify
def test_a_witness_that_still_fails_holds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["known", "verify", "--isolation", "inline"]) == 0
    assert capsys.readouterr().out == (
        f"HOLDS     {ID}  strided uploads: 1 of 1 run failed\n"
        "1 known issue: 1 HOLDS; exit 0: nothing to fail on\n"
    )  # fmt: skip  # one text


def test_a_witness_that_passes_is_stale_and_is_pruned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = ["--device", "d0=simulated:0", "--isolation", "inline"]
    assert cli.main(["known", "verify", *device]) == 1
    assert capsys.readouterr().out == (
        f"STALE     {ID}  strided uploads: 0 of 1 run failed; `offload-fuzz known prune` removes the entry\n"
        "1 known issue: 1 STALE; exit 1: an entry does not hold\n"
    )
    assert cli.main(["known", "prune", "--isolation", "inline"]) == 0
    assert capsys.readouterr().out.endswith("nothing to remove from known-issues.toml\n")
    assert cli.main(["known", "prune", *device]) == 0
    assert capsys.readouterr().out.endswith(f"removed {ID} from known-issues.toml\n")
    assert (here / "known-issues.toml").read_text() == "# ours: the upload of strided views\n"
    assert (here / "case.offload.json").exists()


def test_a_flaky_witness_is_stale_only_after_twenty_passing_runs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "known-issues.toml").write_text(ENTRY.replace('"fail"', '"flaky"'))
    assert cli.main(["known", "verify", "--device", "d0=simulated:0", "--isolation", "inline"]) == 1
    seen = "0 of 20 runs failed (0.0%, 95% confidence 0.0% to 16.1%); `offload-fuzz known prune` removes the entry\n"
    assert capsys.readouterr().out.startswith(f"STALE     {ID}  strided uploads: {seen}")


def test_a_witness_that_fails_differently_is_a_new_finding(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = EXAMPLE.read_text().replace('"kind": "wrong value"', '"kind": "raised"')
    (here / "case.offload.json").write_text(text)
    assert cli.main(["known", "verify", "--isolation", "inline"]) == 1
    assert capsys.readouterr().out.startswith(
        f"NEW       {ID}  strided uploads: fails with wrong value, not raised: v1[1] is -6328.72119 "
    )


def test_what_is_not_run_says_why(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip = ENTRY.replace('"fail"', '"skip"')
    elsewhere = ENTRY.replace(ID, "F2") + 'backend = "simulated"\nversions = ">99"\n'
    missing = ENTRY.replace(ID, "F3").replace("case.", "gone.")
    (here / "known-issues.toml").write_text(skip + elsewhere + missing)
    assert cli.main(["known", "verify", "--isolation", "inline"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"SKIPPED   {ID}  strided uploads: it is never run"
    assert lines[1] == f"ELSEWHERE F2  strided uploads: simulated is {__version__}, not >99"
    assert lines[2].startswith("ERROR     F3  strided uploads: file cannot be read: No such file or directory [gone.")
    assert cli.main(["known", "prune", "--id", "F4"]) == 2
    assert capsys.readouterr().err.startswith(f"offload-fuzz: error: --id is 'F4' but should be one of {ID}, F2, F3 [")
    assert cli.main(["known", "prune", "--id", "F2"]) == 0
    assert [i.id for i in parse_known((here / "known-issues.toml").read_text(), "k")] == [ID, "F3"]


def test_json_is_all_that_is_printed_where_it_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["known", "verify", "--isolation", "inline", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in data["issues"]] == ["HOLDS"]


def test_adding_names_a_witness_where_it_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["known", "add", "case.offload.json", "--known", "sub/k.toml", "--reason", "r", "--backend", "simulated"]
    assert cli.main([*add, "--versions", ">=0.1", "--owner", "me"]) == 0
    assert capsys.readouterr().out == f"{ID} is in sub/k.toml: known issue, expected to fail: r (me)\n"
    (entry,) = parse_known(Path("sub/k.toml").read_text(), "k")
    assert entry.witness == "../case.offload.json"
    assert cli.main([*add]) == 2
    assert "is known already but should be added once" in capsys.readouterr().err
    assert cli.main([*add[:-4], "--reason", "r", "--review", "soon", "--known", "n.toml"]) == 2
    assert "--review is 'soon' but should be a date such as 2027-01-31" in capsys.readouterr().err


def test_the_file_in_the_docs_is_one() -> None:
    text = (ROOT / "docs" / "known-issues.md").read_text()
    body = text.partition("```toml\n")[2].partition("```")[0]
    (entry,) = parse_known(body, "docs/known-issues.md")
    assert (ROOT / entry.witness).is_file()
