"""The HTML report in a real browser, where there is one: its script runs, and its policy blocks nothing of its own.

A browser that is missing is a skip that says so; with `--require-browser` it is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from offload_fuzz.report.formats import render

from .reports import stored

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
MISSING = f"no browser: none of {', '.join(BROWSERS)} is on the path, and OFFLOAD_FUZZ_BROWSER does not name one"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0",
           "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")  # fmt: skip  # one list


@pytest.fixture(scope="module")
def browser(pytestconfig: pytest.Config) -> str:
    """The path of a browser of the Chromium family."""
    found = os.environ.get("OFFLOAD_FUZZ_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if pytestconfig.getoption("--require-browser"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


def opened(browser: str, page: Path, folder: Path, *options: str) -> tuple[str, str]:
    """What the page's tree is once its script has run, and what the browser's console says."""
    command = [browser, *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


@pytest.mark.parametrize("name", ["two", "empty"])
def test_the_page_opens_its_script_runs_and_the_console_is_silent(browser: str, name: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render("html", stored(name)), encoding="utf-8")
    tree, console = opened(browser, page, tmp_path)
    assert console == ""
    buttons = re.findall(r"<button[^>]*>", tree)
    assert len(buttons) == 1 + len(stored(name)["findings"])
    assert not [button for button in buttons if "hidden" in button], "the script did not run"
    assert tree.rstrip().endswith("</html>")


#: What a reader may look at: name -> options of the browser.
LOOKS = {
    "light": ("--window-size=900,1600",),
    "dark": ("--window-size=900,1600", "--blink-settings=preferredColorScheme=0"),
    "narrow": ("--window-size=500,2400",),
}


def pixels(png: bytes) -> np.ndarray[Any, Any]:
    """uint8[height, width, 3 or 4] of an 8-bit PNG (RGB or RGBA) that is not interlaced, as browsers write it."""
    at, data, head = 8, b"", b""
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + size]
        head, data, at = (body if kind == b"IHDR" else head), (data + body if kind == b"IDAT" else data), at + 12 + size
    width, height, bits, colour, *_, interlaced = struct.unpack(">IIBBBBB", head)
    assert (bits, interlaced) == (8, 0)
    samples = {2: 3, 6: 4}[colour]
    raw, line = zlib.decompress(data), width * samples
    out = bytearray()
    above = bytearray(samples + line)  # a pixel of zeros before each row
    for y in range(height):
        sort, row = raw[y * (line + 1)], bytearray(samples) + raw[y * (line + 1) + 1 : (y + 1) * (line + 1)]
        for i in range(samples, samples + line) if sort else ():
            before, up, corner = row[i - samples], above[i], above[i - samples]
            near = (before, up, (before + up) // 2)[sort - 1] if sort < 4 else _paeth(before, up, corner)
            row[i] = (row[i] + near) & 255
        out += row[samples:]
        above = row
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, samples)


def _paeth(before: int, up: int, corner: int) -> int:
    """Whichever is nearest to before + up - corner, the first of equals: PNG, section 9.4."""
    far = (abs(up - corner), abs(before - corner), abs(before + up - 2 * corner))
    return (before, up, corner)[far.index(min(far))]


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_drawn_light_and_dark_and_narrow(browser: str, look: str, tmp_path: Path) -> None:
    """The picture is kept below OFFLOAD_FUZZ_SCREENSHOTS, where that names a folder: whoever changes it looks at it."""
    page, shot = tmp_path / "report.html", tmp_path / f"{look}.png"
    page.write_text(render("html", stored("two")), encoding="utf-8")
    opened(browser, page, tmp_path, *LOOKS[look], "--hide-scrollbars", f"--screenshot={shot}")
    drawn = pixels(shot.read_bytes())[..., :3]
    if folder := os.environ.get("OFFLOAD_FUZZ_SCREENSHOTS"):
        shutil.copy(shot, folder)
    assert drawn.shape[1] == int(LOOKS[look][0].partition("=")[2].partition(",")[0])
    assert (drawn[5, 5].mean() < 64) == (look == "dark")
    assert len(np.unique(drawn[::4, ::4].reshape(-1, 3), axis=0)) > 20, "the page is blank"
    edge = drawn[:, -4:]  # nothing runs over the edge: it has the colour of the page from top to bottom
    assert (edge == drawn[5, 5]).all()


#: Hosts that the browser asks of its own accord; none of them is resolved here.
OWN = ("google.com", "googleapis.com", "gvt1.com")


def asked(browser: str, page: Path, folder: Path) -> set[str]:
    """The addresses that the browser asks for while the page is open, but for those of its own."""
    log = folder / "net.json"
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
    opened(browser, page, folder, *quiet, f"--log-net-log={log}")
    found = set(re.findall(r'"url":"([^"]+)"', log.read_text(encoding="utf-8", errors="replace")))
    return {url for url in found if not (urlsplit(url).hostname or "").endswith(OWN)}


def test_the_page_asks_for_nothing_and_one_that_does_is_noticed(browser: str, tmp_path: Path) -> None:
    page, text = tmp_path / "report.html", render("html", stored("two"))
    page.write_text(text, encoding="utf-8")
    assert asked(browser, page, tmp_path) <= {page.as_uri()}
    address = "http://127.0.0.1:9/asked.png"
    loads = text.replace("Content-Security-Policy", "none").replace("</main>", f'<img src="{address}" alt=""></main>')
    page.write_text(loads, encoding="utf-8")
    assert address in asked(browser, page, tmp_path)


def test_a_script_that_is_not_ours_does_not_run(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = render("html", stored("empty"))
    page.write_text(text.replace("</main>", "</main><script>document.title = 'taken'</script>"), encoding="utf-8")
    tree, console = opened(browser, page, tmp_path)
    assert "<title>taken</title>" not in tree
    assert "Content Security Policy" in console
