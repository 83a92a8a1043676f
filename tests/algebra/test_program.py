"""Programs and plans that are not well formed: each error says what is wrong, what should be, and where."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.errors import EXIT_USAGE, InvalidProgram, UsageError
from offload_fuzz.ops import OPS
from offload_fuzz.plan import FREEDOMS, PLAIN, ROLES, Key, Plan, check_plan, describe, sites
from offload_fuzz.program import Builder, Program
from offload_fuzz.types import ArrayType
from offload_fuzz.wellformed import check_program

from ..programs import random_program

F23, F32 = ArrayType("float32", (2, 3)), ArrayType("float32", (3, 2))


def example() -> Program:
    """Two inputs and six nodes: enough for a window that shows only a part."""
    b = Builder()
    x, y = b.input(np.ones((2, 3), np.float32)), b.input(np.zeros((2, 3), np.float32))
    v2 = b.apply("add", x, y)
    v3 = b.apply("permute_dims", v2, axes=(1, 0))
    v4 = b.apply("matmul", v2, v3)
    v5 = b.apply("sum", v4, axis=(0,), keepdims=False)
    v6 = b.apply("negative", v5)
    v7 = b.apply("sqrt", v6)
    return b.returns(v7, v4)


def with_node(at: int, **changes: object) -> Program:
    """The example with a node changed, its value number being `at`."""
    program = example()
    nodes = [evolve(n, **changes) if v == at else n for v, n in program.numbered()]  # type: ignore[arg-type]
    return Program(program.inputs, tuple(nodes), program.outputs)


# ------------------------------------------------------------------------------------------------------- well formed
def test_what_the_builder_makes_is_well_formed() -> None:
    check_program(example())
    rng = random.Random(11)
    for _ in range(200):
        check_program(random_program(rng, size=rng.randint(1, 8)))


def test_an_error_shows_the_node_in_a_window_of_the_program() -> None:
    with pytest.raises(InvalidProgram) as caught:
        check_program(with_node(4, type=F23))
    assert str(caught.value) == (
        "v4 has type float32[2,3] but should be float32[2,2] [v4: float32[2,3] = matmul v2, v3]\n"
        "  v2: float32[2,3] = add v0, v1\n"
        "  v3: float32[3,2] = permute_dims v2, axes=(1, 0)\n"
        "> v4: float32[2,3] = matmul v2, v3\n"
        "  v5: float32[2] = sum v4, axis=(0,), keepdims=False\n"
        "  v6: float32[2] = negative v5"
    )


def test_a_window_at_the_end_of_the_program_is_cut_off_there() -> None:
    with pytest.raises(InvalidProgram) as caught:
        check_program(with_node(7, operands=(7,)))
    assert str(caught.value) == (
        "v7 uses v7 but should use values before it [v7: float32[2] = sqrt v7]\n"
        "  v5: float32[2] = sum v4, axis=(0,), keepdims=False\n"
        "  v6: float32[2] = negative v5\n"
        "> v7: float32[2] = sqrt v7"
    )


@pytest.mark.parametrize(
    ("at", "changes", "message"),
    [
        (2, {"operands": (0, 5)}, "v2 uses v5 but should use values before it [v2: float32[2,3] = add v0, v5]"),
        (2, {"operands": (-1, 0)}, "v2 uses v-1 but should use values before it [v2: float32[2,3] = add v-1, v0]"),
        (2, {"operands": (0,)}, "add takes 2 operands but got 1 [v2: float32[2,3] = add v0]"),
        (2, {"operands": (0, 1, 0)}, "add takes 2 operands but got 3 [v2: float32[2,3] = add v0, v1, v0]"),
        (
            2,
            {"op": "bitwise_and"},
            "bitwise_and takes bool or integral operands but got float32[2,3] [v2: float32[2,3] = bitwise_and v0, v1]",
        ),
        (
            2,
            {"op": "where", "operands": (0, 0, 1)},
            "where takes a bool here but got float32[2,3] [v2: float32[2,3] = where v0, v0, v1]",
        ),
        (
            3,
            {"attributes": {}},
            "permute_dims takes attributes (axes) but got () [v3: float32[3,2] = permute_dims v2]",
        ),
        (
            3,
            {"attributes": {"axes": (1, 0), "axis": 0}},
            "permute_dims takes attributes (axes) but got (axes, axis) "
            "[v3: float32[3,2] = permute_dims v2, axes=(1, 0), axis=0]",
        ),
        (
            3,
            {"attributes": {"axes": [1, 0]}},
            "permute_dims has axes=[1, 0] but should have a tuple of ints "
            "[v3: float32[3,2] = permute_dims v2, axes=[1, 0]]",
        ),
        (
            3,
            {"attributes": {"axes": (1, 1)}},
            "axes is (1, 1) but should order 0..1 [v3: float32[3,2] = permute_dims v2, axes=(1, 1)]",
        ),
        (
            4,
            {"operands": (2, 2)},
            "matmul contracts 3 with 2 in float32[2,3] @ float32[2,3] [v4: float32[2,2] = matmul v2, v2]",
        ),
        (
            5,
            {"attributes": {"axis": (0,), "keepdims": 0}},
            "sum has keepdims=0 but should have True or False [v5: float32[2] = sum v4, axis=(0,), keepdims=0]",
        ),
        (
            5,
            {"attributes": {"axis": (0, -2), "keepdims": False}},
            "axis is (0, -2) but should name each axis once [v5: float32[2] = sum v4, axis=(0, -2), keepdims=False]",
        ),
        (
            5,
            {"attributes": {"axis": (2,), "keepdims": False}},
            "axis is 2 but should be in [-2, 2) [v5: float32[2] = sum v4, axis=(2,), keepdims=False]",
        ),
    ],
)
def test_a_node_that_is_not_well_formed_is_refused(at: int, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidProgram) as caught:
        check_program(with_node(at, **changes))
    first, *shown = str(caught.value).split("\n")
    assert first == message
    assert [line for line in shown if line.startswith("> ")] == [f"> {message[message.index('[v') + 1 : -1]}"]


def test_an_unknown_op_is_refused_naming_the_nearest_and_load() -> None:
    with pytest.raises(UsageError) as caught:
        check_program(with_node(2, op="addd"))
    assert str(caught.value).endswith("[v2]; did you mean 'add'? A custom op needs --load FILE|MODULE.")
    assert str(caught.value).startswith("op is 'addd' but should be one of a")
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ((), "program returns nothing but should return at least one value [return]"),
        ((8,), "program returns v8 but should return one of v0..v7 [return]"),
        ((0, -1), "program returns v-1 but should return one of v0..v7 [return]"),
    ],
)
def test_a_program_that_returns_what_is_not_there_is_refused(outputs: tuple[int, ...], message: str) -> None:
    program = example()
    with pytest.raises(InvalidProgram) as caught:
        check_program(Program(program.inputs, program.nodes, outputs))
    assert str(caught.value) == message


def test_long_lines_of_a_message_are_cut() -> None:
    with pytest.raises(InvalidProgram) as caught:
        check_program(with_node(3, attributes={"axes": tuple(range(100_000))}))
    assert max(map(len, str(caught.value).split("\n"))) <= 240


ODD: tuple[object, ...] = (
    None, True, 1.5, "x", -7, 10**30, (), ((),), ("a",), [0], {}, {0}, ((0, 1, 0),), (2,) * 65
)  # fmt: skip  # one row


@pytest.mark.parametrize("op", [name for name, row in OPS.items() if row.attributes])
def test_no_attribute_value_crashes_a_type_rule(op: str) -> None:
    rng = random.Random(op)
    program = random_program(rng, [op], 1)
    (node,) = program.nodes
    for name in node.attributes:
        for value in ODD:
            changed = evolve(node, attributes={**node.attributes, name: value})
            with suppress(InvalidProgram):  # None and () are lawful for some
                check_program(Program(program.inputs, (changed,), (0,)))


# ----------------------------------------------------------------------------------------------------------- builder
def test_the_builder_refuses_an_input_after_a_node() -> None:
    b = Builder()
    b.apply("abs", b.input(np.zeros(1)))
    with pytest.raises(InvalidProgram) as caught:
        b.input(np.zeros(1))
    assert str(caught.value) == "inputs come before nodes; add the input first"


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "message"),
    [
        ("abs", (1,), {}, "operand is v1 but should be one of v0..v0"),
        ("abs", (-1,), {}, "operand is v-1 but should be one of v0..v0"),
        ("abs", (True,), {}, "operand is vTrue but should be one of v0..v0"),
        ("abs", (), {}, "abs takes 1 operands but got 0"),
        ("sum", (0,), {"axis": None}, "sum takes attributes (axis, keepdims) but got (axis)"),
        ("sum", (0,), {"axis": 0, "keepdims": False}, "axis is 0 but should be None or a tuple of ints"),
        ("sort", (0,), {"axis": 1}, "axis is 1 but should be in [-1, 1)"),
        ("reshape", (0,), {"shape": (4,)}, "reshape keeps the number of elements, got float64[3] to (4,)"),
        ("broadcast_to", (0,), {"shape": (2, 4)}, "shapes (3,), (2, 4) do not broadcast"),
        ("logical_not", (0,), {}, "logical_not takes bool operands but got float64[3]"),
        ("matmul", (0, 0), {}, "matmul takes matrices, got float64[3] and float64[3]"),
        ("squeeze", (0,), {"axis": (0,)}, "squeeze takes axes of length 1, got axis=(0,) of float64[3]"),
        (
            "getitem",
            (0,),
            {"index": ()},
            "index is () but should have one (start, stop, step) for each axis of (3,), no",
        ),
    ],
)
def test_the_builder_refuses_a_node(
    op: str, operands: tuple[int, ...], attributes: dict[str, object], message: str
) -> None:
    b = Builder()
    b.input(np.zeros(3))
    with pytest.raises(InvalidProgram) as caught:
        b.apply(op, *operands, **attributes)
    assert str(caught.value).startswith(message)
    assert b.nodes == []


def test_the_builder_refuses_to_return_nothing_or_what_is_not_there() -> None:
    b = Builder()
    v = b.input(np.zeros(1))
    with pytest.raises(InvalidProgram) as caught:
        b.returns()
    assert str(caught.value) == "a program returns at least one value"
    with pytest.raises(InvalidProgram) as caught:
        b.returns(v, 1)
    assert str(caught.value) == "returned value is v1 but should be one of v0..v0"


def test_inputs_are_read_only_copies() -> None:
    data = np.arange(6.0).reshape(2, 3).T
    b = Builder()
    program = b.returns(b.input(data))
    data[:] = 9
    (kept,) = program.inputs
    assert kept.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert kept.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1


def test_programs_are_equal_when_every_bit_is() -> None:
    def one(x: float, axis: int = 0) -> Program:
        b = Builder()
        return b.returns(b.apply("sort", b.input(np.array([x, np.nan])), axis=axis))

    assert one(0.0) == one(0.0)
    assert hash(one(0.0)) == hash(one(0.0))
    assert one(0.0) != one(-0.0)
    assert one(0.0) != one(0.0, -1)
    assert one(0.0) != "program"


# -------------------------------------------------------------------------------------------------------------- plans
def test_the_plain_plan_fits_every_program() -> None:
    check_plan(example(), PLAIN, 0)


def test_every_choice_that_is_not_plain_fits_every_site_of_its_scope() -> None:
    program = example()
    for freedom in FREEDOMS.values():
        found = list(sites(program, freedom.scope))
        assert found
        for choice in freedom.choices[1:]:
            plan = Plan({(freedom.name, site): choice for site in found})
            check_plan(program, plan, len(ROLES) - 1)
            assert [key for key, _ in plan.non_plain()] == [(freedom.name, site) for site in sorted(found)]
            assert all(describe(program, key, c) for key, c in plan.non_plain())
            assert plan.without(*plan.choices) == PLAIN


@pytest.mark.parametrize(
    ("key", "choice", "message"),
    [
        (
            ("devise", (2,)),
            1,
            f"freedom is 'devise' but should be one of {', '.join([*FREEDOMS][:12])}",
        ),
        (("device", (0,)), 1, "plan chooses device at (0,), which is no node of the program"),
        (("device", (8,)), 1, "plan chooses device at (8,), which is no node of the program"),
        (("device", ()), 1, "plan chooses device at (), which is no node of the program"),
        (("layout", (2, 2)), "strided", "plan chooses layout at (2, 2), which is no operand of the program"),
        (("layout", (8, 0)), "strided", "plan chooses layout at (8, 0), which is no operand of the program"),
        (("transfer", (8, 2)), "async", "plan chooses transfer at (8, 2), which is no edge of the program"),
        (("sync", (2,)), "minimal", "plan chooses sync at (2,), which is no schedule of the program"),
        (("device", (2,)), 8, "choice of device is 8 but should be one of 0, 1, 2, 3, 4, 5, 6, 7 [plan, at (2,)]"),
        (
            ("device", (2,)),
            True,
            "choice of device is True but should be one of 0, 1, 2, 3, 4, 5, 6, 7 [plan, at (2,)]",
        ),
        (("reuse", (2,)), 1, "choice of reuse is 1 but should be one of False, True [plan, at (2,)]"),
        (
            ("transfer", (2, 0)),
            "asynch",
            "choice of transfer is 'asynch' but should be one of blocking, async, shared [plan, at (2, 0)]; "
            "did you mean 'async'?",
        ),
        (("device", (2,)), 0, "plan states the plain choice of device at (2,); leave it out"),
        (("device", (2,)), 3, "plan places v2 on d2 but the case has 2 device role(s)"),
    ],
)
def test_a_choice_that_is_not_in_the_table_is_refused(key: Key, choice: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_plan(example(), Plan({key: choice}), 2)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_choice_reads_as_a_phrase() -> None:
    program = example()
    assert describe(program, ("device", (2,)), 2) == "v2: on d1"
    assert describe(program, ("transfer", (2, 1)), "async") == "v2: v1 crosses async"
    assert describe(program, ("transfer", (8, 0)), "async") == "return: v7 crosses async"
    assert describe(program, ("sync", ()), "minimal") == "minimal synchronisation"
