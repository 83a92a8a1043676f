"""The pytest plugin: the version in the header, and case files as readable test IDs. It collects nothing."""

from __future__ import annotations

from pathlib import PurePath

from offload_fuzz import __version__

SUFFIX = ".offload.json"


def pytest_report_header() -> str:
    """One line above the tests."""
    return f"offload-fuzz {__version__}"


def pytest_make_parametrize_id(val: object) -> str | None:
    """`test_fixed[F1bd4736e]` for a case file; pytest's own ID for anything else."""
    if isinstance(val, PurePath) and val.name.endswith(SUFFIX):
        return val.name.removesuffix(SUFFIX)
    return None
