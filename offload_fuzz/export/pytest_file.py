"""A case as a pytest file that asserts it with offload-fuzz."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from offload_fuzz.case import Case, case_text
from offload_fuzz.export.plans import docstring
from offload_fuzz.export.trace import source

TEMPLATE = """{head}
from pathlib import Path

import pytest

import offload_fuzz as of
from offload_fuzz.errors import MissingDevice

CASE = Path(__file__).parent / {case_file}
DEVICES = {devices}


def test_{name}() -> None:
    case = of.load_case(CASE, devices=DEVICES)
    try:
        of.check(case)
    except MissingDevice as error:
        pytest.skip(str(error))
"""


def pytest_file(case: Case, finding: Mapping[str, Any], case_file: str) -> str:
    """The text of a test that passes once the case is fixed; `case_file`: its file, as seen from the test's folder."""
    kind = str(finding.get("kind", "")) or "a case"
    lines = [f"{finding.get('id', 'counterexample')}: {kind} [{', '.join(case.devices) or 'the host'}]", ""]
    if finding.get("message"):
        lines += [*textwrap.wrap(str(finding["message"]), 112), ""]
    lines += case_text(case).split("\n")
    name = re.sub(r"\W+", "_", f"{finding.get('id', 'case')} {kind}".lower()).strip("_")
    return TEMPLATE.format(
        head="\n".join(docstring("\n".join(lines))),
        case_file=source(case_file),
        devices="{" + ", ".join(f"{f'd{i}'!r}: {spec!r}" for i, spec in enumerate(case.devices)) + "}",
        name=f"{name}_stays_fixed",
    )
