"""Exported scripts in a virtual environment without offload-fuzz: 1 with a planted bug, 0 without, 4 without a device.

How the package is hidden: the environment is a new one without pip; one `.pth` file in it names a folder with a link to
each entry of this process's site-packages folders that has nothing to do with offload_fuzz. So NumPy, PyTorch and JAX
are those of this process, nothing is installed, and offload_fuzz is on no path, which is looked at first. A bug is
planted by a `sitecustomize` module in that environment, and removed by removing the module.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest

from offload_fuzz.case import Case, dump_case
from offload_fuzz.export import door
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder
from tests.doors.test_export import CHIP, chip_case

#: A backend's bug each: memory is read in its own order, not by strides.
PLANTED = {
    "torch:cpu": """
import torch
right = torch.neg
torch.neg = lambda x: right(x.as_strided((x.numel(),), (1,)).reshape(x.shape))
""",
    "jax:cpu": """
import jax
import numpy as np
right = jax.device_put
jax.device_put = lambda x, *a, **k: right(np.array(x.reshape(-1, order="A")).reshape(x.shape), *a, **k)
""",
}


class Environment:
    """A virtual environment with the packages of this process, but for offload_fuzz and those that `without` names."""

    def __init__(self, folder: Path, without: tuple[str, ...] = ()) -> None:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        base = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
        self.packages = Path(sysconfig.get_path("purelib", "posix_venv", base))
        links = folder / "links"
        links.mkdir()
        hidden = ("offload_fuzz", "offload-fuzz", *without)
        for outer in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
            for entry in Path(outer).iterdir():
                if not any(name in entry.name.lower() for name in hidden) and not (links / entry.name).exists():
                    (links / entry.name).symlink_to(entry)
        (self.packages / "backends.pth").write_text(f"{links}\n", encoding="utf-8")

    def run(self, *arguments: str, cwd: Path) -> tuple[int, str, str]:
        """(exit code, output, errors) of its Python, which is told nothing of this process's paths."""
        command = [str(self.python), *arguments]
        done = subprocess.run(
            command, cwd=cwd, env={"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def plant(self, source: str) -> None:
        (self.packages / "sitecustomize.py").write_text(source, encoding="utf-8")

    def remove_what_is_planted(self) -> None:
        (self.packages / "sitecustomize.py").unlink()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    if os.name != "posix":
        pytest.skip("links and bin/python are of POSIX")
    return Environment(tmp_path_factory.mktemp("alone"))


def test_offload_fuzz_cannot_be_imported_there(environment: Environment, tmp_path: Path) -> None:
    code, out, err = environment.run("-c", "import numpy; print(numpy.__version__)", cwd=tmp_path)
    assert (code, out.strip()) == (0, np.__version__), err
    code, out, err = environment.run("-c", "import offload_fuzz", cwd=tmp_path)
    assert (code, out, err.splitlines()[-1]) == (1, "", "ModuleNotFoundError: No module named 'offload_fuzz'")


def negative(device: str) -> Case:
    """negative of a column-major matrix."""
    build = Builder()
    x = build.input(np.array([[1.0, -0.0, 2.0], [4.0, 8.0, 16.0]], np.float32))
    y = build.apply("negative", x)
    return Case(build.returns(y), Plan({("device", (y,)): 1, ("layout", (y, 0)): "fortran"}), (device,))


def exported(case: Case, folder: Path) -> Path:
    """The script of a case, as `export --to script -o F1.py` writes it."""
    known = {"id": "F1", "kind": "wrong value", "message": "v1 is wrong", "divergent": 1}
    path = folder / "F1.offload.json"
    path.write_text(dump_case(case, known), encoding="utf-8")
    devices = {f"d{i}": device for i, device in enumerate(case.devices)}
    text, _ = door.export(path, "script", str(folder / "F1.py"), devices, verified=False)
    (folder / "F1.py").write_text(text, encoding="utf-8")
    return folder / "F1.py"


@pytest.mark.real_device
@pytest.mark.parametrize("device", PLANTED)
def test_a_script_of_a_backend_tells_its_bug_its_absence_and_its_repair(
    environment: Environment, device: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backend = device.split(":")[0]
    request.getfixturevalue(f"{backend}_device")
    script = exported(negative(device), tmp_path)
    environment.plant(PLANTED[device])
    try:
        code, out, err = environment.run(str(script), cwd=tmp_path)
    finally:
        environment.remove_what_is_planted()
    assert (code, err, out.splitlines()[-1]) == (1, "", "reproduced")
    assert "failing plan without 'v1: v0 laid out fortran'\n  as expected\n" in out
    code, out, err = environment.run(str(script), cwd=tmp_path)
    assert (code, err, out.splitlines()[-1]) == (0, "", "not reproduced")

    missing = Environment(tmp_path / "missing", without=(backend,))
    code, out, err = missing.run(str(script), cwd=tmp_path)
    assert (code, err) == (4, "")
    assert out == f"device or library missing: ModuleNotFoundError: No module named '{backend}'\n"
    assert missing.run(str(script), "--bisect", cwd=tmp_path)[0] == 125


def test_a_script_of_an_adapter_file_tells_its_bug_its_absence_and_its_repair(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip.py").write_text(CHIP, encoding="utf-8")
    script = exported(chip_case(), tmp_path)
    code, out, err = environment.run(str(script), cwd=tmp_path)
    assert (code, err, out.splitlines()[-1]) == (1, "", "reproduced")
    (tmp_path / "chip.py").write_text(CHIP.replace("BUG = True", "BUG = False"), encoding="utf-8")
    code, out, err = environment.run(str(script), cwd=tmp_path)
    assert (code, err, out.splitlines()[-1]) == (0, "", "not reproduced")
    (tmp_path / "chip.py").unlink()
    code, out, err = environment.run(str(script), cwd=tmp_path)
    assert (code, err) == (4, "")
    assert out.startswith("device or library missing: ImportError: chip.py is neither beside this script")
