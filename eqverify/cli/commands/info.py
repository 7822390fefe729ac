"""`eqverify info`."""

from __future__ import annotations

from pathlib import Path

from eqverify.cli.commands.shared import Json, print_json


def info(network: Path, query: Path | None = None, /, *, json: Json = False) -> None:
    """Print what a network and a property hold, and what of them is supported.

    For example

        eqverify info NET.onnx PROP.vnnlib

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    json:
        Print one JSON object instead of text.
    """
    from eqverify.cli import render
    from eqverify.cli.description import describe_network, describe_query
    from eqverify.reading import Reading

    pairs = describe_network(network, query) + (describe_query(query) if query is not None else [])
    if json:
        found = {_key(name): value.as_dict() if isinstance(value, Reading) else value for name, value in pairs}
        print_json("info", found)
    else:
        render.print_pairs(pairs)


def _key(name: str) -> str:
    """A name of a line as a key of an object."""
    return name.lower().replace(" ", "_")
