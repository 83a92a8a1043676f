"""Known issues, `known-issues.toml`: findings that are expected, each with a witness, a reason and somebody who minds.

One `[[issue]]` an entry; `FIELDS` says what may stand in it. Whatever is wrong raises `UsageError`, the place named.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from attrs import field, frozen
from packaging.specifiers import SpecifierSet

from offload_fuzz.adapters.resolve import known_adapters
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.untrusted import cut, read_text, shown

FILE = "known-issues.toml"
EXPECTATIONS = ("fail", "flaky", "crash", "hang", "skip")
#: Backends whose version is that of a distribution of another name.
DISTRIBUTIONS = {"simulated": "offload-fuzz", "array_api": "array-api-compat"}
ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
PROMISE = re.compile(r"[a-z_]{1,40}(\([A-Za-z0-9_]{1,80}\))?\Z")
#: The rows of `conformance` that break by triaged bugs of backends; beside this module.
SHIPPED = "known-issues.toml"


@frozen(kw_only=True)
class Issue:
    """One entry. expect: how its witness ends; skip: it is not run, and whatever has its ID is covered.

    witness: the path of a case file, as seen from the folder of the known-issues file. tracker: where it is dealt with.
    review: when to look at it again. backend, versions: the adapter's or package's name and the versions of it, as in
    PEP 440 (">=2.13,<3"), that have the issue; without them it holds everywhere. promises: rows of `conformance` that
    break for the same reason, `operand_layouts(kron)` at one op, `operand_layouts` at any.
    """

    id: str
    expect: str
    reason: str
    witness: str = ""
    tracker: str = ""
    owner: str = ""
    review: date | None = None
    backend: str = ""
    versions: str = ""
    promises: tuple[str, ...] = field(default=(), converter=tuple)

    def covers(self, id: str, kind: str, devices: tuple[str, ...]) -> bool:
        """Whether a finding of this ID and kind on these devices is the issue, in a version that has it."""
        if id != self.id or out_of_scope(self):
            return False
        return self.covers_kind(kind) and self._on(devices)

    def covers_promise(self, promise: str, op: str, kind: str, device: str) -> bool:
        """Whether a promise of `conformance` that `device` breaks at `op` (empty: at none) is the issue, if here.

        kind: crash, hang, or anything else for a promise that was seen broken.
        """
        if not {promise, f"{promise}({op})"}.intersection(self.promises) or out_of_scope(self):
            return False
        return self.covers_kind(kind) and self._on((device,))

    def covers_kind(self, kind: str) -> bool:
        """Whether `expect` says so: crash and hang are kinds, fail and flaky stand for all others."""
        return self.expect == "skip" or self.expect == (kind if kind in ("crash", "hang") else self.expect_failing)

    @property
    def expect_failing(self) -> str:
        """fail or flaky, whichever is expected; fail where it is neither."""
        return self.expect if self.expect in ("fail", "flaky") else "fail"

    def _on(self, devices: tuple[str, ...]) -> bool:
        adapters = {a.name for a in known_adapters()}
        return self.backend not in adapters or any(self.backend in re.split(r"[:.+]", d) for d in devices)

    def text(self) -> str:
        """For example `known issue, expected to fail: reason (tracker; owner)`."""
        more = "; ".join(t for t in (self.tracker, self.owner) if t)
        expected = "skipped" if self.expect == "skip" else f"expected to {self.expect}"
        expected = "expected to be flaky" if self.expect == "flaky" else expected
        return f"known issue, {expected}: {self.reason}" + (f" ({more})" if more else "")


def out_of_scope(issue: Issue) -> str:
    """Why the issue is not one here: its backend is not installed or has another version; empty where it is."""
    if not issue.backend:
        return ""
    found = backend_version(issue.backend)
    if found is None:
        return f"{issue.backend} is not installed"
    if issue.versions and not SpecifierSet(issue.versions).contains(found, prereleases=True):
        return f"{issue.backend} is {found}, not {issue.versions}"
    return ""


def backend_version(backend: str) -> str | None:
    """The installed version of a backend, by its adapter's or its distribution's name; it is not imported."""
    from offload_fuzz import __version__

    distribution = DISTRIBUTIONS.get(backend, backend)
    if distribution == "offload-fuzz":
        return __version__
    try:
        return version(distribution)
    except (PackageNotFoundError, ValueError):
        return None


def warnings(issues: list[Issue], today: date) -> list[str]:
    """One line for each issue whose review date has passed."""
    return [
        f"known issue {i.id} was to be reviewed by {i.review}{f' by {i.owner}' if i.owner else ''}: {i.reason}"
        for i in issues
        if i.review is not None and i.review < today
    ]


# ------------------------------------------------------------------------------------------------------------- read
def _text(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that says something")
    if not value.isprintable():
        raise ValueError("one line of printable text")
    return value


def _id(value: Any) -> Any:
    if not isinstance(value, str) or not ID.match(value):
        raise ValueError("the ID of a finding such as F518fa02a")
    return value


def _expect(value: Any) -> Any:
    if value not in EXPECTATIONS:
        raise ValueError(f"one of {', '.join(EXPECTATIONS)}")
    return value


def _date(value: Any) -> Any:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("a date without quotes such as 2027-01-31")
    return value


def _versions(value: Any) -> Any:
    _text(value)
    try:
        SpecifierSet(value).contains("0")  # which reads its numbers
    except ValueError:  # InvalidSpecifier is one
        raise ValueError('versions as in PEP 440 such as ">=2.13,<3"') from None
    return value


def _promises(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and PROMISE.match(v) for v in value):
        raise ValueError('a list of rows of `conformance` such as ["operand_layouts(kron)"]')
    return value


#: What may stand in an entry, and what checks it.
FIELDS: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "expect": _expect,
    "reason": _text,
    "witness": _text,
    "tracker": _text,
    "owner": _text,
    "review": _date,
    "backend": _text,
    "versions": _versions,
    "promises": _promises,
}
REQUIRED = ("id", "expect", "reason")


def check_issue(data: Any, where: str) -> Issue:
    """An entry from TOML data; `where` names its place in errors."""
    if not isinstance(data, Mapping):
        raise UsageError(f"entry is {shown(data)} but should be a table: write [[issue]] above it [{where}]")
    for key in data:
        if key not in FIELDS:
            raise one_of("key", cut(key, 60), FIELDS, where)
    for key in REQUIRED:
        if key not in data:
            raise UsageError(f"{key} is missing but should be stated [{where}]")
    for key, value in data.items():
        try:
            FIELDS[key](value)
        except ValueError as error:  # TOMLDecodeError is one, and so is an int of too many digits
            raise UsageError(f"{key} is {shown(value)} but should be {error} [{where}]") from None
    issue = Issue(**data)
    if issue.versions and not issue.backend:
        raise UsageError(f'versions is {issue.versions!r} but says not of what; add backend = "torch" [{where}]')
    if not issue.witness and not issue.promises and issue.expect != "skip":
        raise UsageError(f'witness is missing but should be a case file, as expect is not "skip" [{where}]')
    return issue


def parse_known(text: str, where: str) -> list[Issue]:
    """The entries of a known-issues file, in order."""
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"known issues are not TOML but should be: {cut(str(error))} [{where}]") from None
    except RecursionError:
        raise UsageError(f"known issues are nested too deeply [{where}]") from None
    for key in data:
        if key != "issue":
            raise UsageError(f"key is {shown(key)} but should be issue: each entry stands under [[issue]] [{where}]")
    rows = data.get("issue", [])
    if not isinstance(rows, list):
        raise UsageError(f"issue is {shown(rows)} but should be a list: each entry stands under [[issue]] [{where}]")
    found: list[Issue] = []
    for i, row in enumerate(rows):
        issue = check_issue(row, f"{where}, issue[{i}]")
        if any(issue.id == other.id for other in found):
            raise UsageError(f"id is {issue.id!r} but should stand in one entry only [{where}, issue[{i}]]")
        found.append(issue)
    return found


def read_known(path: str | Path) -> list[Issue]:
    """The entries of a file; raises `UsageError` for anything wrong with it."""
    return parse_known(read_text(path), str(path))


def shipped_known() -> list[Issue]:
    """The entries that come with the package."""
    return parse_known((files("offload_fuzz.finding") / SHIPPED).read_text(encoding="utf-8"), f"shipped {SHIPPED}")


def witness_path(issue: Issue, file: str | Path) -> str:
    """Where the witness of an issue of `file` is."""
    return str(Path(file).parent / issue.witness)
