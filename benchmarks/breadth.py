"""One-node campaigns: every op on every dtype that a device has, and whatever they find.

    python benchmarks/breadth.py torch:cpu --cases 2000 --ops add,exp --dtypes float32 --out FOLDER

Prints a line for each op (dtypes run, case runs, unknown) and each finding; findings are stored in FOLDER. Exit code 1
if anything was found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import offload_fuzz as of
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.ops.base import OPS
from offload_fuzz.strategies import ALL_DTYPES


def supported(device: str, op: str) -> list[str]:
    """The dtypes on which `device` runs `op`, in table order."""
    features = open_places((device,))[1].features
    if op not in features.ops:
        return []
    dtypes = features.ops[op] or features.dtypes
    free = OPS[op].dtypes & dtypes & features.dtypes
    return [d for d in ALL_DTYPES if d in free]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ops", default="")
    parser.add_argument("--dtypes", default="")
    parser.add_argument("--out", type=Path, default=Path("breadth"))
    options = parser.parse_args(arguments)
    ops = options.ops.split(",") if options.ops else list(OPS)
    wanted = options.dtypes.split(",") if options.dtypes else list(ALL_DTYPES)
    found = 0
    for op in ops:
        dtypes = [d for d in supported(options.device, op) if d in wanted]
        ran = unknown = 0
        for dtype in dtypes:
            report = of.run(
                [options.device], ops=[op], dtypes=[dtype], max_nodes=1, max_cases=options.cases, seed=options.seed,
                isolation="inline", report_dir=options.out,
            )  # fmt: skip  # what to run, then how
            ran += report.counts.cases
            unknown += report.counts.unknown
            for finding in report.findings:
                found += 1
                print(f"  {op} {dtype}: {finding.id} {finding.known['kind']}", flush=True)
        print(f"{op}: {len(dtypes)} dtypes, {ran} case runs, {unknown} unknown", flush=True)
    print(f"{found} finding(s)")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
