"""What an exported script computes on the host: the NumPy source of each op gives what the op's row allows."""

from __future__ import annotations

import math
import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from offload_fuzz.contract_files import contract_named
from offload_fuzz.export.numpy_ops import helpers, numpy_source
from offload_fuzz.ops.base import OPS
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.types import type_of
from tests.programs import random_program

SEEDS = range(6)


def computed(op: str, seed: int) -> tuple[Any, Any, str]:
    """(what the source of a random node gives, what the reference knows of it, the source)."""
    program = random_program(random.Random(f"{op} {seed}"), [op], size=1)
    (node,) = program.nodes
    names = [f"v{v}" for v in node.operands]
    source = numpy_source(node, names, [program.types[v] for v in node.operands])
    known: dict[str, Any] = {"np": np, "math": math, "ml_dtypes": ml_dtypes}
    exec("\n".join(helpers([op])), known)  # noqa: S102  # source of our own making
    known |= {f"v{i}": np.array(x) for i, x in enumerate(program.inputs)}
    with quiet(), np.errstate(all="ignore"):
        found = eval(source, known)  # noqa: S307  # likewise
        return found, evaluate_program(program, contract_named("numpy"))[-1], source


@pytest.mark.parametrize("op", sorted(OPS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, of a mean over nothing
def test_the_source_of_an_op_gives_what_its_row_allows(op: str) -> None:
    for seed in SEEDS:
        found, known, source = computed(op, seed)
        assert type(found) is np.ndarray, source
        assert type_of(found) == type_of(known.value), f"seed {seed}: {source}"
        if known.enclosure is not None:
            assert known.enclosure.contains(found).all(), f"seed {seed}: {source} is {found} but {known.value}"
