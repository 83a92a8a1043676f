"""What the listing commands print: rows of data, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.resolve import Adapter, known_adapters
from offload_fuzz.case import read_case
from offload_fuzz.errors import OffloadError
from offload_fuzz.ops.base import OPS, Domain, Op
from offload_fuzz.types import DTYPES

Row = dict[str, Any]
#: Devices that are listed of an adapter; of another its bare name.
LISTED = {
    "torch": ("torch:cpu", "torch:cuda:0"),
    "array_api": ("array_api:array_api_strict:device1",),
    "noop": ("noop:0",),
    "validating": ("validating:simulated:0",),
}


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Aligned columns under their names; lists are joined."""
    cells = [tuple(columns), *(tuple(_cell(row.get(c)) for c in columns) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def device_rows() -> list[Row]:
    """The devices that are known by name, opened; those that are not there with the reason as a note."""
    from offload_fuzz.adapters.simulated import PROFILES

    rows = []
    for adapter in known_adapters():
        if adapter.name == "simulated":
            rows += [{**_device(f"{p.name}:0", adapter), "note": p.summary} for p in PROFILES.values()]
        else:
            rows += [_device(spec, adapter) for spec in LISTED.get(adapter.name, (adapter.name,))]
    return rows


def _device(spec: str, adapter: Adapter) -> Row:
    row: Row = {"device": spec, "adapter": adapter.name, "available": True}
    try:
        features = open_places((spec,))[1].features
    except OffloadError as error:
        return {**row, "available": False, "note": f"not here: {error}"}
    return {
        **row,
        "ops": len(features.ops),
        "dtypes": len(features.dtypes),
        "dtype_names": [d for d in DTYPES if d in features.dtypes],
        "streams": features.streams,
        "contract": features.contract.name,
        "note": adapter.summary,
    }


def op_rows() -> list[Row]:
    """All registered ops."""
    return [_op(op) for op in OPS.values()]


def _op(op: Op) -> Row:
    return {
        "op": op.name,
        "category": op.category,
        "operands": len(op.operands),
        "kinds": list(op.kinds),
        "attributes": [f"{name}: {_domain(domain)}" for name, domain in op.attributes.items()],
        "accuracy": str(op.accuracy),
        "custom": op.custom,
        "summary": op.summary,
    }


def _domain(domain: Domain) -> str:
    text = repr(domain)
    return text[:-2] if text.endswith("()") else text


def fault_rows() -> list[Row]:
    """All registered faults, with the public report that each is modelled on."""
    from offload_fuzz.adapters.simulated import FAULTS

    return [
        {"fault": f.name, "class": f.cls, "hook": f.hook, "sentence": f.sentence, "report": f.report}
        for f in FAULTS.values()
    ]


def findings_rows(paths: Sequence[Path]) -> list[Row]:
    """Stored findings; a file that cannot be read says so in its message."""
    rows: list[Row] = []
    for path in paths:
        row: Row = {"id": path.name.removesuffix(".offload.json"), "path": str(path)}
        try:
            case, known = read_case(path)
        except OffloadError as error:
            rows.append({**row, "kind": "unreadable", "message": str(error)})
            continue
        rows.append(
            {
                **row,
                "kind": known.get("kind"),
                "nodes": len(case.program.nodes),
                "devices": list(case.devices),
                "message": known.get("message"),
            }
        )
    return rows
