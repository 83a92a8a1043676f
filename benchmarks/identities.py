"""How often the IDs of findings agree over seeds, and how often different faults share one.

    python benchmarks/identities.py [--faults LIST] [--seeds N] [--max-cases N]

Each fault is hunted by `run simulated:0+FAULT --stop-after 1` from each seed; the first finding counts.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import combinations

from offload_fuzz import api
from offload_fuzz.adapters.simulated.faults import FAULTS


def first_finding(fault: str, seed: int, max_cases: int) -> tuple[str, str]:
    """(ID, the minimal graph in short) of the first finding of a campaign; empty texts for none."""
    both = FAULTS[fault].cls == "multi-device"
    devices = [f"simulated:{i}+{fault}" for i in range(2 if both else 1)]
    report = api.run(devices, max_cases=max_cases, seed=seed, stop_after=1, isolation="inline")
    if not report.findings:
        return "", ""
    found = report.findings[0]
    data = found.data
    nodes = " ".join(f"{node['op']}[{node['type']}]" for node in data["nodes"])
    choices = sorted({row[0] for row in data["plan"]["choices"]})
    return found.id, f"{found.known['kind']}: {nodes} with {' '.join(choices)}"


def main() -> None:
    """Hunt, and print a line for each fault and the two rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-cases", type=int, default=1500)
    options = parser.parse_args()
    found: dict[str, list[str]] = {}
    pairs = agree = 0
    for fault in options.faults.split(","):
        results = [first_finding(fault, seed, options.max_cases) for seed in range(options.seeds)]
        found[fault] = [id for id, _ in results if id]
        here = [a == b for a, b in combinations(found[fault], 2)]
        pairs, agree = pairs + len(here), agree + sum(here)
        print(f"{fault}: {len(found[fault])} of {options.seeds} found, {len(set(found[fault]))} IDs", flush=True)
        for id, text in results:
            print(f"    {id or 'none':<10} {text}", flush=True)
    owners = Counter((id, fault) for fault, ids in found.items() for id in set(ids))
    shared = [id for id, n in Counter(id for id, _ in owners).items() if n > 1]
    print(f"agree over seeds: {agree} of {pairs} pairs")
    print(f"shared by different faults: {len(shared)} of {len({id for id, _ in owners})} IDs")
    print(json.dumps({id: sorted(f for i, f in owners if i == id) for id in shared}, indent=1))


if __name__ == "__main__":
    main()
