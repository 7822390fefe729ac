"""`python -m eqverify`."""

from eqverify.cli import main

if __name__ == "__main__":
    main()
