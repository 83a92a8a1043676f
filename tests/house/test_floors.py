"""The floors of the house: imports go down only, and within a floor to the left only; each other way is named.

A package is one place: its modules may import each other. Imports inside functions and for type checkers count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: From the ground up; within a floor, from left to right. A package stands for all its modules.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "untrusted", "types", "contracts", "contract", "contract_files", "enclosure"),
    ("ops", "program", "plan", "text", "wellformed"),
    (
        "device",
        "reference",
        "schedule",
        "company",
        "ledger",
        "sequential",
        "happens_before",
        "tables",
        "issuing",
        "lowering",
        "crossings",
        "lower_regions",
        "lower",
        "case",
    ),
    ("adapters", "host_arrays", "failure", "execute", "recovery", "trial"),
    ("strategies", "oracles"),
    ("finding", "campaign", "report", "export"),
    (
        "api",
        "cli_options",
        "cli_findings",
        "cli_reports",
        "cli_selftest",
        "cli_conformance",
        "cli",
        "pytest_plugin",
        "__init__",
        "__main__",
    ),
)
PLACE = {name: (floor, at) for floor, names in enumerate(FLOORS) for at, name in enumerate(names)}

#: Further walls: the first never imports the second, whatever their order.
WALLS = {("happens_before", "lower"), ("oracles", "strategies"), ("strategies", "oracles")}

#: All that a report may know of a campaign: what it found and how it was set up, not how it runs.
CAMPAIGN_DATA = frozenset({"report", "counts", "coverage", "boundary", "settings", "extension"})

HYPOTHESIS_FROM = 4
BACKENDS = frozenset(
    {"torch", "jax", "jaxlib", "cupy", "dpctl", "dpnp", "pyopencl", "numba", "tinygrad", "mlx", "triton"}
)
PRINTERS = ("cli", "report")


def sources() -> dict[str, Path]:
    """Module (dotted, below offload_fuzz; packages end in __init__) -> its file, the two links followed by hand."""
    folders = {"": ROOT / "offload_fuzz", "strategies.": ROOT / "strategies", "oracles.": ROOT / "oracles"}
    found: dict[str, Path] = {}
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if prefix or parts[0] not in ("strategies", "oracles"):
                found[prefix + ".".join(parts)] = path
    return found


SOURCES = sources()


def place_of(module: str) -> str:
    """The place that a module belongs to: `ops` for `ops.base`."""
    return module.partition(".")[0]


def imports(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of each module that is imported, names imported from a package taken as its modules."""
    package = ["offload_fuzz", *module.split(".")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if origin == "offload_fuzz":
                for alias in node.names:
                    if alias.name != "__version__":  # the root is imported before all its modules anyway
                        yield node.lineno, f"{origin}.{alias.name}" if alias.name in PLACE else origin
            else:
                yield node.lineno, origin


def offences(module: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong there) for each rule of the house that a module breaks."""
    here = place_of(module)
    tree = ast.parse(source)
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in ast.walk(f)
    }
    lazy = {n.lineno for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) and id(n) in inside}
    for line, name in imports(module, tree):
        top, _, rest = name.partition(".")
        if top == "offload_fuzz":
            there, _, inner = rest.partition(".")
            there = there or "__init__"
            if there not in PLACE:
                yield line, f"{here} imports {there}, which is on no floor"
            elif PLACE[there] > PLACE[here]:
                yield line, f"{here} imports {there}, which is up"
            elif (here, there) in WALLS or (here == "report" and there == "campaign" and inner not in CAMPAIGN_DATA):
                yield line, f"{here} imports {rest}, which is walled off"
        elif top in ("strategies", "oracles", "tests"):
            yield line, f"{here} imports {top} past the package; write offload_fuzz.{top}"
        elif top == "hypothesis" and PLACE[here][0] < HYPOTHESIS_FROM:
            yield line, f"{here} imports hypothesis, which begins on floor {HYPOTHESIS_FROM}"
        elif top in BACKENDS and not (here == "adapters" and line in lazy):
            yield line, f"{here} imports {top}; a backend is imported inside a function of its adapter"
    if here not in PRINTERS:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield node.lineno, f"{here} prints; only {' and '.join(PRINTERS)} do"


# ------------------------------------------------------------------------------------------------------------ the house
def test_every_module_is_on_a_floor() -> None:
    assert {place_of(m) for m in SOURCES} <= PLACE.keys()


def test_every_import_goes_down_or_left() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for module, path in SOURCES.items()
        for line, what in offences(module, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


# ---------------------------------------------------------------------------------------------------------- the checker
@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("types", "from offload_fuzz.plan import PLAIN", "1: types imports plan, which is up"),
        ("plan", "import offload_fuzz.text", "1: plan imports text, which is up"),
        ("plan", "from offload_fuzz import text, program", "1: plan imports text, which is up"),
        ("text", "from .case import Case", "1: text imports case, which is up"),
        ("ops.base", "\n\nfrom ..plan import PLAIN", "3: ops imports plan, which is up"),
        ("ops.__init__", "from ..case import Case", "1: ops imports case, which is up"),
        ("case", "from offload_fuzz import defop", "1: case imports __init__, which is up"),
        ("case", "def f():\n    from offload_fuzz.api import run", "2: case imports api, which is up"),
        ("happens_before", "from offload_fuzz.lower import lower", "1: happens_before imports lower, which is up"),
        ("oracles.verdict", "import offload_fuzz.strategies.arrays", "1: oracles imports strategies.arrays, which is "),
        ("strategies.arrays", "from offload_fuzz.oracles import judge", "1: strategies imports oracles, which is up"),
        ("campaign.loop", "from offload_fuzz.report.json import dump", "1: campaign imports report, which is up"),
        ("report.json", "from offload_fuzz.campaign.loop import f", "1: report imports campaign.loop, which is walled"),
        ("report.json", "from offload_fuzz import campaign", "1: report imports campaign, which is walled off"),
        ("api", "import strategies", "1: api imports strategies past the package; write offload_fuzz.strategies"),
        ("api", "from offload_fuzz import attic", "1: api imports __init__, which is up"),
        ("api", "import offload_fuzz.attic", "1: api imports attic, which is on no floor"),
        ("trial", "from hypothesis import given", "1: trial imports hypothesis, which begins on floor 4"),
        ("adapters.torch", "import torch", "1: adapters imports torch; a backend is imported inside a func"),
        ("api", "def f():\n  import torch.cuda", "2: api imports torch; a backend is imported inside a func"),
        ("trial", "def f():\n  print(1)", "2: trial prints; only cli and report do"),
    ],
)  # fmt: skip  # a table
def test_an_import_that_goes_up_is_named(module: str, source: str, message: str) -> None:
    found = [f"{line}: {what}" for line, what in offences(module, source)]
    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plan", "from offload_fuzz.program import Program\nfrom .errors import require"),
        ("ops.base", "from .domains import shown\nfrom offload_fuzz.ops import elementwise"),
        ("adapters.torch", "def f():\n    import torch"),
        ("adapters.simulated.device", "from ..pool import host\nfrom ...types import Array"),
        ("strategies.arrays", "from hypothesis import strategies as st"),
        ("finding.store", "from offload_fuzz import __version__"),
        ("report.json", "from offload_fuzz.campaign.report import Report"),
        ("cli", "print(1)"),
        ("__main__", "from offload_fuzz.cli import main"),
        ("trial", "import torchvision, printing\nlog.print(1)"),
    ],
)
def test_an_import_that_goes_down_or_left_is_not(module: str, source: str) -> None:
    assert not list(offences(module, source))
