"""A case: program, failing plan, control plan and device roles, all that a replay needs; and its file format.

Files are `*.offload.json`, UTF-8, one input and one node a line, floats as hex strings. They are untrusted input:
everything is checked in bounded memory, and whatever is wrong raises `InvalidFile` with the place named.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen

from offload_fuzz.device import Place
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.errors import InvalidFile, InvalidProgram, UsageError
from offload_fuzz.ops.base import find_op
from offload_fuzz.ops.domains import from_file
from offload_fuzz.plan import ROLES, Key, Plan, check_plan, describe
from offload_fuzz.program import Node, Program, frozen_input, pretty_by_repr
from offload_fuzz.reference import Known
from offload_fuzz.text import array_from, elements, parse_type, print_program
from offload_fuzz.types import Array, ArrayType, is_complex, type_of
from offload_fuzz.untrusted import clean, cut, load_json, read_text, shown
from offload_fuzz.wellformed import check_program

FORMAT = "offload-fuzz case"
VERSION = 1
MAX_NODES = 10_000
MAX_ELEMENTS = 16 * 2**20
MAX_RESULTS = 256 * 2**20
KEYS = ("format", "version", "devices", "inputs", "nodes", "outputs", "plan", "control", "expected")
PARTS = ("lo", "hi", "lo2", "hi2", "nan", "ninf", "pinf")


@frozen(eq=False)
class Case:
    """program and plan; devices: the spec that fills each role d0, d1, ...; control: a plan that should agree.

    expected: the enclosure of each output (None: unknown), as stored. Where the case was made in this process, also
    places: the devices themselves, the host first, and values: what the reference knows of every value, and
    skipped: the drawn nodes for which nothing suited.
    """

    program: Program
    plan: Plan
    devices: tuple[str, ...]
    control: Plan | None = None
    expected: tuple[Enclosure | None, ...] | None = None
    places: tuple[Place, ...] | None = field(default=None, repr=False)
    values: tuple[Known, ...] | None = field(default=None, repr=False)
    skipped: int = field(default=0, repr=False)

    def __str__(self) -> str:
        return case_text(self)

    def __repr__(self) -> str:
        return case_text(self)

    _repr_pretty_ = pretty_by_repr

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
    """`value` as JSON data: tuples as lists, NumPy scalars as Python's, NaN and infinities as strings."""
    if isinstance(value, Mapping):
        return {str(k): _plain_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_json(v) for v in value]
    if isinstance(value, np.generic):
        return _plain_json(value.item())
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


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
        data["finding"] = _plain_json(finding)
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
#: What is known of a failure; further keys are kept as they are.
FINDING: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "kind", "claim", "message", "rule", "expected", "got", "nearest", "damage", "seen"), (str,)),
    **dict.fromkeys(("failures", "repeats", "executions", "attempts"), (int,)),
    **dict.fromkeys(("origin", "environment"), (dict,)),
    **dict.fromkeys(("divergent", "ulps"), (int, type(None))),
    **dict.fromkeys(("needs", "chain", "plans"), (list,)),
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
_JSON_NAMES = {type(None): "null", str: "a string", int: "an int", list: "a list", dict: "an object", bool: "a bool"}


class _Reader:
    """Checks JSON data step by step; every error names the file and the place in it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.data_left = MAX_ELEMENTS
        self.results_left = MAX_RESULTS

    def fail(self, what: object, at: str) -> InvalidFile:
        return InvalidFile(f"{cut(str(what))} [{self.where}, {at}]")

    def get(self, data: dict[str, Any], key: str, *kinds: type, at: str = "") -> Any:
        value = data[key]
        if type(value) not in kinds:
            should_be = " or ".join(_JSON_NAMES[k] for k in kinds)
            found = _JSON_NAMES.get(type(value), "a float")
            raise self.fail(f"{key} is {found} but should be {should_be}", f"{at}.{key}" if at else key)
        return value

    def object(self, data: Any, at: str, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
        """`data` as an object with all of `keys`, perhaps `optional` ones, and no others."""
        if not isinstance(data, dict):
            raise self.fail(f"entry is {shown(data)} but should be an object with {', '.join(keys)}", at)
        for key in keys:
            if key not in data:
                raise self.fail(f"{key} is missing", at)
        for key in data:
            if key not in keys and key not in optional:
                raise self.fail(f"key {shown(key)} is unknown but should be one of {', '.join((*keys, *optional))}", at)
        return data

    def type(self, data: dict[str, Any], at: str) -> ArrayType:
        """A type of at most `MAX_ELEMENTS` elements, axes of length 0 not helping."""
        try:
            found = parse_type(self.get(data, "type", str, at=at))
        except InvalidProgram as error:
            raise self.fail(error, f"{at}.type") from None
        if math.prod(max(n, 1) for n in found.shape) > MAX_ELEMENTS:
            raise self.fail(f"type is {found} but should have at most {MAX_ELEMENTS} elements", f"{at}.type")
        return found

    def array(self, data: Any, at: str) -> Array:
        data = self.object(data, at, ("type", "data"))
        type = self.type(data, at)
        values = self.get(data, "data", list, at=at)
        self.data_left -= type.size
        if self.data_left < 0:
            raise self.fail(f"arrays have more than {MAX_ELEMENTS} elements in all", at)
        try:
            return array_from(type, values)
        except ValueError as error:
            raise self.fail(error, f"{at}.data") from None

    def node(self, data: Any, v: int, at: str) -> Node:
        data = self.object(data, at, ("value", "op", "operands", "attributes", "type"))
        if self.get(data, "value", int, at=at) != v:
            raise self.fail(f"value is {data['value']} but should be {v}: inputs come first, then nodes in order", at)
        op = self.get(data, "op", str, at=at)
        row = find_op(cut(op, 60), f"{self.where}, {at}")
        operands = self.ints(data, "operands", at)
        attributes = {k: from_file(row, k, _tuples(a)) for k, a in self.get(data, "attributes", dict, at=at).items()}
        type = self.type(data, at)
        self.results_left -= type.size
        if self.results_left < 0:
            raise self.fail(f"results have more than {MAX_RESULTS} elements in all", at)
        return Node(op, operands, attributes, type)

    def ints(self, data: dict[str, Any], key: str, at: str = "") -> tuple[int, ...]:
        values = self.get(data, key, list, at=at)
        for i, v in enumerate(values):
            if type(v) is not int:
                place = f"{at}.{key}[{i}]" if at else f"{key}[{i}]"
                raise self.fail(f"value number is {shown(v)} but should be an int", place)
        return tuple(values)

    def devices(self, data: dict[str, Any]) -> tuple[str, ...]:
        devices = self.get(data, "devices", dict)
        if [*devices] != [f"d{i}" for i in range(len(devices))]:
            raise self.fail(f'roles are {shown([*devices])} but should be "d0", "d1", ... in order', "devices")
        if len(devices) >= len(ROLES):
            raise self.fail(f"case has {len(devices)} device roles but should have at most {len(ROLES) - 1}", "devices")
        for role, name in devices.items():
            if type(name) is not str or not name.isprintable() or not 0 < len(name) <= 1000:
                raise self.fail(f"device is {shown(name)} but should be a name such as simulated:0", f"devices.{role}")
        return tuple(devices.values())

    def plan(self, data: Any, at: str, program: Program, roles: int) -> Plan:
        data = self.object(data, at, ("seed", "choices"))
        choices: dict[Key, Any] = {}
        for i, row in enumerate(self.get(data, "choices", list, at=at)):
            place = f"{at}.choices[{i}]"
            if (
                type(row) is not list
                or [type(x) for x in row[:2]] != [str, list]
                or len(row) != 3
                or not all(type(n) is int for n in row[1])
                or type(row[2]) not in (str, int, bool)
            ):
                raise self.fail(f"choice is {shown(row)} but should be [freedom, [site], choice]", place)
            name, site, choice = cut(row[0], 60), tuple(row[1]), cut(row[2], 60) if type(row[2]) is str else row[2]
            if (name, site) in choices:
                raise self.fail(f"plan chooses {name} at {shown(site)} twice", place)
            choices[name, site] = choice
        seed = self.get(data, "seed", int, at=at)
        if not 0 <= seed < 2**64:
            raise self.fail(f"seed is {seed} but should be in [0, 2**64)", f"{at}.seed")
        plan = Plan(choices, seed)
        try:
            check_plan(program, plan, roles)
        except UsageError as error:
            raise self.fail(error, at) from None
        return plan

    def enclosure(self, data: Any, at: str, type: ArrayType) -> Enclosure | None:
        """The enclosure of a value of `type`."""
        if data is None:
            return None
        data = self.object(data, at, ("lo",), PARTS[1:])
        if ("lo2" in data) != ("hi2" in data):
            raise self.fail("lo2 and hi2 should stand together", at)
        parts = {name: self.array(value, f"{at}.{name}") for name, value in data.items()}
        for name, part in parts.items():
            flag = "uint8" if is_complex(type.dtype) else "bool"
            should_be = type if name in ("lo", "hi", "lo2", "hi2") else ArrayType(flag, type.shape)
            if type_of(part) != should_be:
                raise self.fail(f"{name} has type {type_of(part)} but should be {should_be}", f"{at}.{name}")
        lo = parts.pop("lo")
        return Enclosure(lo, parts.pop("hi", lo), **parts)

    def expected(self, data: dict[str, Any], program: Program) -> tuple[Enclosure | None, ...] | None:
        rows = self.get(data, "expected", list, type(None))
        if rows is None:
            return None
        if len(rows) != len(program.outputs):
            what = f"expected has {len(rows)} entries but the program returns {len(program.outputs)} values"
            raise self.fail(what, "expected")
        pairs = zip(rows, program.outputs, strict=True)
        return tuple(self.enclosure(row, f"expected[{k}]", program.types[v]) for k, (row, v) in enumerate(pairs))

    def finding(self, data: dict[str, Any], program: Program) -> dict[str, Any]:
        if "finding" not in data:
            return {}
        finding: dict[str, Any] = clean(self.get(data, "finding", dict))
        for key, kinds in FINDING.items():
            if key in finding:
                self.get(finding, key, *kinds, at="finding")
        for i, need in enumerate(finding.get("needs", ())):
            self.object(need, f"finding.needs[{i}]", ("phrase", "passes_when_plain"))
            self.get(need, "phrase", str, at=f"finding.needs[{i}]")
            self.get(need, "passes_when_plain", bool, type(None), at=f"finding.needs[{i}]")
        for i, tried in enumerate(finding.get("plans", ())):
            at = f"finding.plans[{i}]"
            self.object(tried, at, ("plan", "chosen", "outcome", "failures", "runs"))
            for key, kind in (("plan", str), ("chosen", list), ("outcome", str), ("failures", int), ("runs", int)):
                self.get(tried, key, kind, at=at)
            if [type(c) for c in tried["chosen"]] != [bool] * len(finding.get("needs", ())):
                raise self.fail("chosen should hold a bool for each of finding.needs", at)
        if "id" in finding and not _ID.match(finding["id"]):
            raise self.fail(f"id is {shown(finding['id'])} but should be letters and digits", "finding.id")
        value = finding.get("divergent")
        if value is not None and not 0 <= value < program.returns:
            raise self.fail(
                f"divergent is v{value} but should be one of v0..v{program.returns - 1}", "finding.divergent"
            )
        return finding

    def case(self, data: Any) -> tuple[Case, dict[str, Any]]:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InvalidFile(f'file has no "format": "{FORMAT}", so it is not a case [{self.where}]')
        version = self.get(data, "version", int) if "version" in data else 0
        if version > VERSION:
            what = f"file has version {cut(str(version), 20)} but this program reads up to {VERSION}"
            raise InvalidFile(f"{what} [{self.where}]; upgrade offload-fuzz")
        if version < 1:
            raise InvalidFile(f"file has version {cut(str(version), 20)} but the first is 1 [{self.where}]")
        self.object(data, "top level", KEYS, ("finding",))
        raw_inputs, raw_nodes = self.get(data, "inputs", list), self.get(data, "nodes", list)
        for key, rows in (("inputs", raw_inputs), ("nodes", raw_nodes)):
            if len(rows) > MAX_NODES:
                raise self.fail(f"file has {len(rows)} {key} but at most {MAX_NODES} are read", key)
        inputs = [frozen_input(self.array(x, f"inputs[{i}]")) for i, x in enumerate(raw_inputs)]
        nodes = [self.node(n, len(inputs) + i, f"nodes[{i}]") for i, n in enumerate(raw_nodes)]
        program = Program(tuple(inputs), tuple(nodes), self.ints(data, "outputs"))
        check_program(program)
        devices = self.devices(data)
        plan = self.plan(self.get(data, "plan", dict), "plan", program, len(devices))
        raw = self.get(data, "control", dict, type(None))
        control = None if raw is None else self.plan(raw, "control", program, len(devices))
        case = Case(program, plan, devices, control, self.expected(data, program))
        return case, self.finding(data, program)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def parse_case(text: str, where: str) -> tuple[Case, dict[str, Any]]:
    """The case in the text of a file, and what is stored about its failure; raises `InvalidFile`."""
    return case_from_json(load_json(text, where), where)


def case_from_json(data: Any, where: str) -> tuple[Case, dict[str, Any]]:
    """The case in JSON data, and what is stored about its failure; raises `InvalidFile`."""
    try:
        return _Reader(where).case(data)
    except InvalidFile:
        raise
    except UsageError as error:  # of a checker, which does not know the file
        first, *more = str(error).split("\n")
        named = first if where in first else f"{first} [{where}]"
        raise InvalidFile("\n".join([named, *more])) from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise InvalidFile(f"file is malformed: {type(error).__name__}: {cut(str(error))} [{where}]") from None


def read_case(path: str | Path) -> tuple[Case, dict[str, Any]]:
    """The case in a file, and what is stored about its failure; raises `InvalidFile` for anything wrong with it."""
    return parse_case(read_text(path), str(path))
