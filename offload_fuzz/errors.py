"""Everything this package raises on purpose, each with the exit code that the command line returns for it.

One template for every message: what it is, what it should be, where, and what to do.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FINDING = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_MISSING = 4
EXIT_NOTHING_TESTED = 5
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130


class OffloadError(Exception):
    """Base of the package's errors; `exit_code` is what the command line returns for it."""

    exit_code = EXIT_INTERNAL


class UsageError(OffloadError):
    """Wrong usage, configuration, file, strategy or adapter."""

    exit_code = EXIT_USAGE


class InvalidProgram(UsageError):
    """A program, plan or case that is not well formed."""


class InvalidFile(UsageError):
    """A file that cannot be read as what it claims to be."""


class AdapterError(UsageError):
    """An adapter that breaks the device protocol before it ran anything."""


class MissingDevice(OffloadError):
    """A device or library that is not there on this machine."""

    exit_code = EXIT_MISSING


class NothingTested(OffloadError):
    """A campaign that ran no case at all."""

    exit_code = EXIT_NOTHING_TESTED


class InternalError(OffloadError):
    """Our own mistake: for example a lowered schedule that the happens-before checker rejects."""


def require(condition: bool, message: str) -> None:
    """Raise `InvalidProgram(message)` unless `condition` holds."""
    if not condition:
        raise InvalidProgram(message)


def one_of(name: str, value: object, known: object, where: str, hint: str = "") -> UsageError:
    """A usage error for a `value` that is not among the `known` ones, naming the nearest."""
    import difflib

    names = [str(k) for k in known]  # type: ignore[attr-defined]  # any iterable of names
    near = difflib.get_close_matches(str(value), names, n=1)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return UsageError(f"{name} is {value!r} but should be one of {listed} [{where}]{guess}{' ' + hint if hint else ''}")
