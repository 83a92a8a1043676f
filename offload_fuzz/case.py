"""A case: program, failing plan, control plan and device roles, all that a replay needs; and its file format.

Files are `*.offload.json`, UTF-8, one input and one node a line, floats as hex strings. They are untrusted input:
everything is checked, and whatever is wrong raises `InvalidFile` or `InvalidProgram` with the place named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from offload_fuzz.device import Place
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.errors import InvalidFile, InvalidProgram, OffloadError
from offload_fuzz.ops.base import find_op
from offload_fuzz.plan import Plan, check_plan, describe
from offload_fuzz.program import Node, Program, frozen_input
from offload_fuzz.reference import Known
from offload_fuzz.text import array_from, elements, parse_type, print_program
from offload_fuzz.types import Array, type_of
from offload_fuzz.wellformed import check_program

FORMAT = "offload-fuzz case"
VERSION = 1
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 24
MAX_NODES = 10_000
MAX_ELEMENTS = 16 * 2**20
PARTS = ("lo", "hi", "lo2", "hi2", "nan", "ninf", "pinf")


@frozen(eq=False)
class Case:
    """program and plan; devices: the spec that fills each role d0, d1, ...; control: a plan that should agree.

    expected: the enclosure of each output (None: unknown), as stored. Where the case was made in this process, also
    places: the devices themselves, the host first, and values: what the reference knows of every value.
    """

    program: Program
    plan: Plan
    devices: tuple[str, ...]
    control: Plan | None = None
    expected: tuple[Enclosure | None, ...] | None = None
    places: tuple[Place, ...] | None = field(default=None, repr=False)
    values: tuple[Known, ...] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return case_text(self)

    def __repr__(self) -> str:
        return case_text(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Case):
            return NotImplemented
        return (self.program, self.plan, self.control, self.devices) == (
            other.program,
            other.plan,
            other.control,
            other.devices,
        )

    def __hash__(self) -> int:
        return hash((self.program, self.plan, self.devices))


def device_name(case: Case, role: int) -> str:
    """The name of the device in a role, `host` for 0."""
    return case.devices[role - 1] if role else "host"


def case_text(case: Case, mark: Mapping[int, str] | None = None) -> str:
    """The program with each node's placement, `mark[value]` behind it, and the other non-plain choices below."""
    program, plan = case.program, case.plan

    def note(v: int) -> str:
        text = device_name(case, plan.get("device", v))
        return f"{text}   <- {mark[v]}" if mark and v in mark else text

    text = print_program(program, note=note)
    rest = [describe(program, key, c) for key, c in plan.non_plain() if key[0] != "device"]
    return text if not rest else text + "\n  with " + "\n       ".join(rest)


# ----------------------------------------------------------------------------------------------------------- write
def _plain_json(value: Any) -> Any:
    return [_plain_json(v) for v in value] if isinstance(value, tuple) else value


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as JSON data."""
    return {"seed": plan.seed, "choices": [[name, list(site), c] for (name, site), c in plan.non_plain()]}


def array_json(array: Array) -> dict[str, Any]:
    """An array as JSON data, exactly."""
    return {"type": str(type_of(array)), "data": elements(array)}


def enclosure_json(e: Enclosure | None) -> dict[str, Any] | None:
    """An enclosure as JSON data: only the parts that it has."""
    if e is None:
        return None
    parts = {"lo": e.lo} if e.is_singleton else {p: getattr(e, p) for p in PARTS if getattr(e, p) is not None}
    return {name: array_json(array) for name, array in parts.items()}


def node_json(v: int, node: Node) -> dict[str, Any]:
    """A node as JSON data."""
    return {
        "value": v,
        "op": node.op,
        "operands": list(node.operands),
        "attributes": {k: _plain_json(a) for k, a in node.attributes.items()},
        "type": str(node.type),
    }


def case_json(case: Case) -> dict[str, Any]:
    """A case as JSON data."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "devices": {f"d{i}": name for i, name in enumerate(case.devices)},
        "inputs": [array_json(x) for x in case.program.inputs],
        "nodes": [node_json(v, n) for v, n in case.program.numbered()],
        "outputs": list(case.program.outputs),
        "plan": plan_json(case.plan),
        "control": None if case.control is None else plan_json(case.control),
        "expected": None if case.expected is None else [enclosure_json(e) for e in case.expected],
    }


def dump_case(case: Case, finding: Mapping[str, Any] | None = None) -> str:
    """The text of a case file, `finding` being what is known of the failure."""
    data = case_json(case)
    if finding is not None:
        data["finding"] = dict(finding)
    lines = []
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], (dict, type(None))):
            rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        elif key == "finding":
            rows = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f'  "finding": {{\n{rows}\n  }}')
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


# ------------------------------------------------------------------------------------------------------------ read
class _Reader:
    """Checks JSON data step by step; every error names the file and the place in it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.elements_left = MAX_ELEMENTS

    def fail(self, what: str, at: str) -> InvalidFile:
        return InvalidFile(f"{what} [{self.where}, {at}]")

    def get(self, data: Any, key: str, kind: type | tuple[type, ...], at: str) -> Any:
        if not isinstance(data, dict) or key not in data:
            raise self.fail(f"{key} is missing", at)
        value = data[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(value) not in kinds:
            names = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise self.fail(f"{key} is {type(value).__name__} but should be {names}", at)
        return value

    def array(self, data: Any, at: str) -> Array:
        type = parse_type(self.get(data, "type", str, at))
        values = self.get(data, "data", list, at)
        self.elements_left -= type.size
        if self.elements_left < 0:
            raise self.fail(f"arrays have more than {MAX_ELEMENTS} elements", at)
        try:
            return array_from(type, values)
        except (ValueError, OverflowError, TypeError) as error:
            raise self.fail(str(error), at) from None

    def node(self, data: Any, v: int, at: str) -> Node:
        operands = self.get(data, "operands", list, at)
        if not all(type(o) is int for o in operands):
            raise self.fail(f"operands are {operands!r} but should be value numbers", at)
        attributes = {str(k): _tuples(a) for k, a in self.get(data, "attributes", dict, at).items()}
        op = self.get(data, "op", str, at)
        find_op(op, f"{self.where}, {at}")
        return Node(op, tuple(operands), attributes, parse_type(self.get(data, "type", str, at)))

    def plan(self, data: Any, at: str) -> Plan:
        choices = {}
        for row in self.get(data, "choices", list, at):
            if (
                not isinstance(row, list)
                or len(row) != 3
                or not isinstance(row[0], str)
                or not isinstance(row[1], list)
                or not all(type(i) is int for i in row[1])
                or not isinstance(row[2], (str, int, bool))
            ):
                raise self.fail(f"choice is {str(row)[:60]} but should be [freedom, [site], choice]", at)
            choices[row[0], tuple(row[1])] = row[2]
        seed = self.get(data, "seed", int, at)
        if not 0 <= seed < 2**64:
            raise self.fail(f"seed is {seed} but should be in [0, 2**64)", at)
        return Plan(choices, seed)

    def enclosure(self, data: Any, at: str) -> Enclosure | None:
        if data is None:
            return None
        if not isinstance(data, dict) or not data.keys() <= set(PARTS) or "lo" not in data:
            raise self.fail("expected entry should be null or have lo, and of hi lo2 hi2 nan ninf pinf what applies", at)
        parts = {name: self.array(value, f"{at}.{name}") for name, value in data.items()}
        lo = parts.pop("lo")
        if any(p.shape != lo.shape for p in parts.values()):
            raise self.fail("the parts of an expected entry should have one shape", at)
        return Enclosure(lo, parts.pop("hi", lo), **parts)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _depth(text: str) -> int:
    depth = deepest = 0
    in_string = escaped = False
    for ch in text:
        if in_string:
            in_string = escaped or ch != '"'
            escaped = ch == "\\" and not escaped
        elif ch == '"':
            in_string = True
        elif ch in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                return deepest
        elif ch in "]}":
            depth -= 1
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_case(text: str, where: str) -> tuple[Case, dict[str, Any]]:
    """The case in the text of a file, and what is stored about its failure; raises `InvalidFile` or `InvalidProgram`."""
    if _depth(text) > MAX_DEPTH:
        raise InvalidFile(f"file is nested deeper than {MAX_DEPTH} levels [{where}]; it is not a case")
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"file is not valid JSON but should be a case: {error} [{where}]") from None
    return case_from_json(data, where)


def case_from_json(data: Any, where: str) -> tuple[Case, dict[str, Any]]:
    """The case in JSON data, and what is stored about its failure; raises `InvalidFile` or `InvalidProgram`."""
    r = _Reader(where)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidFile(f'file has no "format": "{FORMAT}", so it is not a case [{where}]')
    version = r.get(data, "version", int, "version")
    if version > VERSION:
        raise InvalidFile(f"file has version {version} but this program reads up to {VERSION} [{where}]; upgrade it")
    if version < 1:
        raise InvalidFile(f"file has version {version} but the first is 1 [{where}]")
    rows = r.get(data, "nodes", list, "nodes")
    if len(rows) > MAX_NODES:
        raise InvalidFile(f"file has {len(rows)} nodes but at most {MAX_NODES} are read [{where}]")
    try:
        inputs = [r.array(x, f"inputs[{i}]") for i, x in enumerate(r.get(data, "inputs", list, "inputs"))]
        nodes = [r.node(n, len(inputs) + i, f"nodes[{i}]") for i, n in enumerate(rows)]
        outputs = r.get(data, "outputs", list, "outputs")
        if not all(type(o) is int for o in outputs):
            raise r.fail("outputs should be value numbers", "outputs")
        program = Program(tuple(frozen_input(x) for x in inputs), tuple(nodes), tuple(outputs))
        check_program(program)
        devices = r.get(data, "devices", dict, "devices")
        if [*devices] != [f"d{i}" for i in range(len(devices))] or not all(isinstance(n, str) for n in devices.values()):
            raise r.fail('devices should be {"d0": name, "d1": name, ...}', "devices")
        plan = r.plan(r.get(data, "plan", dict, "plan"), "plan")
        check_plan(program, plan, len(devices))
        raw_control = r.get(data, "control", (dict, type(None)), "control")
        control = None if raw_control is None else r.plan(raw_control, "control")
        if control is not None:
            check_plan(program, control, len(devices))
        raw = r.get(data, "expected", (list, type(None)), "expected")
        expected = None if raw is None else tuple(r.enclosure(e, f"expected[{i}]") for i, e in enumerate(raw))
        _check_expected(program, expected, r)
        finding = r.get(data, "finding", dict, "finding") if "finding" in data else {}
    except InvalidProgram as error:
        raise InvalidFile(f"{error} [{where}]") from None
    return Case(program, plan, tuple(devices.values()), control, expected), finding


def _check_expected(program: Program, expected: Sequence[Enclosure | None] | None, r: _Reader) -> None:
    if expected is None:
        return
    if len(expected) != len(program.outputs):
        raise r.fail(f"expected has {len(expected)} entries but the program returns {len(program.outputs)}", "expected")
    for k, (v, e) in enumerate(zip(program.outputs, expected, strict=True)):
        if e is not None and (type_of(e.lo) != program.types[v] or type_of(e.hi) != program.types[v]):
            raise r.fail(f"expected has {type_of(e.lo)} but v{v} is {program.types[v]}", f"expected[{k}]")


def read_case(path: str | Path) -> tuple[Case, dict[str, Any]]:
    """The case in a file, and what is stored about its failure; raises `InvalidFile` for anything wrong with it."""
    where = str(path)
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise InvalidFile(f"file has {size} bytes but at most {MAX_BYTES} are read [{where}]")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InvalidFile(f"file cannot be read as UTF-8 text: {_reason(error)} [{where}]") from None
    try:
        return parse_case(text, where)
    except OffloadError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise InvalidFile(f"file is malformed: {error} [{where}]") from None


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
