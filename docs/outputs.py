"""Runs the blocks of docs/ and of the README, each page in a folder of its own, and writes what they print.

    python docs/outputs.py            # writes outputs into the pages
    python docs/outputs.py --check    # says which would change; numbers may, since machines and times differ

A block `python` is executed, with the names of those before it; a block `text` behind it is what it printed.  In a
block `console` each line that begins with `$ eqverify` is a command, what follows until the next is its output.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eqverify.cli.main import run

FOLDER = Path(__file__).parent
BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = (*sorted(FOLDER.glob("*.md")), FOLDER.parent / "README.md")
WIDTH = "130"


def renewed(page: str) -> str:
    """A page with the outputs that its blocks have now; runs in the current folder."""
    names: dict[str, object] = {}
    printed = ""

    def renew(block: re.Match[str]) -> str:
        nonlocal printed
        kind, body = block.groups()
        if kind == "python":
            with shown() as out:
                exec(compile(body, "page", "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            body = printed
        else:
            body = "".join(map(commanded, re.findall(r"^\$ eqverify (.*)$", body, re.MULTILINE)))
        return f"```{kind}\n{body}```"

    return BLOCK.sub(renew, page)


def commanded(words: str) -> str:
    """A command and what it prints, but for progress on slow machines; the status too, where it is not 0."""
    with shown() as out:
        status = run(shlex.split(words))
    ending = f"(exit status {status})\n" if status else ""
    lines = [line.rstrip() + "\n" for line in out.getvalue().splitlines() if not line.startswith("eqverify: ")]
    return f"$ eqverify {words}\n{''.join(lines)}{ending}"


@contextlib.contextmanager
def shown() -> Iterator[io.StringIO]:
    """What is printed to stdout and stderr meanwhile."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield out


def words_of(page: str) -> str:
    """A page without what may differ from machine to machine: numbers, rules and widths."""
    return re.sub(r"[\s─-]+", " ", re.sub(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", "#", page))


def main() -> int:
    """Renew or check all pages; the number of those that differ."""
    parser = argparse.ArgumentParser(description="Run the blocks of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("pages", nargs="*", type=Path, help="all by default")
    arguments = parser.parse_args()
    os.environ["COLUMNS"] = WIDTH
    differing = 0
    for path in arguments.pages or PAGES:
        page, here = path.read_text("utf-8"), Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                new = renewed(page)
            finally:
                os.chdir(here)
        if arguments.check and words_of(new) != words_of(page):
            differing += 1
            print(f"{path} differs from what its blocks print now", file=sys.stderr)
        elif not arguments.check:
            path.write_text(new, "utf-8")
    return differing


if __name__ == "__main__":
    sys.exit(main())
