"""The package as it is built: the list in pyproject.toml, the two links, and what the wheel holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
LINKS = ("strategies", "oracles")


def packages_in(folder: Path, name: str) -> set[str]:
    """The packages at and below a folder, links not followed."""
    found = {name} if (folder / "__init__.py").is_file() else set()
    for below in folder.iterdir():
        if below.is_dir() and not below.is_symlink() and below.name != "__pycache__":
            found |= packages_in(below, f"{name}.{below.name}")
    return found


# ------------------------------------------------------------------------------------------------------------- the tree
def test_the_list_of_packages_is_that_of_the_tree() -> None:
    tree = packages_in(ROOT / "offload_fuzz", "offload_fuzz")
    for link in LINKS:
        tree |= packages_in(ROOT / link, f"offload_fuzz.{link}")
    assert SETUPTOOLS["packages"] == sorted(tree)
    assert SETUPTOOLS["package-dir"] == {f"offload_fuzz.{link}": link for link in LINKS}


@pytest.mark.parametrize("link", LINKS)
def test_the_links_for_tools_that_read_the_source_are_relative(link: str) -> None:
    path = ROOT / "offload_fuzz" / link
    if not path.is_symlink() and path.read_text(encoding="utf-8").strip() == f"../{link}":
        pytest.skip("this clone has no symbolic links; the built package does not need them")
    assert os.readlink(path) == f"../{link}"
    assert path.resolve() == (ROOT / link).resolve()


@pytest.mark.parametrize("name", LINKS)
def test_strategies_and_oracles_have_one_import_name(name: str) -> None:
    code = f"import {name}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: import it as offload_fuzz.{name}"


def test_the_package_is_typed() -> None:
    assert (ROOT / "offload_fuzz" / "py.typed").is_file()


def test_the_version_stands_in_two_places_that_agree() -> None:
    from offload_fuzz import __version__

    assert PYPROJECT["project"]["version"] == __version__


# ------------------------------------------------------------------------------------------------------------ the wheel
BUILD = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from a copy of what is needed, by setuptools itself, without the network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("offload_fuzz", *LINKS):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", source)
    for name in {PYPROJECT["project"]["readme"], *PYPROJECT["project"]["license-files"]}:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
        else:
            (source / name).write_text(name, encoding="utf-8")
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_has_one_top_level_name(wheel: list[str]) -> None:
    assert {n.split("/")[0] for n in wheel if ".dist-info/" not in n} == {"offload_fuzz"}


def test_the_wheel_has_every_module(wheel: list[str]) -> None:
    modules = {f"offload_fuzz/{p.relative_to(ROOT / 'offload_fuzz')}" for p in (ROOT / "offload_fuzz").rglob("*.py")}
    for link in LINKS:
        modules |= {f"offload_fuzz/{p.relative_to(ROOT)}" for p in (ROOT / link).rglob("*.py")}
    assert {n for n in wheel if n.endswith(".py")} == modules


def test_the_wheel_has_the_contracts_and_the_mark_of_a_typed_package(wheel: list[str]) -> None:
    contracts = {f"offload_fuzz/contracts/{p.name}" for p in (ROOT / "offload_fuzz" / "contracts").glob("*.toml")}
    assert contracts
    assert contracts | {"offload_fuzz/py.typed", "offload_fuzz/finding/known-issues.toml"} <= set(wheel)


def test_the_wheel_has_the_page_and_the_schema_of_reports(wheel: list[str]) -> None:
    folder = ROOT / "offload_fuzz" / "report"
    parts = {f"offload_fuzz/report/{p.name}" for p in folder.iterdir() if p.is_file() and p.suffix != ".py"}
    assert len(parts) == 4
    assert parts <= set(wheel)
