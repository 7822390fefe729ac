"""What is said without a command, and at once: nothing is imported for it, neither cyclopts nor the commands."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from eqverify import __version__

NAME = "eqverify"
COMMANDS = {
    "demo": "Reduce the shipped example, check the result, and draw it.",
    "info": "Print what a network and a property hold, and what of them is supported.",
    "stability": "Print which ReLU units are stable on the property's inputs, layer by layer.",
    "bounds": "Write proved ranges and signs of all ReLU units and ranges of the outputs, for other programs.",
    "reduce": "Write a smaller network that is proved equivalent on the property's inputs, or one for each part of "
    "the question.",
    "passes": "List the passes that eqverify reduce --passes knows, those of other packages too.",
    "check": "Verify a certificate, or the proof of a verdict, with code that shares nothing with the prover.",
    "verify": "Decide whether an input satisfies a property: prints sat, unsat, unknown or timed-out, then the "
    "assignment.",
    "supports": 'Print one capability, as the VNN-LIB 2 standard asks for it (its section "The supports command").',
    "bench": "Run verify on lists of instances; a sweep that was interrupted goes on where it was.",
    "regions": "Count the linear regions of the network on the property's inputs.",
    "shallow": "Write a network with two hidden layers that is exact inside the linear regions: an approximation.",
    "equiv": "Say whether two networks are equivalent on the inputs of a property: up to epsilon, or in their largest "
    "output.",
    "completion": "Print a script that makes a shell complete commands and options.",
}
"""Each command and how its own help begins."""

FLAGS = {
    "--help, -h": "This page; after a command, all about that command.",
    "--version": "The version.",
    "--name": "The name of the program (the VNN-LIB 2 standard asks for that).",
}


def told(words: Sequence[str]) -> bool:
    """Print what is asked for where no command is: help, which is also for no words at all, the version or the name."""
    if not words or words[0] in ("--help", "-h"):
        print(_help())
    elif list(words) == ["--version"]:
        print(__version__)
    elif list(words) == ["--name"]:
        print(NAME)
    else:
        return False
    return True


def _help() -> str:
    width = max(shutil.get_terminal_size().columns, 40)
    head = "Verified reduction of ReLU networks: fewer ReLUs, proved equivalent on the property's inputs."
    lines = [f"Usage: {NAME} COMMAND [OPTIONS]", "", *textwrap.wrap(head, width)]
    for title, entries in (("Commands", COMMANDS), ("Options", FLAGS)):
        lines += ["", f"{title}:"]
        for name, text in entries.items():
            lines += textwrap.wrap(text, width, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)
    return "\n".join(lines)
