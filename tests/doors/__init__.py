"""What the tests of the doors share: the command line in a process of its own, and files to name on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).with_name("example.offload.json")
STRIDES = "simulated:0+upload_strides_ignored"


@frozen
class Result:
    """What a command gave."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """This process's, in which the source tree is importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_pytest(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with our plugin alone, whether or not it is installed as an entry point."""
    command = [sys.executable, "-m", "pytest", "-p", "offload_fuzz.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    alone = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=cwd, env=alone, capture_output=True, text=True, check=False)


def offload(*arguments: object, cwd: Path, timeout: float = 120) -> Result:
    """Run `offload-fuzz ARGUMENTS` in a folder."""
    command = [sys.executable, "-m", "offload_fuzz", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout)
    return Result(done.returncode, done.stdout, done.stderr)


CHIPS = """
import os
import signal

import numpy as np


class Chip:
    name = "chip:0"
    features = {"ops": ["add", "multiply", "negative"], "dtypes": ["float32", "int32"]}

    def upload(self, array):
        return np.array(array)

    def download(self, buffer):
        return np.array(buffer)

    def launch(self, op, operands, attributes):
        return np.asarray(getattr(np, op)(*operands))


class Raises(Chip):
    def launch(self, op, operands, attributes):
        raise ValueError("no kernel image for this device")


class Moody(Chip):
    def launch(self, op, operands, attributes):
        first = operands[0].flat[0]
        if first == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        while first == 3:
            pass
        return super().launch(op, operands, attributes)


class NoLaunch:
    name = "chip:1"
    features = {"ops": ["add"], "dtypes": ["float32"]}
    upload = download = lambda self, array: array


class NoFeatures:
    name = "chip:2"
    upload = download = launch = lambda self, array: array


class OddOp(Chip):
    features = {"ops": ["addd"], "dtypes": ["float32"]}


class DoesNotStart(Chip):
    def __init__(self):
        raise RuntimeError("driver not loaded")


class NeedsRuntime(Chip):
    def __init__(self):
        import chip_runtime_that_is_not_there
"""

EXTENSION = """
import numpy as np
from hypothesis import strategies as st

import offload_fuzz as of


@of.defop("softcap", kinds=("real floating",), accuracy=of.ulps(4), attributes={"cap": of.Range(1, 50)})
def softcap(x, *, cap):
    return x


@softcap.reference
def _(x, *, cap):
    return cap * np.tanh(x / cap)


@of.defop("unreferenced", kinds=("real floating",), accuracy=of.ulps(4))
def unreferenced(x):
    return x


@unreferenced.reference
def _(x):
    raise ValueError("no reference yet")


@st.composite
def raises(draw, *, devices):
    raise KeyError(draw(st.just("draw")))


def breaks(devices):
    raise LookupError("call")


def takes_nothing():
    return st.integers()


def gives_numbers(devices):
    return st.integers()


def gives_no_strategy(devices):
    return 3


class Raising:
    def judge(self, trial):
        raise ZeroDivisionError("judge")


class NoJudge:
    pass
"""
