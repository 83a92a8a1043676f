"""Mutated files through the commands that read them: `python -m tests.files.mutants COMMAND COUNT SEED` in a folder.

One process takes all: its memory is limited (`RLIMIT_AS`), each file has its seconds, and starting a process, opening a
connection or importing what a file names is noted. It prints one JSON object: exit codes, what was wrong, the slowest
file, and the peak of memory in MiB.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import random
import re
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve

from offload_fuzz import cli
from offload_fuzz.case import dump_case
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_MISSING, EXIT_OK, EXIT_USAGE

from ..doors import EXAMPLE
from .cases import random_case
from .test_mutated_case_files import mutate_bytes, mutate_data

SNAPSHOTS = EXAMPLE.parent / "snapshots"
#: Address space of the process, seconds that one file may take, files made of one original.
MEMORY, SECONDS, EACH = 3 * 2**30, 20, 20
#: Names of code that a file may not bring in.
CODE = ("evil.py:Evil", "evil:Evil", "validating:evil.py:Evil", "array_api:evil", "pkg.evil:Evil")
EVIL = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass Evil: name = 'evil:0'\n"
#: Events of the interpreter that no file may cause.
WATCHED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")
ERRORS = (EXIT_USAGE, EXIT_MISSING)
RESULTS = (EXIT_OK, EXIT_FINDING, EXIT_INCONCLUSIVE)


# ------------------------------------------------------------------------------------------------------------- files
def originals(command: str, rng: random.Random) -> Callable[[int], str]:
    """The text that the i-th file is made from."""
    if command == "report":
        reports = [path.read_text(encoding="utf-8") for path in sorted(SNAPSHOTS.glob("*/report.json"))]
        return lambda i: reports[i % len(reports)]
    if command == "known-file":
        return lambda i: KNOWN
    known = {"id": "F518fa02a", "kind": "wrong value", "message": "v is wrong", "divergent": 0, "needs": []}
    kept: dict[int, str] = {}

    def case(i: int) -> str:
        if i // EACH not in kept:
            made = random_case(rng)
            devices = ("simulated:0", "simulated:1", "simulated:2")[: len(made.devices)]
            text = dump_case(evolve(made, devices=devices), known)
            failing = command == "shrink" or i // EACH % 4 == 0
            kept[i // EACH] = EXAMPLE.read_text(encoding="utf-8") if failing else text
        return kept[i // EACH]

    return case


KNOWN = """# known
[[issue]]
id = "F518fa02a"
expect = "fail"
reason = "strided uploads"
witness = "example.offload.json"
tracker = "T-1"
review = 2027-01-31
backend = "simulated"
versions = ">=0.0"
promises = ["layouts"]
"""


def mutated(rng: random.Random, text: str) -> bytes:
    """`text` with a place of its data, some of its bytes, a size, a key or a device changed."""
    sort = rng.randrange(6)
    if sort <= 1 and text.startswith("{"):
        data = json.loads(text)
        for _ in range(rng.randint(1, 2)):
            mutate_data(rng, data)
        text = json.dumps(data)
        return text.encode("utf-8") if sort else mutate_bytes(rng, text.encode("utf-8"))
    if sort == 2:  # a huge or negative number in place of one
        numbers = [*re.finditer(r"\d+", text)]
        at = rng.choice(numbers) if numbers else None
        huge = rng.choice(("0", "-1", "99999", "2147483648", str(2**63), "9" * 30, "1" * 4400, "1e400"))
        return (text[: at.start()] + huge + text[at.end() :] if at else text).encode("utf-8")
    if sort == 3:  # a key twice
        lines = text.split("\n")
        k = rng.randrange(len(lines))
        return "\n".join([*lines[: k + 1], lines[k], *lines[k + 1 :]]).encode("utf-8")
    if sort == 4:  # code where a device is
        return re.sub(r"simulated:\d[+\w]*", lambda m: rng.choice(CODE), text).encode("utf-8")
    return mutate_bytes(rng, text.encode("utf-8"))


# ----------------------------------------------------------------------------------------------------------- commands
def arguments(command: str, path: Path, i: int) -> list[str]:
    """The command line that reads the file at `path`."""
    if command == "replay":
        return ["replay", str(path), "--isolation", "inline"]
    if command == "show":
        return ["show", str(path), *(["--json"] if i % 2 else [])]
    if command == "shrink":
        return ["shrink", str(path), "--max-cases", "4", "-o", "small.offload.json"]
    if command == "export":
        to = ("script", "pytest", "issue")[i % 3]
        return ["export", str(path), "--to", to, "--no-verify"]
    if command == "report":
        return ["report", str(path), "--report", "terminal,json,junit,markdown,html,sarif", "--report-dir", "out"]
    return ["known", "verify", "--known", "known.toml", "--isolation", "inline"]


class TooLong(BaseException):
    """The time of one file is up; not an `Exception`, so that nothing takes it for an error of the file."""


def main(command: str, count: int, seed: int) -> None:
    """Run the command on `count` mutated files, in the working folder."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng = random.Random(f"{command} {seed}")
    events: list[str] = []
    Path("evil.py").write_text(EVIL, encoding="utf-8")
    sys.path.insert(0, ".")
    shutil.copy(EXAMPLE, "example.offload.json")
    Path("known.toml").write_text(KNOWN, encoding="utf-8")
    platform.platform()  # which asks `uname` in a process of its own, once
    sys.addaudithook(lambda event, given: events.append(event) if event in WATCHED else None)

    def late(number: int, frame: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, late)
    sort = "known-file" if command == "known" else command
    of = originals(sort, rng), originals("known", rng)
    codes: Counter[int] = Counter()
    problems: list[Any] = []
    slowest = 0.0
    for i in range(count):
        by_file = command != "known" or bool(i % 2)  # every other time the witness is what is mutated
        path = Path("x.offload.json" if command not in ("known", "report") else "report.json")
        if command == "known":
            path = Path("known.toml" if by_file else "example.offload.json")
            shutil.copy(EXAMPLE, "example.offload.json")
            Path("known.toml").write_text(KNOWN, encoding="utf-8")
        Path("small.offload.json").unlink(missing_ok=True)
        path.write_bytes(mutated(rng, of[not by_file](i)))
        code, told, seconds = run(arguments(command, path, i))
        slowest = max(slowest, seconds)
        codes[code] += 1
        wrong = problem(code, told) or (f"caused {events}" if events else "")
        if Path("ran").exists():
            wrong = "ran code"
        if wrong:
            keep = Path(f"problem-{len(problems)}-{path.name}")
            shutil.copy(path, keep)
            problems.append([str(keep.resolve()), wrong])
            events.clear()
        if len(problems) >= 10:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"codes": codes, "problems": problems, "slowest": round(slowest, 2), "peak": round(peak)}
    sys.stdout.write(json.dumps(found) + "\n")


def run(command: list[str]) -> tuple[int, tuple[str, str], float]:
    """(exit code, (output, errors), seconds); exit code -1 where the time was up."""
    out, err = io.StringIO(), io.StringIO()
    start = time.monotonic()
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(command)
    except TooLong:
        code = -1
    finally:
        signal.alarm(0)
    return code, (out.getvalue(), err.getvalue()), time.monotonic() - start


def problem(code: int, told: tuple[str, str]) -> str:
    """What is wrong with how a command ended, or nothing."""
    out, err = told
    if code not in RESULTS + ERRORS:
        return f"exit code {code}: {err[-400:]}"
    if "Traceback (most recent call last)" in out + err:
        return f"a traceback: {(out + err)[-400:]}"
    if code in ERRORS and not (err.strip() or "ERROR" in out):
        return f"exit code {code} without a word"
    if [line for line in err.splitlines() if not line.startswith("offload-fuzz: ")]:
        return f"more than one clear line: {err[-400:]}"
    return "" if len(err) < 4000 else f"an error of {len(err)} characters"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
