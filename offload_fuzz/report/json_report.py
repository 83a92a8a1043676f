"""`report.json`: what a campaign did and found, as data. Its schema is report.schema.json; see docs/files.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

#: A list of two numbers or more, which is written in one line; no string of JSON holds a line break.
ROW, BREAK = re.compile(r"\[\n *(\d+(?:,\n *\d+)+)\n *\]"), re.compile(r"\n *")


def render(data: Mapping[str, Any]) -> str:
    """The text of report.json."""
    return ROW.sub(lambda row: f"[{BREAK.sub(' ', row[1])}]", json.dumps(data, indent=1)) + "\n"
