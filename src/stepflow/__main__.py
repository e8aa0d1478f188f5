"""`python -m stepflow`: the command line."""

from stepflow.cli import console

if __name__ == "__main__":
    console()
