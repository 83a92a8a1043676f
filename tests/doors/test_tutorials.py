"""docs/tutorials: what the pages add works as they say, in few lines; docs/simulated.md has the program's tables."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from offload_fuzz.adapters.simulated import PROFILES
from offload_fuzz.adapters.simulated.profiles import KEYS

from . import ROOT, environment, offload
from .test_readme import blocks

TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = {name: (TUTORIALS / f"new-{name}.md").read_text(encoding="utf-8") for name in ("fault", "profile", "freedom")}
SIMULATED = (ROOT / "docs" / "simulated.md").read_text(encoding="utf-8")
LINES = [(name, line) for name in ("fault", "profile") for line in "".join(blocks("sh", PAGES[name])).splitlines()]


def files(page: str) -> dict[str, str]:
    """The files of a page by the name in their first line."""
    return {body.split("\n")[0].removeprefix("# "): body for body in blocks("python", PAGES[page])}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line.split("# exit")[0].strip() for _, line in LINES])
def test_a_line_of_a_tutorial_does_what_it_says(page: str, line: str, tmp_path: Path) -> None:
    for name, body in files(page).items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    code = re.search(r"# exit (\d+)$", line)
    result = offload(*shlex.split(line.partition("#")[0])[1:], cwd=tmp_path)
    assert result.code == (int(code[1]) if code else 0), result.out + result.err


def patched(tree: Path) -> dict[str, int]:
    """A copy of the source in `tree` with the freedom of the tutorial in it; lines added to each file."""
    for folder in ("offload_fuzz", "strategies", "oracles"):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (diff,) = blocks("diff", PAGES["freedom"])
    added: dict[str, int] = {}
    for part in re.split(r"^--- a/.*\n", diff, flags=re.MULTILINE)[1:]:
        heading, _, *lines = part.splitlines()
        path = tree / heading.removeprefix("+++ b/")
        text = path.read_text(encoding="utf-8")
        *new, above = [line[1:] + "\n" for line in lines]
        assert text.count(above) == 1, f"the page's {above!r} is not one line of {path.name}"
        path.write_text(text.replace(above, "".join(new) + above), encoding="utf-8")
        added[path.name] = len(new)
    return added


def test_the_freedom_of_the_tutorial_is_drawn_lowered_proved_and_counted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    assert patched(tree) == {"plan.py": 1, "lower.py": 3, "modes.py": 2}
    (line,) = "".join(blocks("sh", PAGES["freedom"])).splitlines()
    command = [sys.executable, "-m", "offload_fuzz", *shlex.split(line)[1:]]
    inside = {**environment(), "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tmp_path, env=inside, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["counts"]["freedoms"]["settle"] > 10


def test_a_tutorial_has_fewer_than_40_lines_of_code() -> None:
    code = [*files("fault").values(), *files("profile").values(), *blocks("diff", PAGES["freedom"])]
    assert len(code) == 3
    assert all(len(body.splitlines()) < 40 for body in code)


def test_every_profile_and_every_key_is_documented() -> None:
    assert [name for name in (*PROFILES, *KEYS) if f"`{name}`" not in SIMULATED] == []
