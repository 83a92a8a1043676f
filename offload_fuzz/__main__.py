"""`python -m offload_fuzz`: the command line."""

import sys

from offload_fuzz.cli import main

if __name__ == "__main__":
    sys.exit(main())
