"""Loaded by the process that `eqverify.bench.warm` branches runs off; loading it takes as long as a verdict."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from eqverify.bench.warm import STDERR
from eqverify.cli.main import main, run
from eqverify.examples import example_files


def _warm_up() -> None:
    """Decide the shipped example, so that what a verdict needs is loaded."""
    network, query = example_files()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        run(["verify", str(query), "--network", f"={network}", "--workers", "1", "--json"])
    gc.collect()
    gc.freeze()  # what is shared with all runs is not looked at again, and so not copied


def branched(words: list[str], folder: str, output: str) -> None:
    """One command line, in a process that has branched off: a group of its own, stdout and stderr in files."""
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.dup2(os.open(STDERR, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    main(words)


_warm_up()
