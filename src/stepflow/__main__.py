"""`python -m stepflow`: the command line."""

import sys

from stepflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
