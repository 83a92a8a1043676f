"""A page that holds all it needs: it asks no server for anything, and says so to the browser."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from offload_fuzz.report.gaps import gap_lines, op_rows, pair_rows
from offload_fuzz.report.picture import picture

#: Boxes of a program that is drawn; a larger one is shown as text alone.
MOST_BOXES = 300


def render(data: Mapping[str, Any]) -> str:
    """The text of report.html; whatever stands in `data` is shown as text, never read as markup."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    source = {name: _part(name) for name in ("page.html.jinja", "page.css", "page.js")}
    environment = Environment(
        loader=DictLoader({"page": source["page.html.jinja"]}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page").render(
        data=data,
        style=source["page.css"],
        script=source["page.js"],
        script_hash=_hash(source["page.js"]),
        pictures=[_picture(f) for f in data["findings"]],
        op_rows=op_rows(data),
        pair_rows=pair_rows(data),
        gaps=[line.split(": ", 1) for line in gap_lines(data)],
        differing={k: v for k, v in _settings(data).items() if v not in (None, [], "")},
    )


def _part(name: str) -> str:
    return files("offload_fuzz.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """As a Content-Security-Policy names a script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _picture(finding: Mapping[str, Any]) -> dict[str, Any] | None:
    return picture(finding["graph"]) if len(finding["graph"]["nodes"]) <= MOST_BOXES else None


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in data["settings"].items()}
