"""`--load FILE|MODULE`: registers ops, strategies and oracles by importing what the user names, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from offload_fuzz.adapters.code import load_code
from offload_fuzz.errors import OffloadError, UsageError, one_of
from offload_fuzz.oracles import ORACLES, Oracle


def load(names: Sequence[str]) -> list[ModuleType]:
    """Import each file or module once; raises `UsageError` naming it when that fails."""
    return [load_code(name, f"--load {name}") for name in names]


def find_strategy(name: str, modules: Sequence[ModuleType], devices: Sequence[Any]) -> st.SearchStrategy[Any]:
    """The strategy called `name` in the loaded modules, made with `devices=`; raises `UsageError`."""
    for module in modules:
        found = getattr(module, name, None)
        if found is None:
            continue
        try:
            strategy = found(devices=devices) if callable(found) else found
        except TypeError as error:
            what = f"strategy {name} should take devices= as its only argument: {error}"
            raise UsageError(f"{what} [--strategy]") from error
        except OffloadError:
            raise
        except Exception as error:
            raise UsageError(f"strategy {name} raised {type(error).__name__}: {error} [--strategy]; mend it") from error
        if not isinstance(strategy, st.SearchStrategy):
            what = type(strategy).__name__
            raise UsageError(f"{name} gives {what} but should give a Hypothesis strategy [--strategy]")
        return strategy
    if not modules:
        raise UsageError(f"strategy is {name!r} but nothing is loaded [--strategy]; name its file with --load")
    raise one_of("strategy", name, [n for m in modules for n in _candidates(m)], "--strategy")


def _candidates(module: ModuleType) -> list[str]:
    """The names of strategies, and of functions that the module itself defines."""
    public = {n: v for n, v in vars(module).items() if not n.startswith("_")}
    return [
        n
        for n, v in public.items()
        if isinstance(v, st.SearchStrategy) or (inspect.isfunction(v) and v.__module__ == module.__name__)
    ]


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
            try:
                oracle = custom() if isinstance(custom, type) else custom
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise UsageError(f"oracle {name} raised {what} [--oracles]; mend it") from error
            if not callable(getattr(oracle, "judge", None)):
                raise UsageError(f"oracle {name} has no method judge(trial) but should have one [--oracles]")
            found.append(oracle)
        else:
            hint = "" if modules else "One of your own needs --load."
            raise one_of("oracle", name, ORACLES, "--oracles", hint)
    return found
