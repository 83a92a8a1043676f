"""Code that the user names, as `file.py` or as a dotted module: imported once per process, and nothing else is."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from offload_fuzz.errors import OffloadError, UsageError

_LOADED: dict[str, ModuleType] = {}


def load_code(name: str, where: str) -> ModuleType:
    """The module at `name`, a path ending in .py or a dotted name; what it prints goes to standard error.

    Raises `UsageError` naming `where` for a file or module that is not there or that raises.
    """
    key = str(Path(name).resolve()) if name.endswith(".py") else name
    if key not in _LOADED:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                _LOADED[key] = _file(name, where) if name.endswith(".py") else _module(name, where)
        except OffloadError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise UsageError(f"loading {name} raised {type(error).__name__}: {error} [{where}]; mend it") from error
    return _LOADED[key]


def _file(name: str, where: str) -> ModuleType:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"file {name} does not exist but should be a Python file [{where}]")
    module_name = "offload_fuzz_extension_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"file {name} cannot be loaded but should be a Python file [{where}]")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _module(name: str, where: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name!r} is neither a Python file nor a module; write path/file.py or pkg.mod [{where}]")
    if os.getcwd() not in sys.path:  # as `python -m` does, so that a console script finds the same modules
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        what = f"module {name} does not exist; install it, or give a path that ends in .py"
        raise UsageError(f"{what} [{where}]") from None
