"""The HTML report: it asks for nothing, works by keyboard, tells nothing by colour alone, and shows texts as texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from offload_fuzz.report.formats import render
from offload_fuzz.report.html import script_hash
from offload_fuzz.report.picture import picture

from .reports import hostile, many, stored


class Page(HTMLParser):
    """The tags of a page, with their attributes; fails where they do not nest."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


@pytest.fixture(params=["two", "empty", "known", "hostile", "many"])
def page(request: pytest.FixtureRequest) -> Page:
    datas: dict[str, Callable[[], dict[str, Any]]] = {"hostile": hostile, "many": lambda: many(20)}
    data = datas[request.param]() if request.param in datas else stored(request.param)
    return Page(render("html", data))


def test_the_page_asks_for_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "strong", "code", "div",
        "pre", "button", "main", "table", "thead", "tbody", "tr", "th", "td", "ol", "ul", "li", "article", "details",
        "summary", "span", "br", "dl", "dt", "dd", "script", "svg", "defs", "marker", "path", "rect", "text", "g",
        "polygon",
    }  # fmt: skip  # tags, none of which loads anything without one of these attributes
    for tag, attributes in page.tags:
        assert not attributes.keys() & {"src", "srcset", "style", "action", "data", "poster", "background"}
        assert not [name for name in attributes if name.startswith("on")]
        if "href" in attributes:
            assert (tag, (attributes["href"] or "")[0]) == ("a", "#")
    (style,) = [text for tag, text in page.texts if tag == "style"]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")


def test_the_only_script_is_the_one_that_the_policy_names(page: Page) -> None:
    (script,) = [text for tag, text in page.texts if tag == "script"]
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src '{script_hash(script)}'" in str(policy)


def test_ids_are_unique_and_what_refers_to_one_finds_it(page: Page) -> None:
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len({*ids}) == len(ids)
    for _, a in page.tags:
        for name in ("aria-labelledby", "data-copy"):
            assert a.get(name) is None or a[name] in ids
        for name in ("href", "marker-end"):
            assert a.get(name) is None or str(a[name]).removeprefix("url(").rstrip(")")[1:] in ids


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    for tag, a in page.tags:
        if "scroll" in (a.get("class") or "").split():
            assert (a["tabindex"], a["role"]) == ("0", "region")
            assert a["aria-label"]
        if tag == "pre":
            assert a["tabindex"] == "0"
        if tag == "svg":
            assert a["role"] == "img"
    assert any(a.get("href") == "#main" for _, a in page.tags)


def test_nothing_is_told_by_colour_alone() -> None:
    text = render("html", stored("two"))
    assert re.search(r'<g class="divergent">.*?<polygon .*?>\u25c6 first divergence</text>', text, re.DOTALL)
    cells = re.findall(r'<td class="s\d"[^>]*>(.*?)</td>', text)
    assert cells
    assert all(cells)
    assert "prefers-color-scheme: dark" in text
    assert "<strong>Failed:</strong>" in text
    assert "<strong>Not passed:</strong>" in render("html", stored("empty"))


def test_the_page_has_the_whole_finding() -> None:
    text = render("html", stored("two"))
    for part in (
        "<td>2 ulps: representable numbers from the nearest that is allowed</td>",
        "<code>14.0000019 (0x41600002, 0x1.c00004p+3)</code>",
        "<td>2 of 30 runs: flaky</td>",
        "<td><code>v1: v0 laid out strided</code></td><td>it passes</td>",
        "offload-fuzz replay .offload-fuzz/findings/F518fa02a.offload.json</pre><button",
        '<th scope="row">numpy</th><td>2.4.6</td>',
        "minimal synchronisation; run 2 times",
        "None: nothing was held back, every finding counts.",
        "<dt><strong>ops that features rule out</strong></dt>\n<dd>d1: abs</dd>",
    ):
        assert part in text, part


def test_hostile_texts_stay_texts_on_the_page() -> None:
    page = Page(render("html", hostile()))
    told = "".join(text for tag, text in page.texts if tag not in ("script", "style"))
    assert told.count("<script>alert(1)</script>") > 50
    assert "{{ 7*7 }}" in told


def test_nothing_covers_anything_in_the_picture() -> None:
    for finding in stored("two")["findings"]:
        drawn = picture(finding["graph"])
        boxes = sorted(drawn["boxes"], key=lambda b: b["y"])
        for above, below in pairwise(boxes):
            assert above["y"] + above["height"] < below["row"] + 8
        for box in boxes:
            inside = [x for x in drawn["lanes"] if x["x"] < box["x"] and box["x"] + box["width"] < x["x"] + x["width"]]
            assert len(inside) == 1
            assert box["y"] + box["height"] < drawn["height"]
        for label in drawn["labels"]:
            assert not any(b["y"] <= label["y"] + 4 <= b["y"] + b["height"] for b in boxes)
