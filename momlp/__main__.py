"""`python -m momlp` is the `momlp` command."""

from theory.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
