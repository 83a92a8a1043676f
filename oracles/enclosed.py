"""WithinContract: every result lies in its enclosure; nodes that were read back are judged from their own operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.enclosure import Enclosure, is_float, ordinal, parts
from offload_fuzz.ops.base import find_op
from offload_fuzz.program import Program
from offload_fuzz.reference import evaluate, known, quiet
from offload_fuzz.text import format_element
from offload_fuzz.trial import Planned, Trial
from offload_fuzz.types import Array, ArrayType

from .verdict import FAIL, PASS, UNKNOWN, Verdict

CLAIM = "every result is one that the contract allows"


class WithinContract:
    """A plan may move an answer only within its enclosure."""

    def judge(self, trial: Trial) -> Verdict:
        unknowns = 0
        types, outputs = trial.program.types, trial.program.outputs
        held: list[set[bytes]] = [set() for _ in outputs]  # per output, results that were found to be allowed
        fixed: list[bytes | None] | None = None
        for i, planned in enumerate(trial.planned):
            if planned.run.probes:
                fixed = _fixed(trial) if fixed is None else fixed
                verdict, skipped = self._local(trial, i, planned, fixed)
                unknowns += skipped
                if verdict is not None:
                    return verdict
            for results in planned.run.results:
                for k, array in enumerate(results):
                    e = trial.expected[k]
                    if e is None:
                        unknowns += 1
                        continue
                    if not same_type(array, types[outputs[k]]):
                        continue  # the metadata oracle speaks of it
                    data, wanted = array.tobytes(), trial.expected_bytes[k]
                    if data == wanted or data in held[k]:
                        continue
                    if e.contains(array).all():  # an int4 has several encodings
                        held[k].add(data)
                        continue
                    if planned.run.regions:  # what is compiled together may give more
                        e = trial.expected_of(planned.run)[k]
                        if e is None or e.contains(array).all():
                            unknowns += e is None
                            continue
                    return self._fail(trial.program, i, outputs[k], array, e)
        return Verdict(UNKNOWN if unknowns else PASS, claim=CLAIM, unknowns=unknowns)

    def _local(self, trial: Trial, i: int, planned: Planned, fixed: list[bytes | None]) -> tuple[Verdict | None, int]:
        """Judge each node from its actual operands: one rule wide at any depth.

        Where these are the operands that the reference had, bit for bit, so is what is allowed: `fixed` tells.
        """
        found = dict(enumerate(trial.program.inputs)) | planned.run.probes
        types = trial.program.types
        right = {v for v, a in found.items() if same_type(a, types[v])}  # of others the metadata oracle speaks
        same = {v for v in right if fixed[v] is not None and found[v].tobytes() == fixed[v]}
        skipped = 0
        with quiet():
            for v, node in trial.program.numbered():
                if v not in right or not right.issuperset(node.operands):
                    continue
                if same.issuperset(node.operands):
                    if v in same:
                        continue
                    e = trial.values[v].enclosure
                else:
                    operands = [known(found[o]) for o in node.operands]
                    e = evaluate(node.op, node.attributes, node.type, operands, trial.contract).enclosure
                if e is None:
                    skipped += 1
                elif not e.contains(found[v]).all():
                    return self._fail(trial.program, i, v, found[v], e, local=True), skipped
        return None, skipped

    def _fail(self, program: Program, plan: int, v: int, array: Array, e: Enclosure, local: bool = False) -> Verdict:
        wrong = ~e.contains(array)
        at = first_index(wrong)
        node = program.node_of(v)
        expected, got = allowed_text(e, at), element_text(array[at])
        share = f"{int(wrong.sum())} of {wrong.size} elements"
        rule = "" if node is None else f"{node.op} is {find_op(node.op).accuracy}"
        where = f"v{v}{list(at) if at else ''}"
        return Verdict(
            FAIL, "wrong value", CLAIM, f"{where} is {got} but should be {expected} ({share} wrong)", plan, v, rule,
            expected, got, local=local, ulps=distance(array[at], e, at), at=at,
        )  # fmt: skip  # one verdict


def _fixed(trial: Trial) -> list[bytes | None]:
    """Per value its bytes, where the contract allows one result and the reference's own value is that; else None."""
    found: list[bytes | None] = []
    for value, e in [(k.value, k.enclosure) for k in trial.values]:
        data = value.tobytes()
        found.append(data if e is not None and e.is_singleton and e.lo.tobytes() == data else None)
    return found


def same_type(array: Any, type: ArrayType) -> bool:
    """Whether what a device gave is a NumPy array of this dtype and shape."""
    return isinstance(array, np.ndarray) and array.dtype == type.np and array.shape == type.shape


def first_index(wrong: Array) -> tuple[int, ...]:
    """The index of the first True."""
    return tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()


def distance(got: Any, e: Enclosure, at: tuple[int, ...]) -> int | None:
    """How many representable numbers a real float is from the nearest that is allowed, -0 and +0 being two.

    None for other dtypes, for NaN, and where no number is allowed.
    """
    x = np.asarray(got)
    if not is_float(x.dtype) or np.isnan(x):
        return None
    key, found = int(ordinal(x)), []
    for lo, hi in ((e.lo, e.hi), (e.lo2, e.hi2)):
        if lo is None or hi is None or np.isnan(lo[at]) or np.isnan(hi[at]):
            continue
        low, high = int(ordinal(np.asarray(lo[at]))), int(ordinal(np.asarray(hi[at])))
        if low <= high:
            found.append(max(low - key, key - high, 0))
    for flag, infinity in ((e.ninf, -np.inf), (e.pinf, np.inf)):
        if flag is not None and bool(flag[at]):
            found.append(abs(int(ordinal(np.asarray(infinity, x.dtype))) - key))
    return min(found, default=None)


def element_text(element: Any) -> str:
    """One element, with its bits where it is a float."""
    x = np.asarray(element)[()]
    if x.dtype.kind == "b" and int(x.view(np.uint8)) > 1:
        return f"{x} (byte 0x{int(x.view(np.uint8)):02x})"
    if x.dtype.kind == "c":
        return f"({element_text(x.real)}, {element_text(x.imag)} i)"
    if not is_float(x.dtype):
        return str(x)
    bits = int(np.asarray(x).reshape(1).view(f"u{x.dtype.itemsize}")[0])
    return f"{float(x):.9g} (0x{bits:0{2 * x.dtype.itemsize}x}, {format_element(x)})"


def allowed_text(e: Enclosure, at: tuple[int, ...]) -> str:
    """What is allowed at one index; of a complex element per component."""
    if e.lo.dtype.kind == "c":
        return f"({allowed_text(parts(e), (*at, 0))}, {allowed_text(parts(e), (*at, 1))} i)"
    found = []
    for lo, hi in ((e.lo, e.hi), (e.lo2, e.hi2)):
        if lo is None or hi is None:
            continue
        low, high = np.asarray(lo[at]), np.asarray(hi[at])
        if low.tobytes() == high.tobytes():
            found.append(element_text(low))
        elif bool(ordinal(low) < ordinal(high)):  # else the interval is empty
            found.append(f"in [{element_text(low)}, {element_text(high)}]")
    for flag, name in ((e.nan, "NaN"), (e.ninf, "-inf"), (e.pinf, "inf")):
        if flag is not None and bool(flag[at]):
            found.append(name)
    return " or ".join(found) or "nothing"
