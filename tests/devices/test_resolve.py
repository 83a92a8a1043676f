"""From a name to a device: good names, and a table of what can be wrong with one, with the text and the exit code."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.resolve import BUILT_IN, GROUP, known_adapters, resolve
from offload_fuzz.errors import AdapterError, MissingDevice, UsageError

CHIP = '''
class Chip:
    """An adapter as small as they come."""

    name = "chip:0"
    features = {"ops": ["add"], "dtypes": ["float32"]}

    def upload(self, array):
        return array.copy()

    def download(self, buffer):
        return buffer.copy()

    def launch(self, op, operands, attributes):
        return operands[0] + operands[1]
'''


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write Python files into a directory that is the working directory and, while the test runs, is importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str, name: str = "my.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


# -------------------------------------------------------------------------------------------------------- good names
def test_the_host() -> None:
    assert resolve("numpy").name == "numpy"
    assert resolve("numpy").spec == "numpy"
    assert resolve("numpy").device is not resolve("numpy").device


@pytest.mark.parametrize("spec", ["simulated:0", "simulated:1", "simulated.npu:1"])
def test_a_simulated_device_keeps_its_name(spec: str) -> None:
    found = resolve(spec)
    assert found.name == spec
    assert found.device is not resolve(spec).device


def test_a_class_a_function_and_an_object_in_a_file(written: Callable[..., Path]) -> None:
    written(CHIP + "\ndef make():\n    return Chip()\n\nready = Chip()\n")
    for name in ("Chip", "make", "ready"):
        found = resolve(f"my.py:{name}")
        assert (found.name, found.spec) == ("chip:0", f"my.py:{name}")
        x = found.device.upload(np.ones(2, np.float32))
        assert found.device.launch("add", [x, x], {}).tolist() == [2, 2]
    assert resolve("my.py:Chip").device is not resolve("my.py:Chip").device


def test_a_file_is_imported_once_and_may_import_what_lies_beside_it(written: Callable[..., Path]) -> None:
    written("LOADED = []\n", "beside_my_chip.py")
    path = written(f"import beside_my_chip\nbeside_my_chip.LOADED.append(1)\n{CHIP}", "there/../my.py")
    resolve("my.py:Chip")
    resolve(f"{path.resolve()}:Chip")
    assert sys.modules["beside_my_chip"].LOADED == [1]


def test_a_dotted_name(written: Callable[..., Path]) -> None:
    written("", "my_pkg_of_chips/__init__.py")
    written(CHIP, "my_pkg_of_chips/chips.py")
    assert resolve("my_pkg_of_chips.chips:Chip").name == "chip:0"


def test_an_entry_point_is_called_with_the_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = _Entry("vendor", _chip)
    _install(monkeypatch, entry)
    assert resolve("vendor:7").name == "vendor:7"
    assert resolve("vendor").name == "vendor"


# --------------------------------------------------------------------------------------------------------- bad names
KNOWN = ", ".join(sorted(BUILT_IN))
NAMES = {
    "nunpy": (
        UsageError,
        f"device is 'nunpy' but should be one of {KNOWN} [device name]; did you mean 'numpy'?",
    ),
    "mychip:0": (
        UsageError,
        f"device is 'mychip:0' but should be one of {KNOWN} [device name] "
        "Code is named as FILE.py:NAME or PACKAGE.MODULE:NAME.",
    ),
    "": (UsageError, f"device is '' but should be one of {KNOWN} [device name]"),
    "numpy:1": (UsageError, "device is 'numpy:1' but should be 'numpy', which has no number [adapters.numpy]"),
    "nothere.py:Chip": (UsageError, "file nothere.py does not exist but should be a Python file [nothere.py:Chip]"),
    "no.such_module:Chip": (UsageError, "module no.such_module does not exist"),
}


@pytest.mark.parametrize("spec", NAMES)
def test_a_name_that_there_is_not(written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    _install(monkeypatch)
    error, text = NAMES[spec]
    with pytest.raises(error, match=f"^{re.escape(text)}") as raised:
        resolve(spec)
    assert raised.value.exit_code == 2


FEATURES = '    features = {"ops": ["add"], "dtypes": ["float32"]}\n'
BAD_CODE = {
    "no such name": (
        CHIP, "Chap", UsageError,
        "adapter is 'Chap' but should be one of Chip [my.py:Chap]; did you mean 'Chip'? Name it as my.py:NAME.",
    ),
    "no name": (CHIP, "", UsageError, "adapter is '' but should be one of Chip [my.py:] Name it as my.py:NAME."),
    "not a device": ("Chip = 3\n", "Chip", AdapterError,
        "Chip is int but should be a class, a function or a device [my.py:Chip]",
    ),
    "no launch": (
        CHIP.replace("def launch", "def lunch"), "Chip", AdapterError,
        "adapter has no method launch() but needs it; see offload_fuzz.device [my.py:Chip]",
    ),
    "no features": (
        CHIP.replace(FEATURES, ""), "Chip", AdapterError,
        "adapter has no features but should declare {'ops': [...], 'dtypes': [...]} [my.py:Chip]",
    ),
    "no name of its own": (
        CHIP.replace('"chip:0"', "None"), "Chip", AdapterError,
        "adapter's name is None but should be a string such as 'mychip:0' [my.py:Chip]",
    ),
    "an unknown feature": (
        CHIP.replace(', "dtypes"', ', "stream": 2, "dtypes"'), "Chip", UsageError,
        "feature is 'stream' but should be one of ops, dtypes, streams, ",
    ),
    "an unknown op": (
        CHIP.replace('["add"]', '["ad"]'), "Chip", UsageError,
        "op is 'ad' but should be one of ",
    ),
    "an unknown dtype": (
        CHIP.replace("float32", "flaot32"), "Chip", UsageError,
        "dtype is 'flaot32' but should be one of ",
    ),
    "features that are no dict": (
        CHIP.replace(FEATURES, "    features = 3\n"), "Chip", AdapterError,
        "features is int but should be a dict such as {'ops': [...]} [my.py:Chip]",
    ),
    "streams without events": (
        CHIP.replace(', "dtypes"', ', "streams": 2, "dtypes"'), "Chip", AdapterError,
        "features declare streams but there is no method record() [my.py:Chip]",
    ),
    "a constructor that raises": (
        CHIP + '\n    def __init__(self):\n        raise ValueError("no chip\\nin slot 0")\n', "Chip", AdapterError,
        "adapter raised ValueError: no chip in slot 0 but should give a device [my.py:18, my.py:Chip]",
    ),
    "a constructor that needs an argument": (
        CHIP + "\n    def __init__(self, slot):\n        pass\n", "Chip", AdapterError,
        "adapter raised TypeError: Chip.__init__() missing 1 required positional argument: 'slot' but should give a ",
    ),
    "features that raise": (
        CHIP.replace(FEATURES, "    @property\n    def features(self):\n        return 1 // 0\n"), "Chip", AdapterError,
        "adapter raised ZeroDivisionError: integer division or modulo by zero but should give a device "
        "[my.py:8, my.py:Chip]",
    ),
    "code that raises": (
        "x = 1\nx.y\n", "Chip", AdapterError,
        "adapter raised AttributeError: 'int' object has no attribute 'y' but should give a device "
        "[my.py:2, my.py:Chip]",
    ),
    "code that exits": (
        "import sys\nsys.exit(3)\n", "Chip", AdapterError,
        "adapter raised SystemExit: 3 but should give a device [my.py:2, my.py:Chip]",
    ),
    "code that is not Python": (
        "x = 1\ndef (:\n", "Chip", AdapterError,
        "adapter raised SyntaxError: invalid syntax but should give a device [my.py:2, my.py:Chip]",
    ),
    "a library that is missing": (
        "x = 1\nimport no_such_runtime\n", "Chip", MissingDevice,
        "module no_such_runtime is not installed but the adapter imports it [my.py:2, my.py:Chip]; install it",
    ),
}  # fmt: skip  # one row each


@pytest.mark.parametrize("what", BAD_CODE)
def test_code_that_is_no_adapter(written: Callable[..., Path], what: str) -> None:
    code, name, error, text = BAD_CODE[what]
    written(code)
    with pytest.raises(error, match=f"^{re.escape(text)}") as raised:
        resolve(f"my.py:{name}")
    assert type(raised.value) is error
    assert raised.value.exit_code == (4 if error is MissingDevice else 2)
    assert "\n" not in str(raised.value)


def test_code_that_failed_once_is_read_again(written: Callable[..., Path]) -> None:
    written("raise RuntimeError\n", "again.py")
    with pytest.raises(
        AdapterError, match=re.escape("adapter raised RuntimeError but should give a device [again.py:1,")
    ):
        resolve("again.py:Chip")
    written(CHIP, "again.py")
    assert resolve("again.py:Chip").name == "chip:0"


def test_an_entry_point_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: str) -> Any:
        raise KeyError(spec)

    _install(monkeypatch, _Entry("vendor", broken))
    with pytest.raises(AdapterError, match=r"adapter raised KeyError: 'vendor:0' but should give a device \["):
        resolve("vendor:0")


def test_an_entry_point_may_say_that_its_device_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(spec: str) -> Any:
        raise MissingDevice("no vendor card in this machine")

    _install(monkeypatch, _Entry("vendor", absent))
    with pytest.raises(MissingDevice, match=r"^no vendor card in this machine$"):
        resolve("vendor:0")


# ----------------------------------------------------------------------------------------------------------- listing
def test_the_known_adapters_are_listed_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, importlib.metadata.EntryPoint("vendor", "no_such_vendor.adapter:make", GROUP))
    before = set(sys.modules)
    listed = {a.name: a for a in known_adapters()}
    assert set(listed) == {*BUILT_IN, "vendor"}
    assert listed["numpy"].available
    assert listed["simulated"].available
    assert not listed["vendor"].available
    assert listed["vendor"].summary.startswith("no_such_vendor is not installed; no_such_vendor.adapter:make of ")
    assert not {m for m in set(sys.modules) - before if m.startswith("torch")}


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    (torch,) = [a for a in known_adapters() if a.name == "torch"]
    assert not torch.available
    assert torch.summary.startswith("torch is not installed; ")


def _chip(name: str) -> Any:
    space: dict[str, Any] = {}
    exec(CHIP, space)  # noqa: S102  # our own text
    chip = space["Chip"]()
    chip.name = name
    return chip


class _Entry:
    """An entry point whose object is given."""

    def __init__(self, name: str, function: Callable[[str], Any]) -> None:
        self.name = name
        self.load = lambda: function


def _install(monkeypatch: pytest.MonkeyPatch, *entries: Any) -> None:
    monkeypatch.setattr("offload_fuzz.adapters.resolve.entry_points", lambda group: entries)
