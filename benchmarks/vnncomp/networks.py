"""The networks of an instance, as `eqverify verify --network` wants them: NAME=FILE, one a line.

The competition names one network by its path, and those of a property about several by a Python list of pairs
``[('f', 'f.onnx'), ('g', 'g.onnx')]``.  Files may be stored with gzip under their name with ``.gz`` behind it.
"""

from __future__ import annotations

import ast
import os
import sys


def networks(argument: str) -> list[tuple[str, str]]:
    """(name, path) of each; one without a name stands for the only one that the property declares.

    Raises:
        ValueError: the argument is neither a path nor such a list.
    """
    if not argument.lstrip().startswith("["):
        return [("", argument)]
    try:
        pairs = [(name, path) for name, path in ast.literal_eval(argument.strip())]
    except (SyntaxError, TypeError) as error:
        raise ValueError(f"no list of names and paths: {argument}") from error
    if not pairs or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise ValueError(f"no list of names and paths: {argument}")
    return pairs


def stored(path: str) -> str:
    """The path of a file that can be read, the packed one where there is no other.

    Raises:
        ValueError: there is none.
    """
    for found in (path, f"{path}.gz"):
        if os.path.isfile(found) and os.access(found, os.R_OK):
            return found
    raise ValueError(f"cannot read {path}")


if __name__ == "__main__":
    try:
        for name, path in networks(sys.argv[1]):
            print(f"{name}={stored(path)}")
    except (ValueError, IndexError) as error:
        sys.exit(str(error))
