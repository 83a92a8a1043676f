"""A page that holds all it needs: it asks no server for anything, and says so to the browser."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from offload_fuzz.report.block import verdict_of
from offload_fuzz.report.gaps import boundary_heats, gap_lines, op_rows, pair_rows
from offload_fuzz.report.picture import picture

#: Boxes of a program that is drawn; a larger one is shown as text alone.
MOST_BOXES = 300


def render(data: Mapping[str, Any]) -> str:
    """The text of report.html; whatever stands in `data` is shown as text, never read as markup."""
    style, script = _part("page.css"), _part("page.js")
    return str(
        _template().render(
            data=data,
            style=style,
            script=script,
            script_hash=script_hash(script),
            excused=[f for f in data["findings"] if f["excuse"]],
            pictures=[_picture(f) for f in data["findings"]],
            op_rows=op_rows(data),
            pair_rows=pair_rows(data),
            heats=boundary_heats(data),
            verdict_of=verdict_of,
            gaps=[line.split(": ", 1) for line in gap_lines(data)],
            settings={k: v for k, v in _settings(data).items() if v not in (None, "")},
        )
    )


@cache
def _template() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"page": _part("page.html.jinja")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page")


@cache
def _part(name: str) -> str:
    return files("offload_fuzz.report").joinpath(name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """As a Content-Security-Policy names a script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _picture(finding: Mapping[str, Any]) -> dict[str, Any] | None:
    return picture(finding["graph"]) if len(finding["graph"]["nodes"]) <= MOST_BOXES else None


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in data["settings"].items()}
