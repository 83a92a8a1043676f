"""Contracts as TOML files: the shipped ones by name, others by path."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from offload_fuzz.contract import PROMISES, Contract, section_of
from offload_fuzz.errors import UsageError, one_of

SECTIONS = ("name", "summary", *dict.fromkeys(map(section_of, PROMISES)))


def parse_contract(text: str, where: str) -> Contract:
    """A contract from TOML `text`; raises `UsageError` naming `where` and what should be different."""
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one, and so is an int of too many digits
        raise UsageError(f"contract is not TOML but should be: {error} [{where}]") from None
    for key in data:
        if key not in SECTIONS:
            raise one_of("contract section", key, SECTIONS, where)
    try:
        stated = {f.name: f.metadata["read"](row) for f in PROMISES if (row := data.get(section_of(f))) is not None}
        return Contract(str(data["name"]), **stated)
    except UsageError as error:
        raise UsageError(f"{error} [{where}]") from None
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"contract has a section of the wrong form ({error}) [{where}]; see docs/contract.md"
        ) from None


@cache
def shipped_contracts() -> tuple[str, ...]:
    """The names of the contracts that come with the package."""
    found = files("offload_fuzz.contracts").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in found if f.name.endswith(".toml")))


@cache
def contract_named(name: str) -> Contract:
    """A shipped contract by name, or one read from a `.toml` path; raises `UsageError` if there is none."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"contract file {name} does not exist; give a path or one of {shipped_contracts()}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"contract file {name} cannot be read as UTF-8 text: {error}") from None
        return parse_contract(text, name)
    if name not in shipped_contracts():
        raise one_of("contract", name, shipped_contracts(), "contract")
    return parse_contract((files("offload_fuzz.contracts") / f"{name}.toml").read_text(encoding="utf-8"), name)


def contract_of(value: Any) -> Contract:
    """A contract given as a `Contract`, a name or a path."""
    return value if isinstance(value, Contract) else contract_named(str(value))
