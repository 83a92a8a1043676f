"""What a maintainer asks of the machine: versions, processor, accelerator, driver, and how the backend was built.

A backend is asked only where it is imported already, as it is once its device is open: naming a version starts nothing.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

#: Packages whose version is named, by adapter.
PACKAGES = {"torch": ("torch",), "jax": ("jax", "jaxlib"), "array_api": ("array-api-compat",)}

Row = tuple[str, str]


def environment(devices: Sequence[str], finding: Mapping[str, Any]) -> list[Row]:
    """Rows of (what, which) of this process, and of the one that found it where they differ."""
    rows = [("Python", platform.python_version()), ("NumPy", np.__version__)]
    for kind in dict.fromkeys(spec.removeprefix("validating:").split(":")[0].split(".")[0] for spec in devices):
        rows += [(package, _version(package)) for package in PACKAGES.get(kind, ())]
        rows += _asked(kind)
    rows += [("system", platform.platform()), ("C library", " ".join(platform.libc_ver()).strip() or "unknown")]
    rows += [("CPU", f"{_cpu()}, {os.cpu_count()} logical cores")]
    rows += [(f"device d{i}", spec) for i, spec in enumerate(devices)]
    stored = finding.get("environment") or {}
    now = {"python": platform.python_version(), "numpy": np.__version__}
    other = [f"{name} {stored[name]}" for name, here in now.items() if stored.get(name, here) != here]
    return [*rows, *([("found with", ", ".join(other))] if other else [])]


def _asked(kind: str) -> list[Row]:
    """What the backend itself says, or why it does not: an issue is written whatever a driver raises."""
    module, ask = sys.modules.get(kind), BACKENDS.get(kind)
    if module is None or ask is None:
        return []
    try:
        return ask(module)
    except Exception as error:  # noqa: BLE001  # whatever a driver raises is a row
        return [(f"{kind} says", f"{type(error).__name__}: {error}")]


def _torch(torch: Any) -> list[Row]:
    """Source: torch.utils.collect_env, which PyTorch's form of a bug asks for."""
    rows = [
        ("PyTorch commit", str(torch.version.git_version)),
        ("CPU kernels", torch.backends.cpu.get_cpu_capability()),
    ]
    built = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    rows += [(f"built for {name}", str(number)) for name, number in built.items() if number]
    if torch.cuda.is_available():
        names = dict.fromkeys(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        rows += [("GPU", ", ".join(names)), ("cuDNN", str(torch.backends.cudnn.version())), *_driver()]
    return rows


def _jax(jax: Any) -> list[Row]:
    """Source: jax.print_environment_info, which JAX's form of a bug asks for."""
    devices = jax.devices()
    kinds = dict.fromkeys(f"{d.platform}: {d.device_kind}" for d in devices)
    rows = [("JAX devices", f"{len(devices)}, {', '.join(kinds)}")]
    rows += [("platform", " ".join(str(devices[0].client.platform_version).split()))]
    return rows + (_driver() if any(d.platform == "gpu" for d in devices) else [])


BACKENDS: dict[str, Callable[[Any], list[Row]]] = {"torch": _torch, "jax": _jax}


def _driver() -> list[Row]:
    """The version of NVIDIA's kernel module, where it is loaded."""
    file = Path("/proc/driver/nvidia/version")
    return [("NVIDIA driver", file.read_text(encoding="utf-8").split("\n")[0])] if file.is_file() else []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    """The name of the processor, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
