"""The README and docs/: every command and every example in them is run, every output shown is the program's own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from attrs import frozen

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.contract_files import parse_contract
from offload_fuzz.finding.store import SUFFIX

from . import EXAMPLE, ROOT, Result, offload, run_pytest

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUICK = (
    "from hypothesis import settings\n"
    "settings.register_profile('quick', max_examples=20, deadline=None, database=None)\n"
    "settings.load_profile('quick')\n"
)


@frozen
class Command:
    """A shell line of the README and the exit code that a comment states."""

    line: str
    code: int


def blocks(language: str, text: str = README) -> list[str]:
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def commands() -> list[Command]:
    found = []
    for line in "".join(blocks("sh")).splitlines():
        code = re.search(r"# exit (\d+)$", line)
        found.append(Command(line.partition("#")[0].strip(), int(code[1]) if code else 0))
    return found


def files() -> dict[str, str]:
    """The Python examples by the name in their first line."""
    return {body.split("\n")[0].removeprefix("# "): body for body in blocks("python")}


COMMANDS = commands()
INSTALLS = {"pip install .", "pip install '.[test]'", "pytest -n auto"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's files, and the finding of its second command."""
    folder = tmp_path_factory.mktemp("readme")
    for name, text in files().items():
        assert re.fullmatch(r"\w+\.py", name), name
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def results(workplace: Path) -> dict[Command, Result]:
    """Every command but the installs, run in order."""
    wanted = [c for c in COMMANDS if c.line not in INSTALLS]
    return {c: offload(*shlex.split(c.line)[1:], cwd=workplace) for c in wanted}


def test_the_commands_are_those_that_are_tried_here() -> None:
    assert len(COMMANDS) == 15
    assert {c.line for c in COMMANDS} > INSTALLS
    assert all(c.line.startswith("offload-fuzz ") for c in COMMANDS if c.line not in INSTALLS)


def test_every_command_gives_the_exit_code_that_is_stated(results: dict[Command, Result]) -> None:
    for command, result in results.items():
        assert result.code == command.code, (command, result)
        assert result.err == ""


def test_the_first_command_says_how_much_it_ran(results: dict[Command, Result]) -> None:
    shown = blocks("text")[0].split("\n")
    found = results[COMMANDS[1]].out.splitlines()
    lines = [line for line in found if not re.match(r"\d+ s: ", line)]  # a slow machine says how far it is
    assert re.fullmatch(
        r"ran {7}[\d,]+ programs, 2,000 plans \(case runs\) on numpy and simulated:0, simulated:1", lines[0]
    )
    assert re.match(r"pairs {5}[\d,]+ of [\d,]+ crossing pairs \(\d+\.\d%\); none unreachable by features", lines[1])
    assert lines[-1] == "verdict   no finding in 2,000 case runs; exit 0: nothing to fail on"
    for line in shown:
        form = re.sub(r"[\d,]+", "0", line)
        assert line in ("...", "") or form in [re.sub(r"[\d,]+", "0", have) for have in lines], line


def test_the_counterexample_is_the_programs_own_output(tmp_path: Path) -> None:
    block = blocks("text")[1]
    assert offload("show", EXAMPLE, cwd=tmp_path).out.startswith(block)
    case = re.match(r"F[0-9a-f]{8}", block)
    assert case is not None
    assert f'"id": "{case[0]}"' in EXAMPLE.read_text()
    failed = offload("replay", EXAMPLE, cwd=tmp_path)
    assert failed.code == 1, "the example's device no longer fails on it"


def test_the_adapter_is_complete_and_under_60_lines(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = files()["toychip.py"]
    assert text.count("\n") < 60
    assert "offload_fuzz" not in text
    monkeypatch.chdir(workplace)
    place = resolve("toychip.py:ToyChip")
    assert set(place.features.dtypes) == {"bool", "int32", "float32"}
    assert len(place.features.ops) == 7


def test_the_tests_of_the_readme_pass(workplace: Path) -> None:
    findings = workplace / ".offload-fuzz" / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE, findings / f"example{SUFFIX}")
    (workplace / "conftest.py").write_text(QUICK)
    done = run_pytest("-q", ".", cwd=workplace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


def test_the_clone_installs_and_its_command_runs(tmp_path: Path) -> None:
    """`pip install .` and the first command, without what needs a network: dependencies and an isolated build."""
    try:  # asked of the metadata: looking for the module `pip` switches off setuptools' own distutils in this process
        have = {name: version(name) for name in ("pip", "setuptools")}
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not in this environment")
    if int(have["setuptools"].split(".")[0]) < 77:
        pytest.skip(f"setuptools {have['setuptools']} is older than the build needs")
    clone, target = tmp_path / "clone", tmp_path / "target"
    leave = shutil.ignore_patterns(".git", ".*_cache", ".hypothesis", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, clone, symlinks=True, ignore=leave)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        target,
        clone,
    ]
    subprocess.run([str(part) for part in install], check=True, capture_output=True)
    environ = {**os.environ, "PYTHONPATH": str(target)}
    script = target / "bin" / "offload-fuzz"
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, str(script), *shlex.split(COMMANDS[1].line)[1:]]
    done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    collect = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/doors/test_readme.py",
    ]
    done = subprocess.run(collect, cwd=clone, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------------------------------------------------------- docs
def test_the_contract_in_the_docs_is_one() -> None:
    (text,) = blocks("toml", (ROOT / "docs" / "contract.md").read_text())
    contract = parse_contract(text, "docs/contract.md")
    assert contract.ulps["exp"] == {"float16": 1, "default": 2.5}


def test_every_feature_is_documented() -> None:
    from offload_fuzz.device import KEYS

    text = (ROOT / "docs" / "adapters.md").read_text()
    assert [key for key in KEYS if f"`{key}" not in text] == []


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", BLOCK.sub("", page.read_text())):
            assert (page.parent / link).exists(), (page.name, link)
