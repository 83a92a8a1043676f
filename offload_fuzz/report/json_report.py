"""`report.json`: what a campaign did and found, as data. Its schema is report.schema.json; see docs/files.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(data: Mapping[str, Any]) -> str:
    """The text of report.json."""
    return json.dumps(data, indent=1) + "\n"
