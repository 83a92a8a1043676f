"""`--load FILE|MODULE`: registers ops, strategies and oracles by importing what the user names, and nothing else."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from offload_fuzz.errors import OffloadError, UsageError, one_of
from offload_fuzz.oracles import ORACLES, Oracle

_LOADED: dict[str, ModuleType] = {}


def load(names: Sequence[str]) -> list[ModuleType]:
    """Import each file or module once; raises `UsageError` naming it when that fails."""
    return [_LOADED[n] if n in _LOADED else _LOADED.setdefault(n, _import(n)) for n in names]


def _import(name: str) -> ModuleType:
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"file {name} does not exist but should be a Python file [--load]")
        module_name = "offload_fuzz_extension_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    except OffloadError:
        raise
    except Exception as error:  # noqa: BLE001  # the user's code may raise anything
        raise UsageError(f"loading raised {type(error).__name__}: {error} [--load {name}]; mend it") from error
    else:
        return module


def find_strategy(name: str, modules: Sequence[ModuleType], devices: Sequence[Any]) -> st.SearchStrategy[Any]:
    """The strategy called `name` in the loaded modules, made with `devices=`; raises `UsageError`."""
    for module in modules:
        found = getattr(module, name, None)
        if found is None:
            continue
        try:
            strategy = found(devices=devices) if callable(found) else found
        except TypeError as error:
            raise UsageError(f"strategy {name} should take devices= as its only argument: {error} [--strategy]") from error
        if not isinstance(strategy, st.SearchStrategy):
            raise UsageError(f"{name} gives {type(strategy).__name__} but should give a Hypothesis strategy [--strategy]")
        return strategy
    known = [n for m in modules for n in vars(m) if not n.startswith("_")]
    hint = "" if modules else "Name the file that has it with --load."
    raise one_of("strategy", name, known, "--strategy", hint)


def find_oracles(names: Sequence[str] | None, modules: Sequence[ModuleType]) -> list[Oracle]:
    """The oracles of these names, built in or in the loaded modules; all built-in ones for None."""
    if names is None:
        return [oracle() for oracle in ORACLES.values()]
    found: list[Oracle] = []
    for name in names:
        custom = next((getattr(m, name) for m in modules if hasattr(m, name)), None)
        if name in ORACLES:
            found.append(ORACLES[name]())
        elif custom is not None:
            oracle = custom() if isinstance(custom, type) else custom
            if not callable(getattr(oracle, "judge", None)):
                raise UsageError(f"oracle {name} has no method judge(trial) but should have one [--oracles]")
            found.append(oracle)
        else:
            raise one_of("oracle", name, ORACLES, "--oracles")
    return found
