"""The HTML report in a real browser, where there is one: its script runs, and its policy blocks nothing of its own.

A browser that is missing is a skip that says so; with `--require-browser` it is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offload_fuzz.report.formats import render

from .reports import stored

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
MISSING = f"no browser: none of {', '.join(BROWSERS)} is on the path, and OFFLOAD_FUZZ_BROWSER does not name one"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0")


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


def test_a_script_that_is_not_ours_does_not_run(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = render("html", stored("empty"))
    page.write_text(text.replace("</main>", "</main><script>document.title = 'taken'</script>"), encoding="utf-8")
    tree, console = opened(browser, page, tmp_path)
    assert "<title>taken</title>" not in tree
    assert "Content Security Policy" in console
