"""The command line.  Results go to stdout, diagnostics and progress to stderr."""

from eqverify.cli import supervision

with supervision.loading():
    from eqverify.execution import use_one_thread

    use_one_thread()  # before anything loads numpy

    from eqverify.cli.main import main

__all__ = ["main"]
