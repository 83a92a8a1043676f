"""docs/simulated.md: what its tutorials add works as they say, and its tables are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from offload_fuzz.adapters.simulated import PROFILES
from offload_fuzz.adapters.simulated.profiles import KEYS

from . import ROOT, offload
from .test_readme import blocks

PAGE = (ROOT / "docs" / "simulated.md").read_text(encoding="utf-8")
FILES = {body.split("\n")[0].removeprefix("# "): body for body in blocks("python", PAGE)}


@pytest.mark.parametrize("line", "".join(blocks("sh", PAGE)).splitlines())
def test_a_tutorial_of_the_simulated_device_runs_as_written(line: str, tmp_path: Path) -> None:
    for name, body in FILES.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    code = re.search(r"# exit (\d+)$", line)
    result = offload(*shlex.split(line.partition("#")[0])[1:], cwd=tmp_path)
    assert result.code == (int(code[1]) if code else 0), result.out + result.err


def test_a_tutorial_has_fewer_than_40_lines_of_code() -> None:
    assert set(FILES) == {"mychip.py", "myfault.py"}
    assert all(len(body.splitlines()) < 40 for body in FILES.values())


def test_every_profile_and_every_key_is_documented() -> None:
    assert [name for name in (*PROFILES, *KEYS) if f"`{name}`" not in PAGE] == []
