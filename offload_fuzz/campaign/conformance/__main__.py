"""The process in which a device is checked: reads a job from standard input, writes records to its standard output."""

from __future__ import annotations

import os
import sys

from offload_fuzz.campaign.conformance.judge import serve


def main() -> None:
    """Serve one job. What a backend prints goes to standard error, so that the records stay clean."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def send(text: str) -> None:
        out.write(text + "\n")

    serve(sys.stdin.readline(), send)


if __name__ == "__main__":
    main()
