"""The command line.  Results go to stdout, diagnostics and progress to stderr."""

from eqverify.cli.main import main

__all__ = ["main"]
