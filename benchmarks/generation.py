"""What the default generation makes: how often each op, dtype and kind of program occurs.

    python benchmarks/generation.py --nodes 1000000 --devices simulated:0,simulated:1

Cases are drawn as a campaign draws them, unit by unit, and not run. Prints the share of the rarest ops and of each
dtype, and the median size of programs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from offload_fuzz.campaign.settings import Settings
from offload_fuzz.campaign.unit import UnitDone, is_large, is_wild, open_workbench, unit_seed
from offload_fuzz.case import Case
from offload_fuzz.ops.base import OPS
from offload_fuzz.reference import quiet


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--devices", default="simulated:0,simulated:1")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    bench = open_workbench(Settings(devices=options.devices.split(","), seed=options.seed))
    ops: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    kinds: Counter[str] = Counter()

    def count(case: Case) -> None:
        ops.update(n.op for n in case.program.nodes)
        dtypes.update(n.type.dtype for n in case.program.nodes)
        sizes[len(case.program.nodes)] += 1
        kinds.update(wild=is_wild(case), large=is_large(case), skipped=case.skipped)
        if sum(ops.values()) >= options.nodes:
            raise UnitDone

    def take(drawn: Iterator[tuple[Case, Any]]) -> None:
        with quiet():
            for case, _ in drawn:
                count(case)

    unit = 0
    while sum(ops.values()) < options.nodes:
        test = settings(
            max_examples=100, database=None, phases=[Phase.generate], deadline=None, verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck), derandomize=False, print_blob=False,
        )(seed(unit_seed(options.seed, unit))(given(bench.drawn)(take)))  # fmt: skip  # one pinned test
        try:
            test()
        except UnitDone:
            break
        unit += 1
    total, programs = sum(ops.values()), sum(sizes.values())
    print(f"{total:,} nodes in {programs:,} programs; median {sorted(sizes.elements())[programs // 2]} nodes; ", end="")
    print(", ".join(f"{100 * kinds[k] / programs:.1f}% {k}" for k in ("wild", "large")), f"{kinds['skipped']} skipped")
    shares = sorted((100 * ops[op] / total, op) for op in OPS)
    print(f"{len(OPS)} ops, rarest:", ", ".join(f"{op} {share:.2f}%" for share, op in shares[:12]))
    print("below 0.2%:", ", ".join(op for share, op in shares if share < 0.2) or "none")
    print("dtypes:", ", ".join(f"{d} {100 * n / total:.1f}%" for d, n in dtypes.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
