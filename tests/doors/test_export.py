"""`offload-fuzz export`: a script without the package, a pytest file, the text of an issue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz.case import Case, case_text, dump_case
from offload_fuzz.export import issue, machine
from offload_fuzz.export.data import array_lines
from offload_fuzz.export.script import script
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder
from offload_fuzz.types import DTYPES, Array
from tests.doors import EXAMPLE, STRIDES, offload, run_pytest
from tests.freedoms import varied_case

CHIP = '''
import numpy as np

BUG = True


class Chip:
    """A chip of NumPy: two streams, asynchronous transfers, memory that is given back; a write that comes too late."""

    name = "chip:0"
    features = {
        "ops": ["add", "negative", "multiply"], "dtypes": ["float32"], "streams": 2, "in_place": ["negative"],
        "transfers": ("blocking", "async"), "source_free": {"blocking": "return", "async": "completion"},
        "aliasing": {"*": "fresh"}, "release": True, "compile": True,
    }

    def upload(self, array, stream, blocking):
        if BUG and array.strides != array.copy(order="C").strides:
            array = np.ascontiguousarray(array.T).reshape(array.shape)  # the bug: strides are not looked at
        return np.array(array)

    def download(self, buffer, stream, blocking):
        return np.array(buffer)

    def launch(self, op, operands, attributes, stream, out=None):
        return getattr(np, op)(*operands, **attributes, out=out)

    def launch_compiled(self, nodes, operands, results, stream):
        values = list(operands)
        for op, numbers, attributes in nodes:
            values.append(getattr(np, op)(*[values[n] for n in numbers], **attributes))
        return [np.array(values[n]) for n in results]

    def record(self, stream):
        return object()

    def wait(self, stream, event):
        assert event is not None

    def synchronize(self, stream=None, event=None):
        assert (stream is None) != (event is None)

    def release(self, buffer, stream):
        assert buffer is not None
'''
#: As little as a process may know of where things are: no PYTHONPATH, and our own package is refused.
NO_PACKAGE = (
    "import runpy, sys; sys.modules['offload_fuzz'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
)


def alone(script: Path, *arguments: str) -> tuple[int, str]:
    """(exit code, output) of a script in a process in which offload_fuzz cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", NO_PACKAGE, str(script), *arguments],
        cwd=script.parent, env={"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip  # one call
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def chip_case() -> Case:
    """negative and add on the chip: a column-major operand, async, overwritten; in place; two streams; twice."""
    build = Builder()
    x = build.input(np.array([[1.0, -0.0, 2.0], [4.0, 8.0, 16.0]], np.float32))
    y = build.apply("negative", x)
    z = build.apply("negative", y)
    build_plan = {
        ("device", (y,)): 1, ("device", (z,)): 1, ("stream", (z,)): 1, ("reuse", (z,)): True,
        ("transfer", (y, 0)): "async", ("layout", (y, 0)): "fortran", ("overwrite", (y, 0)): True,
        ("sync", ()): "minimal", ("repeat", ()): 2,
    }  # fmt: skip  # a plan
    return Case(build.returns(z), Plan(build_plan), ("chip.py:Chip",))


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    """A folder with chip.py and F1.offload.json."""
    (tmp_path / "chip.py").write_text(CHIP, encoding="utf-8")
    known = {"id": "F1", "kind": "wrong value", "message": "v2 is wrong", "divergent": 2}
    (tmp_path / "F1.offload.json").write_text(dump_case(chip_case(), known), encoding="utf-8")
    return tmp_path


def exported(folder: Path, *more: str) -> str:
    """The text that export gives for F1 of a folder."""
    done = offload("export", "F1.offload.json", "--device", "d0=chip.py:Chip", *more, cwd=folder)
    assert done.code == 0, done.err
    return done.out


# ------------------------------------------------------------------------------------------------------------- scripts
def test_a_script_fails_with_the_bug_passes_without_it_and_misses_the_chip(chip: Path) -> None:
    script = chip / "F1.py"
    exported(chip, "--to", "script", "-o", "F1.py")
    code, out = alone(script)
    assert (code, out.split("\n")[-2]) == (1, "reproduced")
    assert "failing plan without 'v1: v0 laid out fortran'\n  as expected\n" in out
    (chip / "chip.py").write_text(CHIP.replace("BUG = True", "BUG = False"), encoding="utf-8")
    code, out = alone(script)
    assert (code, out.split("\n")[-2]) == (0, "not reproduced")
    (chip / "chip.py").unlink()
    why = "chip.py is neither beside this script nor in the working folder"
    missing = f"device or library missing: ImportError: {why}\n"
    assert alone(script) == (4, missing)
    assert alone(script, "--bisect") == (125, missing)


def test_a_script_writes_the_commands_of_the_schedule_in_order(chip: Path) -> None:
    text = exported(chip, "--to", "script")
    plan = text[text.index("def failing_plan") :].split("\n\n\n")[0]
    assert plan == FAILING


FAILING = '''def failing_plan(v0):
    """failing plan: v1, v2 on chip.py:Chip"""
    # choice of the plan: v1: v0 laid out fortran
    m0 = host_memory(24)
    h0 = np.ndarray((3, 2), np.float32, m0).T
    h0[...] = v0
    # choice of the plan: v1: v0 crosses async
    d0_v0 = d0.upload(h0, stream=0, blocking=False)
    event0 = d0.record(0)
    d0.synchronize(event=event0)
    # choice of the plan: v1: source of v0 overwritten once free
    m0[:] = 0x5c  # nobody needs the source any more
    d0_v1 = d0.launch('negative', [d0_v0], {}, stream=0)
    d0.release(d0_v0, stream=0)
    event1 = d0.record(0)
    d0.wait(1, event1)
    # choice of the plan: v2: on stream 1; v2: in place of a dead operand
    d0_v2 = d0.launch('negative', [d0_v1], {}, out=d0_v1, stream=1)
    v2 = d0.download(d0_v2, stream=1, blocking=True)
    d0.synchronize(stream=0)
    return [v2]'''


def test_a_script_for_a_simulated_device_says_that_it_needs_the_package(tmp_path: Path) -> None:
    done = offload("export", EXAMPLE, "--to", "script", "-o", "F.py", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "", "")
    text = (tmp_path / "F.py").read_text(encoding="utf-8")
    assert f"It needs NumPy and offload-fuzz, as {STRIDES} is a part of it." in text
    assert alone(tmp_path / "F.py")[0] == 4


def test_a_case_that_does_not_fail_here_is_written_with_a_word_of_warning(tmp_path: Path) -> None:
    done = offload("export", EXAMPLE, "--to", "script", "-o", "F.py", "--device", "d0=simulated:0", cwd=tmp_path)
    assert (done.code, done.err) == (
        0, "offload-fuzz: note: the case does not fail here now, so the script exits 0\n",
    )  # fmt: skip  # one pair


def test_a_compiled_region_is_one_call(chip: Path) -> None:
    case = chip_case()
    plan = Plan({("device", (1,)): 1, ("device", (2,)): 1, ("compile", (2,)): True})
    (chip / "F1.offload.json").write_text(dump_case(Case(case.program, plan, case.devices)), encoding="utf-8")
    text = exported(chip, "--to", "script", "--no-verify")
    assert (
        """    t1 = [
        ('negative', [0], {}),
        ('negative', [1], {}),
    ]
    d0_v2, = d0.launch_compiled(t1, [d0_v0], [2], stream=0)
"""
        in text
    )


VARIED = """\
    d0_v0 = d0.upload(h0, stream=0, blocking=True, destination='strided', chunks=(1, (0, 1, 3)))
    # choice of the plan: v1: result put in its place by strided view; v1: dropped by the host after its last use
    d0_v1 = d0.launch('negative', [d0_v0], {}, update='strided view', stream=0)
    d0.release(d0_v0, stream=0)
    d0_v2 = d0.launch('permute_dims', [d0_v1], {'axes': (1, 0)}, stream=0)
    d0_v1 = None  # let go of; a view of it may live on
    d0.delay(0)
"""


def test_a_script_has_words_for_every_freedom_of_a_device(tmp_path: Path) -> None:
    text = script(varied_case("simulated:0"), {}, "F.py")
    assert VARIED in text
    assert "    m0 = across_pages(24, 4)\n" in text
    assert "    v3 = d0.download(d0_v3, stream=0, blocking=True, share=True)\n" in text
    assert "    d0.download(d0_v5, into=v5, stream=0, blocking=True, chunks=(0, (0, 1, 3)))\n" in text
    (tmp_path / "F.py").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "F.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_runs_the_second_program_too_and_shows_what_is_kept_of_it(tmp_path: Path) -> None:
    b = Builder()
    v1 = b.apply("negative", b.input(np.array([1, 2, 4], np.float32)))
    program = b.returns(b.apply("square", v1))
    choices: dict[Any, Any] = {("device", (1,)): 1, ("device", (2,)): 1, ("compile", (2,)): True}
    plan = Plan({**choices, ("company", ()): "before"})
    text = script(Case(program, plan, ("simulated:0+region_keeps_constant",)), {}, "F.py")
    assert (
        """    # choice of the plan: a second program before, whose values are w0, w1, ...
    w0 = v0.reshape(-1)[::-1].reshape(v0.shape).copy()
    d0_w0 = d0.upload(w0, stream=0, blocking=True)
"""
        in text
    )
    assert text.index("    w2 = d0.download(d0_w2") < text.index("    d0_v0 = d0.upload(v0") < text.index("return [v2]")
    (tmp_path / "F.py").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "F.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "failing plan without 'a second program before'\n  as expected\n" in done.stdout


def test_json_holds_the_text_and_what_is_to_be_said_of_it(tmp_path: Path) -> None:
    done = offload("export", EXAMPLE, "--to", "pytest", "--json", cwd=tmp_path)
    found = json.loads(done.out)
    assert (done.code, done.err, found["to"], found["file"], found["note"]) == (0, "", "pytest", None, "")
    assert found["text"].startswith('"""F518fa02a: wrong value [simulated:0+upload_strides_ignored]\n')


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "gist"], 2, "format is 'gist' but should be one of script, pytest, issue [--to]"),
        (["--to", "script", "-o", "no/F.py", "--no-verify"], 2,
         "file no/F.py cannot be written: No such file or directory [-o]; name another"),
        (["--to", "script", "--device", "d1=simulated:0"], 2,
         f"role is 'd1' but should be one of the case's roles, d0 [{EXAMPLE}]"),
        (["--to", "script", "--device", "d0=torch:nothing"], 2, ""),
    ],
)  # fmt: skip  # one case each
def test_what_cannot_be_exported_is_named(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = offload("export", EXAMPLE, *arguments, cwd=tmp_path)
    if message:
        assert (done.code, done.err) == (code, f"offload-fuzz: error: {message}\n")
    else:
        assert done.code in (2, 4)


# ---------------------------------------------------------------------------------------------------------------- data
SPECIAL = ["-0.0", "nan", "inf", "-inf", "0.1", "1e-45", "3.4e38"]


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("size", [0, 1, 7, 100, 5000])
def test_arrays_are_written_bit_by_bit(dtype: str, size: int) -> None:
    d = DTYPES[dtype]
    rng = np.random.default_rng(size)
    raw = rng.integers(0, 256, size * d.np.itemsize, np.uint8)
    if d.bits < 8 or dtype == "bool":
        array: Array = (raw % 2).astype(d.np)
    else:
        array = raw.view(d.np)
    for x in (array, np.ones(size, d.np) if size else array, array.reshape(1, size)):
        import ml_dtypes

        known: dict[str, Any] = {"np": np, "ml_dtypes": ml_dtypes}
        exec("import base64, zlib\n" + "\n".join(array_lines("x", x)), known)  # noqa: S102  # source of our making
        found = known["x"]
        assert (found.dtype, found.shape, found.tobytes()) == (x.dtype, x.shape, x.tobytes())


# -------------------------------------------------------------------------------------------------------- pytest files
def test_a_pytest_file_fails_with_the_bug_and_passes_without_it(chip: Path) -> None:
    exported(chip, "--to", "pytest", "-o", "test_f1.py")
    text = (chip / "test_f1.py").read_text(encoding="utf-8")
    assert text.endswith(PYTEST_FILE)
    assert "1 failed" in run_pytest("test_f1.py", cwd=chip).stdout
    (chip / "chip.py").write_text(CHIP.replace("BUG = True", "BUG = False"), encoding="utf-8")
    assert "1 passed" in run_pytest("test_f1.py", cwd=chip).stdout


PYTEST_FILE = """
CASE = Path(__file__).parent / 'F1.offload.json'
DEVICES = {'d0': 'chip.py:Chip'}


def test_f1_wrong_value_stays_fixed() -> None:
    case = of.load_case(CASE, devices=DEVICES)
    try:
        of.check(case)
    except MissingDevice as error:
        pytest.skip(str(error))
"""


# -------------------------------------------------------------------------------------------------------------- issues
def test_an_issue_says_what_a_maintainer_asks_for(tmp_path: Path) -> None:
    done = offload("export", EXAMPLE, "--to", "issue", "--no-verify", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(done.out.encode()) < issue.LIMIT
    assert done.out.startswith(ISSUE)
    assert PROGRAM in done.out
    order = [
        "## Versions",
        "| NumPy | `",
        "| system | `",
        "| C library | `",
        "| CPU | `",
        "| device d0 | `simulated:0+up",
    ]
    order += [
        "## Since when",
        "git bisect run python F518fa02a.py --bisect ",
        "## Program",
        "## Replay",
        "python F518fa02a.py    # exit 1",
        "<details>\n<summary>F518f",
    ]
    order += ["```python\n#!/usr/bin/env python3", "<summary>example.offload.json</summary>", '"version": 1']
    assert sorted(order, key=done.out.index) == order


ISSUE = """# reshape of float32 on simulated:0+upload\\_strides\\_ignored: wrong value

`v1[1] is -6328.72119 (0xc5c5c5c5, -0x1.8b8b8ap+12) but should be 1 (0x3f800000, 0x1p+0) (1 of 2 elements wrong)`. \
Without `v1 on simulated:0+upload_strides_ignored` or `v1: v0 laid out strided` the same program is right.

## To reproduce

The failing calls; all of `F518fa02a.py` is folded below:

```python
def inputs():
    \"\"\"The inputs of the program, bit by bit.\"\"\"
    v0 = np.array([1.0, 1.0], np.float32)
    return [v0]

def failing_plan(v0):
    \"\"\"failing plan: v1 on simulated:0+upload_strides_ignored\"\"\"
    d0.reset(0)
    # choice of the plan: v1: v0 laid out strided
    m0 = host_memory(20)
    h0 = np.ndarray((5,), np.float32, m0)[..., 1::2]
    h0[...] = v0
    d0_v0 = d0.upload(h0, stream=0, blocking=True)
    d0_v1 = d0.launch('reshape', [d0_v0], {'shape': (2,)}, stream=0)
    d0.synchronize(stream=0)
    v1 = d0.download(d0_v1, stream=0, blocking=True)
    return [v1]
```

## Expected and got

|  | value (bits) |
|---|---|
| expected | `1 (0x3f800000, 0x1p+0)` |
| got | `-6328.72119 (0xc5c5c5c5, -0x1.8b8b8ap+12)` |

Rule: `reshape is exact`.

## What it needs

- `v1 on simulated:0+upload_strides_ignored`: turning it plain makes it pass
- `v1: v0 laid out strided`: turning it plain makes it pass
- it failed in 3 of 3 runs

## Versions
"""
PROGRAM = """## Program

Each node with the place where it runs:

```text
program(v0: float32[2])
  v1: float32[2] = reshape v0, shape=(2,)  # simulated:0+upload_strides_ignored   <- first divergence
  return v1
```

```mermaid
graph TD
  subgraph p0["host"]
    v0(["v0: float32#91;2#93;"])
  end
  subgraph p1["simulated:0+upload_strides_ignored"]
    v1["v1: float32#91;2#93;<br/>reshape"]
  end
  v0 -->|strided| v1
  v1 --> r0([return])
  style v1 stroke:#d00,stroke-width:3px
```
"""


def test_what_stands_in_a_finding_is_text_in_an_issue() -> None:
    hostile = "a `b` ``` | <script> @me #1 </details>\n# head"
    case = Case(chip_case().program, chip_case().plan, ('x"]; end:0<b>|',))
    known = {"id": "F1", "kind": hostile, "message": hostile, "expected": hostile, "got": "| x |", "rule": hostile}
    text = issue.issue(case, known, "```\n</details>", "F`1.py", "{}", "a|b<c>.json")
    outside = text.split("````python")[0]
    assert "\n# head" not in outside
    assert "<script>" not in outside.split("\n")[0]
    assert outside.startswith("# negative of float32 on ") or outside.startswith("# negative of float32")
    assert "&#64;me &#35;1" in outside
    assert "````` a `b`" not in outside
    assert "```` a `b` ``` | <script> @me #1 </details> # head ````" in outside or "````a `b` ``` |" in outside
    assert '  subgraph p1["x#34;#93;#59; end:0#60;b#62;#124;"]' in text
    assert "````python\n```\n</details>\n````" in text
    assert "<summary>a\\|b&lt;c&gt;.json</summary>" in text


def test_an_issue_shows_what_the_script_printed(tmp_path: Path) -> None:
    (tmp_path / "chip.py").write_text(CHIP, encoding="utf-8")
    known = {"id": "F1", "kind": "wrong value", "message": "v2 is wrong", "divergent": 2}
    (tmp_path / "F1.offload.json").write_text(dump_case(chip_case(), known), encoding="utf-8")
    text = exported(tmp_path, "--to", "issue")
    printed = text.split("It printed here:\n\n```text\n")[1].split("\n```")[0]
    assert printed.startswith("failing plan: v1, v2 on chip.py:Chip\n  v2[0, 1]\n    expected  -0.0 (0x80000000)\n")
    assert printed.endswith("\nreproduced")


def test_an_issue_has_long_calls_in_the_fold_alone() -> None:
    script = "def inputs():\n    return []\n\n\ndef failing_plan():\n" + "    x = 1\n" * 80 + "\n\nPLANS = []\n"
    assert issue.failing_calls(script) == ""
    assert issue.failing_calls(script.replace("    x = 1\n" * 80, "    x = 1\n")).endswith("failing_plan():\n    x = 1")
    text = issue.issue(chip_case(), {"id": "F1"}, script, "F1.py", "{}", "F1.offload.json", "x" * 9000)
    assert "## To reproduce\n\nRun `F1.py`, which is folded below.\n\nIt printed here:\n" in text
    assert len(text) < 9000
    assert "There is no script" in issue.issue(chip_case(), {"id": "F1"}, "", "F1.py", "{}", "F1.offload.json")


def test_a_backend_that_does_not_answer_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(module: object) -> list[tuple[str, str]]:
        raise OSError("driver not loaded")

    monkeypatch.setitem(machine.BACKENDS, "simulated", breaks)
    monkeypatch.setitem(sys.modules, "simulated", sys)
    assert ("simulated says", "OSError: driver not loaded") in machine.environment(["simulated:0"], {})


def test_an_issue_leaves_out_what_makes_it_too_long() -> None:
    case = chip_case()
    text = issue.issue(case, {"id": "F1"}, "x" * 70_000, "F1.py", "{}", "F1.offload.json")
    assert len(text.encode()) < issue.LIMIT
    assert "`F1.py` has 70,000 bytes, too many for an issue; it is to be attached." in text
    assert "<summary>F1.offload.json</summary>" in text


def test_docstrings_hold_whatever_a_finding_says() -> None:
    from offload_fuzz.export.pytest_file import pytest_file

    nasty = 'ends """ here \\N{x} \\'
    text = pytest_file(chip_case(), {"id": "F1", "kind": "raised", "message": nasty}, 'it\'s "F1".json')
    compiled = compile(text, "test.py", "exec")
    assert compiled.co_consts[0].split("\n")[2] == nasty
    assert case_text(chip_case()).split("\n")[0] in compiled.co_consts[0]
