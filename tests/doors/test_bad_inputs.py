"""Whatever is wrong on the command line, in a file or in code of the user's: one clear line and the exit code."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from offload_fuzz import cli

from . import CHIPS, EXAMPLE, EXTENSION, STRIDES, offload

FILES = {
    "chips.py": CHIPS,
    "mine.py": EXTENSION,
    "raises.py": "raise RuntimeError('at import')\n",
    "syntax.py": "def f(:\n",
    "exits.py": "raise SystemExit(3)\n",
    "broken.toml": "ulps = [\n",
    "unknown.toml": 'name = "x"\n[ulpz]\n',
    "nameless.toml": "[ulps]\n",
    "dtype.toml": 'name = "x"\n[ulps.exp]\nfloat99 = 3\n',
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "good.offload.json").write_text(EXAMPLE.read_text())
    (tmp_path / "code.offload.json").write_text(EXAMPLE.read_text().replace(STRIDES, "chips.py:Chip"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(err: str) -> str:
    assert err.startswith("offload-fuzz: error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.removeprefix("offload-fuzz: error: ").rstrip("\n")


#: arguments after `run --isolation inline --max-cases 20` -> exit code, and what the line starts with
RUNS: dict[str, tuple[int, str]] = {
    "nope:0": (2, "device is 'nope:0' but should be one of array_api, "),
    "simulatd:0": (2, "device is 'simulatd:0' but should be one of array_api, "),
    "simulated": (2, "device index is '' but should be a number [device simulated]; write simulated:0"),
    "simulated:one": (2, "device index is 'one' but should be a number"),
    "simulated.tpu:0": (2, "device profile is 'simulated.tpu' but should be one of simulated, simulated.gpu"),
    "simulated:0+argmax_takes_lst": (2, "fault is 'argmax_takes_lst' but should be one of aligned_upload_aliases, "),
    "numpy:1": (2, "device is 'numpy:1' but should be 'numpy', which has no number"),
    "nope.py:Chip": (2, "file nope.py does not exist but should be a Python file"),
    "chips.py:Chipp": (2, "adapter is 'Chipp' but should be one of Chip, Raises, "),
    "raises.py:Chip": (2, "adapter raised RuntimeError: at import but should give a device [raises.py:1, raises.py"),
    "no_such_package.chips:Chip": (2, "module no_such_package.chips does not exist; install it, or give a path"),
    "chips.py:NoLaunch": (2, "adapter has no method launch() but needs it; see offload_fuzz.device [chips.py"),
    "chips.py:NoFeatures": (2, "adapter has no features but should declare {'ops': [...], 'dtypes': [...]}"),
    "chips.py:OddOp": (2, "op is 'addd' but should be one of "),
    "chips.py:DoesNotStart": (2, "adapter raised RuntimeError: driver not loaded but should give a device [chips.py:"),
    "chips.py:NeedsRuntime": (4, "module chip_runtime_that_is_not_there is not installed but the adapter imports it"),
    "--ops addd": (2, "op is 'addd' but should be one of "),
    "--ops ,": (2, "--ops is ',' but should be names with commas between them"),
    "--exclude-ops nope": (2, "op is 'nope' but should be one of "),
    "--ops add --exclude-ops add": (2, "--ops without --exclude-ops leaves no op; name at least one [run]"),
    "--ops sin --dtypes int8": (2, "no op of sin takes any of the dtypes int8; widen either list"),
    "--dtypes float33": (2, "dtype is 'float33' but should be one of bool, int8, "),
    "--plans all": (
        2,
        "plans is 'all' but should be one of exhaustive, edges, operands, chains, covering:T, random:N, default",
    ),
    "--plans random:0": (2, "plans is 'random:0' but should be one of "),
    "--strategy residual": (2, "strategy is 'residual' but nothing is loaded [--strategy]; name its file with --load"),
    "--oracles enclosd": (2, "oracle is 'enclosd' but should be one of liveness, metadata, enclosed, "),
    "--contract nope": (2, "contract is 'nope' but should be one of ieee, numpy, simulated, torch-cpu, torch-cuda"),
    "--contract nope.toml": (2, "contract file nope.toml does not exist; give a path or one of "),
    "--contract broken.toml": (2, "contract is not TOML but should be: "),
    "--contract unknown.toml": (2, "contract section is 'ulpz' but should be one of name, summary, "),
    "--contract nameless.toml": (2, "contract "),
    "--contract dtype.toml": (2, "contract gives ulps for exp.float99 but "),
    "--contract bytes.toml": (2, "contract file bytes.toml cannot be read as UTF-8 text: "),
    "--load nope.py": (2, "file nope.py does not exist but should be a Python file [--load nope.py]"),
    "--load no_such_module": (2, "module no_such_module does not exist; install it, or give a path that ends in .py"),
    "--load raises.py": (2, "loading raises.py raised RuntimeError: at import [--load raises.py]; mend it"),
    "--load syntax.py": (2, "loading syntax.py raised SyntaxError: invalid syntax (syntax.py, line 1) [--load syntax"),
    "--load exits.py": (2, "loading exits.py raised SystemExit: 3 [--load exits.py]; mend it"),
    "--max-time soon": (2, "--max-time is 'soon' but should be a duration such as 500ms, 60s, 5m or 1h"),
    "--max-time=-1s": (2, "--max-time is '-1s' but should be a duration such as "),
    "--max-time nan": (2, "--max-time is 'nan' but should be a duration such as "),
    "--hang-after 10ms": (2, "--hang-after is 0.01 but should be at least 1 [run]"),
    "--max-cases 0": (2, "--max-cases is 0 but should be at least 1 [run]"),
    "--max-cases many": (2, "Invalid value for '--max-cases': 'many' is not a valid integer [offload-fuzz run]; "),
    "--seed=-1": (2, "--seed is -1 but should be at least 0 [run]"),
    "--workers 0": (2, "--workers is 0 but should be at least 1 [run]"),
    "--max-nodes 0": (2, "--max-nodes is 0 but should be at least 1 [run]"),
    "--stop-after 0": (2, "--stop-after is 0 but should be at least 1 [run]"),
    "--report xml": (2, "report is 'xml' but should be one of terminal, json, junit, markdown, sarif, html [--report]"),
    "--report-dir chips.py": (2, "state folder chips.py cannot be written: "),
    "--isolation thread": (2, "isolation is 'thread' but should be one of process, inline [run]"),
    "--max-tim 3s": (2, "No such option '--max-tim'"),
}


@pytest.mark.parametrize("arguments", RUNS)
def test_a_run_that_cannot_start_says_why(arguments: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = RUNS[arguments]
    given = ["run", "--isolation", "inline", "--max-cases", "20", *arguments.split(" ")]
    assert cli.main(given) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert one_line(err).startswith(message), err
    assert not (here / ".offload-fuzz" / "report.json").exists()


#: the same with worker processes, and with code that defines ops: in a process of its own
SPAWNED: dict[str, tuple[int, str]] = {
    "run chips.py:NoLaunch": (2, "adapter has no method launch() but needs it"),
    "run chips.py:DoesNotStart": (2, "adapter raised RuntimeError: driver not loaded but should give a device"),
    "run --load mine.py --strategy raises": (2, "strategy raises raised KeyError: 'draw' [--strategy]; mend it"),
    "run --load mine.py --strategy breaks": (2, "strategy breaks raised LookupError: call [--strategy]; mend it"),
    "run --load mine.py --strategy takes_nothing": (2, "strategy takes_nothing should take devices= as its only arg"),
    "run --load mine.py --strategy gives_numbers": (2, "strategy gave int but should give a case, as CaseBuilder"),
    "run --load mine.py --strategy gives_no_strategy": (2, "gives_no_strategy gives int but should give a Hypothesis"),
    "run --load mine.py --strategy nope": (2, "strategy is 'nope' but should be one of raises, breaks, "),
    "run --load mine.py --ops unreferenced": (2, "the reference of unreferenced raised ValueError: no reference yet"),
    "run --load mine.py --oracles Raising": (2, "oracle Raising raised ZeroDivisionError: judge [--oracles]; mend it"),
    "run --load mine.py --oracles NoJudge": (2, "oracle NoJudge has no method judge(trial) but should have one"),
    "replay good.offload.json --load raises.py": (2, "loading raises.py raised RuntimeError: at import [--load raises"),
    "replay good.offload.json --oracles nope": (2, "oracle is 'nope' but should be one of liveness, "),
    "replay good.offload.json --device d0=chips.py:NoLaunch": (2, "adapter has no method launch() but needs it"),
}


@pytest.mark.parametrize("arguments", SPAWNED)
def test_code_that_is_wrong_is_named(arguments: str, here: Path) -> None:
    code, message = SPAWNED[arguments]
    result = offload(*arguments.split(" "), cwd=here)
    assert result.code == code
    assert result.out == ""
    assert one_line(result.err).startswith(message), result.err


def test_a_missing_torch_device_exits_4(here: Path) -> None:
    result = offload("run", "torch:nope:7", "--isolation", "inline", "--max-cases", 5, cwd=here)
    assert (result.code, result.out) == (4, "")
    assert one_line(result.err).startswith("torch ")


def test_a_device_that_raises_is_a_finding_and_no_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "chips.py:Raises", "--isolation", "inline", "--max-cases", "100"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert " raised ValueError: no kernel image for this device [launch on chip:0] but should give a result\n" in out
    (path,) = (here / ".offload-fuzz" / "findings").iterdir()
    assert json.loads(path.read_text())["finding"]["kind"] == "raised"
    assert json.loads(path.read_text())["devices"] == {"d0": "chips.py:Raises"}


# -------------------------------------------------------------------------------------------------------------- files
def changed(**changes: object) -> str:
    return json.dumps({**json.loads(EXAMPLE.read_text()), **changes})


GOOD = EXAMPLE.read_text()
NODE = json.loads(GOOD)["nodes"][0]
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "file is not valid JSON: "),
    "cut off": (GOOD[: len(GOOD) // 2].encode(), "file is not valid JSON: "),
    "random bytes": (random.Random(1).randbytes(2000), "file is not UTF-8 text: "),
    "other JSON": (b"[1, 2]", "file "),
    "another format": (changed(format="x").encode(), 'file has no "format": "offload-fuzz case", so it is not a case'),
    "a newer version": (changed(version=99).encode(), "file has version 99 but this program reads up to 1"),
    "nested deeply": (b"[" * 100_000 + b"]" * 100_000, "file is nested "),
    "a huge integer": (changed(version=0).replace("0", "9" * 5000, 1).encode(), ""),
    "not a number": (GOOD.replace('"seed": 0', '"seed": NaN', 1).encode(), "file is not valid JSON: "),
    "a key twice": (GOOD.replace('"version"', '"format"', 1).encode(), "file is not valid JSON: "),
    "no inputs": (changed(inputs=3).encode(), "inputs is an int but should be a list"),
    "an unknown op": (changed(nodes=[{**NODE, "op": "resha"}]).encode(), "op is 'resha' but should be one of "),
    "a wrong type": (changed(nodes=[{**NODE, "type": "float32[3]"}]).encode(), ""),
    "an operand that is not there": (changed(nodes=[{**NODE, "operands": [7]}]).encode(), ""),
    "an unknown freedom": (changed(plan={"seed": 0, "choices": [["x", [], 1]]}).encode(), "freedom is 'x' but "),
    "a role that is not there": (changed(plan={"seed": 0, "choices": [["device", [1], 5]]}).encode(), "plan places v1"),
    "devices that are no roles": (changed(devices={"a": "numpy"}).encode(), "roles are ['a'] but should be "),
}


@pytest.mark.parametrize("what", BAD_FILES)
@pytest.mark.parametrize("command", [("replay", "--isolation", "inline"), ("show",)], ids=["replay", "show"])
def test_a_bad_case_file_is_refused(
    what: str, command: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, message = BAD_FILES[what]
    (here / "bad.offload.json").write_bytes(data)
    assert cli.main([*command, "bad.offload.json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line = one_line(err)
    assert line.startswith(message), line
    assert "bad.offload.json" in line
    assert len(line) < 500


def test_a_huge_case_file_is_refused_unread(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (here / "huge.offload.json").open("wb") as file:
        file.truncate(10 * 2**30)
    assert cli.main(["replay", "--isolation", "inline", "huge.offload.json"]) == 2
    assert one_line(capsys.readouterr().err).startswith("file has 10737418240 bytes but at most 67108864 are read")


def test_a_bad_file_among_good_ones_is_named_and_the_others_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.offload.json").write_text("{")
    arguments = [
        "replay",
        "--isolation",
        "inline",
        "bad.offload.json",
        "good.offload.json",
        "--device",
        "d0=simulated:0",
    ]
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert "bad.offload.json" in one_line(err)
    assert out.splitlines() == [
        "FIXED    good.offload.json: 0 of 1 run failed",
        "2 files: 1 ERROR, 1 FIXED; exit 2: wrong usage, configuration or adapter",
    ]


REPLAYS: dict[str, tuple[int, str]] = {
    "replay": (2, "no case is named but should be: a file, a folder or an ID; `offload-fuzz show` lists them"),
    "replay F0000000": (2, "F0000000 is neither a file, a folder nor a stored ID; `offload-fuzz show` lists the IDs"),
    "show F0000000": (2, "F0000000 is neither a file, a folder nor a stored ID; `offload-fuzz show` lists the IDs"),
    "replay empty": (2, "folder empty holds no *.offload.json file; name a file, a folder or an ID"),
    "replay good.offload.json --device d7=numpy": (2, "role is 'd7' but should be one of the case's roles, d0 [good"),
    "replay good.offload.json --device d0": (2, "--device is 'd0' but should be ROLE=NAME such as d0=torch:cpu"),
    "replay good.offload.json --device d0=nope": (2, "device is 'nope' but should be one of array_api, "),
    "replay code.offload.json": (
        2,
        "role d0 is chips.py:Chip, which is code, but a file may not cause an import",
    ),
    "replay good.offload.json --repeat 0": (2, "Invalid value for '--repeat': 0 is not in the range x>=1"),
    "replay good.offload.json --contract nope": (2, "contract is 'nope' but should be one of "),
    "repaly good.offload.json": (2, "No such command 'repaly'"),
    "show good.offload.json more": (2, "Got unexpected extra argument (more) [offload-fuzz show]"),
}


@pytest.mark.parametrize("arguments", REPLAYS)
def test_a_replay_that_cannot_be_says_why(arguments: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = REPLAYS[arguments]
    given = arguments.split(" ")
    if given[0] == "replay":
        given += ["--isolation", "inline"]
    assert cli.main(given) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert one_line(err).startswith(message), err


def test_an_unreadable_finding_is_listed_as_such(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / ".offload-fuzz" / "findings"
    folder.mkdir(parents=True)
    (folder / "F1.offload.json").write_text("{")
    assert cli.main(["show"]) == 0
    assert "F1  unreadable         file is not valid JSON: " in capsys.readouterr().out
