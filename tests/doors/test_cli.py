"""The command line: what it prints, stores and returns."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offload_fuzz import api, cli
from offload_fuzz.adapters.simulated.faults import FAULTS
from offload_fuzz.case import read_case
from offload_fuzz.errors import MissingDevice
from offload_fuzz.ops.base import OPS
from offload_fuzz.report import listing
from offload_fuzz.report.summary import EXIT_MEANINGS

from . import CHIPS, EXAMPLE, ROOT, STRIDES, environment, offload

LISTS = ("devices", "ops", "faults", "show")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n' + '\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n"))


@pytest.mark.parametrize(
    "code", ["import offload_fuzz", "from offload_fuzz.cli import main\nassert main(['--help']) == 0"]
)
def test_importing_and_help_load_nothing_heavy(code: str) -> None:
    assert not modules_after(code) & {"torch", "numpy", "hypothesis", "attrs", "rich", "offload_fuzz.api"}


def test_each_command_has_help_and_the_lists_take_json(capsys: pytest.CaptureFixture[str]) -> None:
    known = [f"known {name}" for name in ("add", "verify", "prune")]
    for command in [*(c for c in cli.COMMANDS if c != "known"), *known]:
        assert cli.main([*command.split(), "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Usage: offload-fuzz {command}")
        assert "--load" in text
        assert "--json" in text


def test_help_states_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["run", "--help"], ["replay", "--help"]):
        assert cli.main(arguments) == 0
        text = capsys.readouterr().out
        for code, meaning in EXIT_MEANINGS.items():
            assert f"{code:>5}  {meaning}\n" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "offload-fuzz 0.1.0\n"


def test_ops_and_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ops", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["op"] for row in rows] == list(OPS)
    assert cli.main(["faults", "--json"]) == 0
    assert [row["fault"] for row in json.loads(capsys.readouterr().out)] == list(FAULTS)
    assert cli.main(["ops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["op", "category", "operands", "kinds", "attributes", "accuracy"]
    assert len(lines) == 1 + len(OPS)
    assert cli.main(["faults"]) == 0
    assert f"\n{STRIDES.partition('+')[2]} " in capsys.readouterr().out


def test_devices_are_listed_with_the_reason_where_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_torch() -> None:
        raise MissingDevice("torch is not installed")

    monkeypatch.setattr("offload_fuzz.adapters.torch.import_torch", no_torch)
    monkeypatch.setitem(listing.LISTED, "torch", ("torch:meta",))
    assert cli.main(["devices", "--json"]) == 0
    rows = {row["device"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["simulated:0"]["available"]
    assert rows["simulated:0"]["ops"] == len(OPS)
    assert rows["torch:meta"] == {
        "device": "torch:meta", "adapter": "torch", "available": False, "note": "not here: torch is not installed",
    }  # fmt: skip  # one row
    assert cli.main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["device", "ops"]


def test_a_loaded_op_is_listed(tmp_path: Path) -> None:
    extension = tmp_path / "mine.py"
    extension.write_text(
        "import offload_fuzz as of\n@of.defop('halve', kinds='real floating', accuracy=of.ulps(1))\n"
        "def halve(x): return x\n@halve.reference\ndef _(x): return x / 2\nprint('noise')\n"
    )
    result = offload("ops", "--load", extension, "--json", cwd=tmp_path)
    assert result.code == 0
    assert json.loads(result.out)[-1]["op"] == "halve"
    assert result.err == "noise\n"


# ------------------------------------------------------------------------------------------------------ run and replay
def test_a_lawful_run_says_what_it_did_and_exits_0(tmp_path: Path) -> None:
    result = offload("run", "--max-cases", 500, "--seed", 5, cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    told = [line for line in result.out.splitlines() if not re.match(r" |\d+ s: ", line)]  # a slow machine tells more
    lines = {line.split(maxsplit=1)[0]: line for line in told}
    assert list(lines) == [
        "ran", "pairs", "cells", "programs", "ops", "freedoms", "judged", "left", "ledger", "failures", "took",
        "verdict",
    ]  # fmt: skip  # the labels
    assert " 500 plans (case runs) on numpy and simulated:0, simulated:1" in lines["ran"]
    assert " crossing pairs (" in lines["pairs"]
    assert " of op x dtype x layout x transfer x places; least: op " in lines["cells"]
    assert lines["verdict"] == "verdict   no finding in 500 case runs; exit 0: nothing to fail on"
    state = tmp_path / ".offload-fuzz"
    assert (state / ".gitignore").read_text() == "*\n"
    report = json.loads((state / "report.json").read_text())
    assert report["counts"]["cases"] == 500
    assert report["settings"]["seed"] == 5
    assert report["findings"] == []
    assert offload("show", cwd=tmp_path).out == "no findings are stored here\n"


def test_a_faulty_device_is_found_stored_shown_and_replayed(tmp_path: Path) -> None:
    few = ("--ops", "negative", "--dtypes", "float32", "--max-nodes", 1)
    result = offload("run", STRIDES, "--max-cases", 500, "--stop-after", 1, *few, cwd=tmp_path)
    assert (result.code, result.err) == (1, "")
    (path,) = (tmp_path / ".offload-fuzz" / "findings").iterdir()
    id = path.name.removesuffix(".offload.json")
    case, known = read_case(path)
    assert known["id"] == id
    assert case.devices == (STRIDES,)
    blocks = result.out.strip().split("\n\n")
    assert blocks[0].startswith(f"{id}  wrong value\n  v")
    assert f"replay    offload-fuzz replay .offload-fuzz/findings/{id}.offload.json\n" in result.out
    assert "turning it plain makes it pass" in result.out
    assert result.out.endswith("1 finding in .offload-fuzz/findings; exit 1: a finding that counts\n")

    shown = offload("show", id, cwd=tmp_path)
    assert shown.out.strip() in result.out
    assert json.loads(offload("show", id, "--json", cwd=tmp_path).out) == json.loads(path.read_text())
    (row,) = json.loads(offload("show", "--json", cwd=tmp_path).out)
    assert (row["id"], row["kind"], row["message"]) == (id, "wrong value", known["message"])

    failed = offload("replay", id, "--repeat", 2, cwd=tmp_path)
    assert (failed.code, failed.err) == (1, "")
    head = f"FAILED   .offload-fuzz/findings/{id}.offload.json: 2 of 2 runs failed "
    head += f"(100.0%, 95% confidence 34.2% to 100.0%)\n\n{id}  wrong value\n"
    assert failed.out.startswith(head)
    assert failed.out.endswith("\n1 file: 1 FAILED; exit 1: a finding that counts\n")
    fixed = offload("replay", ".offload-fuzz/findings", "--device", "d0=simulated:0", cwd=tmp_path)
    assert fixed.code == 0
    assert fixed.out == (
        f"FIXED    .offload-fuzz/findings/{id}.offload.json: 0 of 1 run failed\n"
        "1 file: 1 FIXED; exit 0: nothing to fail on\n"
    )


def test_json_is_all_that_is_printed_where_it_is_asked_for(tmp_path: Path) -> None:
    arguments = ("run", STRIDES, "--max-cases", 250, "--isolation", "inline", "--json", "--report-dir", "state")
    result = offload(*arguments, cwd=tmp_path)
    assert (result.code, result.err) == (1, "")
    assert json.loads(result.out) == json.loads((tmp_path / "state" / "report.json").read_text())
    assert not (tmp_path / ".offload-fuzz").exists()
    id = json.loads(result.out)["findings"][0]["id"]
    replayed = offload("replay", id, "--report-dir", "state", "--json", cwd=tmp_path)
    assert replayed.code == 1
    data = json.loads(replayed.out)
    assert data["exit_code"] == 1
    assert data["replays"][0]["status"] == "FAILED"
    assert data["replays"][0]["verdict"]["kind"] == "wrong value"


def test_reports_are_only_those_that_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["run", "--max-cases", "20", "--isolation", "inline", "--report-dir", str(tmp_path), "--report"]
    assert cli.main([*common, "json"]) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "report.json").unlink()
    assert cli.main([*common, "terminal"]) == 0
    assert "verdict" in capsys.readouterr().out
    assert not (tmp_path / "report.json").exists()


def test_nothing_tested_exits_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--max-time", "0s", "--isolation", "inline", "--report-dir", str(tmp_path)]) == 5
    assert capsys.readouterr().out.endswith("verdict   no case was run; exit 5: nothing was tested\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_found(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "offload_fuzz", "run", STRIDES, "--max-time", "100s"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip  # one call
    findings = tmp_path / ".offload-fuzz" / "findings"
    for _ in range(600):
        if findings.is_dir() and list(findings.glob("*.json")):
            break
        time.sleep(0.1)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "offload-fuzz: error: interrupted\n"
    assert "exit 130: interrupted, reports" in " ".join(out.split())
    report = json.loads((tmp_path / ".offload-fuzz" / "report.json").read_text())
    assert report["error"] == "interrupted"
    assert {f["id"] for f in report["findings"]} == {p.name.partition(".")[0] for p in findings.iterdir()}


def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "offload_fuzz", "run", STRIDES, "--max-cases", "500"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert err == ""
    assert json.loads((tmp_path / ".offload-fuzz" / "report.json").read_text())["counts"]["cases"] == 500


def test_replay_of_crash_and_hang_goes_on_with_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "chips.py").write_text(CHIPS)
    text = EXAMPLE.read_text().replace('"op": "reshape"', '"op": "negative"').replace('{"shape": [2]}', "{}")
    for i, first in enumerate(("0x1p+1", "0x1.8p+1", "0x1p+0", "0x1p+1")):  # Moody crashes at 2 and hangs at 3
        changed = text.replace('["0x1p+0", "0x1p+0"]', f'["{first}", "0x1p+0"]', 1)
        (tmp_path / f"{i}.offload.json").write_text(changed)
    device = ("--device", "d0=chips.py:Moody")
    result = offload("replay", ".", *device, "--hang-after", "1s", "--json", cwd=tmp_path)
    assert result.code == 1
    got = [(r["path"][0], r["status"], r["verdict"]["kind"]) for r in json.loads(result.out)["replays"]]
    # the stored expectation is that of reshape: a lawful negative cannot be told from a reference that has changed
    assert got == [("0", "FAILED", "crash"), ("1", "FAILED", "hang"), ("2", "UNKNOWN", ""), ("3", "FAILED", "crash")]
    shown = offload("replay", "0.offload.json", *device, cwd=tmp_path)
    assert "  the process ended: signal SIGSEGV\n" in shown.out


def test_a_mistake_of_ours_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(api, "run", broken)
    assert cli.main(["run", "--report-dir", str(tmp_path)]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    head = "offload-fuzz: error: internal error: RuntimeError: first line second line [test_cli.py:"
    assert err.startswith(head)
    assert err.endswith("]; please report it\n")
    assert err.count("\n") == 1


def test_python_dash_m_is_the_command_line() -> None:
    assert (ROOT / "offload_fuzz" / "__main__.py").is_file()
    assert "offload-fuzz" in offload("--version", cwd=ROOT).out
