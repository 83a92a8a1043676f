"""What the command `export` does: a stored case in, the text of a file out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from offload_fuzz.case import dump_case, read_case
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.export.issue import issue
from offload_fuzz.export.pytest_file import pytest_file
from offload_fuzz.export.script import script
from offload_fuzz.export.trace import Untraceable
from offload_fuzz.export.verify import verify
from offload_fuzz.finding.replay import with_devices
from offload_fuzz.oracles.recovery import KINDS as RECOVERY

FORMATS = ("script", "pytest", "issue")


def export(
    path: Path, to: str, out: str | None = None, devices: Mapping[str, str] | None = None, verified: bool = True
) -> tuple[str, str]:
    """(the text of the case at `path` as a `to`, what is to be said of it besides, or "").

    out: the file that it is going to be; devices: for its roles; verified: whether scripts are run first. Raises
    `UsageError` for what cannot be written, `MissingDevice` without the device, as `verify` else.
    """
    if to not in FORMATS:
        raise one_of("format", to, FORMATS, "--to")
    case, finding = read_case(path)
    case = with_devices(case, devices or {}, str(path))
    name = str(finding.get("id") or path.name.split(".")[0])
    if to == "pytest":
        folder = Path(out).parent if out else Path.cwd()
        return pytest_file(case, finding, Path(os.path.relpath(path, folder)).as_posix()), ""
    filename = Path(out).name if out and to == "script" else f"{name}.py"
    said = printed = ""
    try:
        if finding.get("kind") in RECOVERY:
            raise Untraceable(f"a script runs one plan, and {finding['kind']!r} is about what comes after it [{path}]")
        text = script(case, finding, filename)
        if verified:
            said, printed = verify(text, filename, str(path), devices or {})
    except Untraceable as error:
        if to == "script":
            raise
        text, said = "", f"the issue has no script: {error}"
    if to == "script":
        return text, said
    return issue(case, finding, text, filename, dump_case(case, finding), str(path), printed), said


def write(text: str, out: str) -> None:
    """Write an exported file; raises `UsageError` where that cannot be done."""
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"file {out} cannot be written: {error.strerror} [-o]; name another") from None
