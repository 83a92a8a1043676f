"""Promises of the protocol itself: methods, their arguments, reset."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from offload_fuzz.campaign.conformance.bench import Bench, Violation, differs
from offload_fuzz.campaign.conformance.transfers import data
from offload_fuzz.device import OPTIONAL_METHODS


def methods(bench: Bench) -> Iterator[Violation]:
    """The required ones are there, or it would be no adapter; here those that features bring, and those unused."""
    f = bench.features
    if f.place is not None and not callable(getattr(bench.device, "place_of", None)):
        yield Violation("features['place']", "there is no method place_of()", "place_of(buffer) -> str")
    if bench.has_async and not f.streams:
        yield Violation("features['transfers']", "async without streams", "streams: 1 or more, to wait for them")
    unused = [
        m for feature, names in OPTIONAL_METHODS.items() for m in names
        if not getattr(f, feature) and callable(getattr(bench.device, m, None))
    ]  # fmt: skip  # one comprehension
    if unused:
        bench.notes.append(f"not declared, so not used: {', '.join(unused)}")


def arguments(bench: Bench) -> Iterator[Violation]:
    """Each method takes the arguments that the features bring."""
    for method, given, keywords in _calls(bench):
        function = getattr(bench.device, method, None)
        if not callable(function):
            continue  # named by `methods`
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # of a compiled function, which the other checks call
            continue
        try:
            signature.bind(*given, **keywords)
        except TypeError as error:
            call = ", ".join([*("..." for _ in given), *(f"{k}=" for k in keywords)])
            yield Violation(f"{method}{signature}", str(error), f"it can be called as {method}({call})")


def _calls(bench: Bench) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    f = bench.features
    yield "upload", (0,), bench.modes(0, True)
    if "shared" in f.transfers:
        yield "upload", (0,), {**bench.modes(0, True), "share": True}
    yield "download", (0,), bench.modes(0, True)
    yield "launch", (0, 0, 0), {**bench.modes(0), **({"out": 0} if f.in_place else {})}
    if f.donate:
        yield "launch", (0, 0, 0), {**bench.modes(0), "donate": 0}
    for kind, given in (("upload", (0,)), ("copy", (0, 0))):
        if kind in f.destination:
            yield kind, given, {**bench.modes(0, True), "destination": "strided"}
    if f.pinned:
        yield "pinned", (0,), {}
        yield "upload", (0,), {**bench.modes(0, True), "pinned": True}
    for kind, given in (("upload", (0,)), ("download", (0,)), ("copy", (0, 0))):
        if kind in f.chunks:
            yield kind, given, {**bench.modes(0, True), "chunks": (0, (0, 1, 2))}
    if f.export:
        yield "download", (0,), {**bench.modes(0, True), "share": True}
    if "download" in f.destination:
        yield "download", (0,), {**bench.modes(0, True), "into": 0}
    if f.update:
        yield "launch", (0, 0, 0), {**bench.modes(0), "update": 0}
    if f.peers is not None:
        yield "copy", (0, 0), bench.modes(0, True)
    if f.streams:
        yield "record", (0,), {}
        yield "wait", (0, 0), {}
        yield "synchronize", (), {}
        yield "synchronize", (), {"stream": 0}
        yield "synchronize", (), {"event": 0}
    if f.delay:
        yield "delay", (0,), {}
    if f.compile:
        yield "launch_compiled", (0, 0, 0), bench.modes(0)
    if f.release:
        yield "release", (0,), {"stream": 0}
    if f.place is not None:
        yield "place_of", (0,), {}


def reset(bench: Bench) -> Iterator[Violation]:
    x = data(bench.dtypes[0], (3,))
    for seed in (0, 1, 2**31, 0):
        bench.call("reset", seed)
        found = differs(f"after reset({seed})", bench.download(bench.upload(x)), np.array(x))
        if found:
            yield found
