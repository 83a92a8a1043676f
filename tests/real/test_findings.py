"""Stored bugs of real backends still replay; one that does not is stale, and its file is to be removed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from attrs import evolve

from offload_fuzz.case import read_case
from offload_fuzz.finding.known import read_known, shipped_known, witness_path
from offload_fuzz.finding.known_file import entry_text
from offload_fuzz.finding.replay import FAILED, replay_file
from tests.doors import offload

pytestmark = pytest.mark.real_device
FOLDER = Path(__file__).parent.parent / "findings"
KNOWN = FOLDER / "known-issues.toml"
#: Folder -> the fixture that brings its backend, the backend's module, and the version with which its bugs are stored.
STORED = {"torch-cpu": ("torch_device", "torch", "2.13.0"), "jax-cpu": ("jax_device", "jax", "0.10.2")}
#: Files of bugs that only a CPU with AVX512_BF16 has.
BFLOAT16_UNITS = {"F15e9f8cd", "F21a223f8"}


def _name(path: Path) -> str:
    return f"{path.parent.name}-{path.name.split('.')[0]}"


@pytest.mark.parametrize("path", [p for d in STORED for p in sorted((FOLDER / d).glob("*.offload.json"))], ids=_name)
def test_a_stored_bug_of_a_backend_replays(path: Path, request: pytest.FixtureRequest) -> None:
    fixture, module, version = STORED[path.parent.name]
    request.getfixturevalue(fixture)
    if path.name.split(".")[0] in BFLOAT16_UNITS:
        import torch

        if not torch.cpu._is_avx512_bf16_supported():
            pytest.skip("the bug is in kernels for AVX512_BF16, which this CPU has not")
    replay = replay_file(path, {})
    if importlib.import_module(module).__version__.split("+")[0] == version:
        assert replay.status == FAILED, f"{path.name} is stale: {replay.status} {replay.message}; remove it"
    else:
        assert not replay.message, replay.message
    assert replay.finding["kind"] in ("wrong value", "raised")


def test_the_known_issues_are_the_stored_findings_and_the_shipped_rows_are_among_them() -> None:
    issues = read_known(KNOWN)
    assert {i.witness for i in issues} == {p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob("*.offload.json")}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for issue in issues:
        assert issue.id == Path(issue.witness).name.split(".")[0] == read_case(witness_path(issue, KNOWN))[1]["id"]
        assert f"| `{issue.id}` |" in readme
        assert issue.tracker.replace("https://github.com/", "").replace("/issues/", "#") in readme
    rows = {i.id: i for i in issues if i.promises}
    assert {i.id: evolve(i, witness=rows[i.id].witness) for i in shipped_known()} == rows


def test_a_known_issue_of_a_backend_is_verified_from_the_command_line(torch_device: object, tmp_path: Path) -> None:
    (kron,) = [evolve(i, witness=str(FOLDER / i.witness)) for i in read_known(KNOWN) if i.id == "Fe159c6af"]
    (tmp_path / "known.toml").write_text(entry_text(kron), encoding="utf-8")
    done = offload("known", "verify", "--known", "known.toml", cwd=tmp_path, timeout=600)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(("HOLDS     Fe159c6af  torch.kron raises", "ELSEWHERE Fe159c6af  torch.kron raises"))
