"""A checker of result files, from the text of the competition's rules of 2026 and of the standard: nothing of eqverify.

The first line is ``sat``, ``unsat``, ``unknown``, ``timeout`` or ``error``.  Behind ``sat`` is the assignment: for
version 1.0 ``((X_0 v) ... (Y_0 v) ...)``, for version 2 a line ``NAME TYPE [SHAPE]`` and the values, one a line, of
each tensor in the order of its declaration.  It counts without tolerance: inputs are numbers of the type within what
is asserted, and with the outputs that onnxruntime computes there all assertions hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import onnxruntime
import vnnlib

WORDS = ("sat", "unsat", "unknown", "timeout", "error")
_ELEMENTS = {"f32": "float32", "f64": "float64", "real": "real"}
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class WrongError(Exception):
    """What is wrong with a file."""


def judge(result: Path, query: Path, networks: dict[str, Path]) -> str:
    """The first word, once the file is right.

    Args:
        result: the file.
        query: the property.
        networks: by name; for version 1.0 the only one.

    Raises:
        WrongError: it is not.
    """
    word, *rest = result.read_text().splitlines()
    if word not in WORDS:
        raise WrongError(f"no such result: {word}")
    if word != "sat":
        if rest:
            raise WrongError("something behind the result")
        return word
    text = query.read_text()
    second = "vnnlib-version" in text
    values = _version2(rest, query, networks) if second else _version1(rest, *networks.values())
    for assertion in re.finditer(r"\(assert\b", text):
        if not _holds(_tree(text[assertion.start() :])[1], values):
            raise WrongError(f"violated: {text[assertion.start() :].splitlines()[0]}")
    return word


def _run(path: Path, flat: list[Fraction]) -> list[Fraction]:
    session = onnxruntime.InferenceSession(str(path))
    feeds = {}
    for port in session.get_inputs():
        shape = [n if isinstance(n, int) else 1 for n in port.shape]
        own, flat = flat[: prod(shape)], flat[prod(shape) :]
        array = np.array([float(v) for v in own]).astype(_TYPES[port.type])
        if [Fraction(float(v)) for v in array] != own:
            raise WrongError(f"an input is no number of the type {port.type}")
        feeds[port.name] = array.reshape(shape)
    if flat:
        raise WrongError("more inputs than the model has")
    return [Fraction(float(v)) for output in session.run(None, feeds) for v in np.asarray(output).reshape(-1)]


def _version1(lines: list[str], path: Path) -> dict[str, Fraction]:
    text = "\n".join(lines)
    if not re.fullmatch(r"\((\([XY]_[0-9]+ [-+.0-9eE]+\)\s*)+\)\s*", text):
        raise WrongError("no list of values")
    pairs = re.findall(r"\(([XY]_[0-9]+) ([-+.0-9eE]+)\)", text)
    given = {name: Fraction(value) for name, value in pairs}
    inputs = [value for name, value in given.items() if name[0] == "X"]
    ran = _run(path, inputs)
    names = [f"X_{k}" for k in range(len(inputs))] + [f"Y_{k}" for k in range(len(ran))]
    if [name for name, _ in pairs] != names:
        raise WrongError("values are missing, or in another order")
    if [given[name] for name in names[len(inputs) :]] != ran:
        raise WrongError("these are not the outputs of a run")
    return given


def _version2(lines: list[str], query: Path, networks: dict[str, Path]) -> dict[str, Fraction]:
    values: dict[str, Fraction] = {}
    for network in vnnlib.parse_query_file(str(query)).networks:
        inputs = [v for tensor in network.inputs for v in _tensor(lines, tensor, values)]
        outputs = [v for tensor in network.outputs for v in _tensor(lines, tensor, values)]
        path = networks.get(network.name) or networks[network.equal_to]
        if _run(path, inputs) != outputs:
            raise WrongError(f"these are not the outputs of a run of {network.name}")
    if lines:
        raise WrongError("more tensors than are declared")
    return values


def _tensor(lines: list[str], tensor: vnnlib.InputDefinition, values: dict[str, Fraction]) -> list[Fraction]:
    shape = list(tensor.shape)
    head = f"{tensor.name} {_ELEMENTS[tensor.dtype.name.lower()]} [{','.join(map(str, shape))}]"
    if not lines or lines[0] != head:
        raise WrongError(f"expected {head}, found {lines[:1]}")
    own = [Fraction(line) for line in lines[1 : 1 + prod(shape)]]
    del lines[: 1 + prod(shape)]
    places = product(*map(range, shape))
    values.update({f"{tensor.name}[{','.join(map(str, at))}]": v for at, v in zip(places, own, strict=True)})
    return own


def _tree(text: str) -> list:
    """The first S-expression of a text."""

    def read(tokens: Iterator[str]) -> list:
        found: list = []
        for token in tokens:
            if token == ")":
                return found
            found.append(read(tokens) if token == "(" else token)
        return found

    tokens = iter(re.findall(r"[()]|[^\s()]+", text))
    next(tokens)
    return read(tokens)


def _holds(tree: list, values: dict[str, Fraction]) -> bool:
    head, *parts = tree
    if head in ("and", "or"):
        return (all if head == "and" else any)(_holds(part, values) for part in parts)
    first, second = (_number(part, values) for part in parts)
    return {
        "<=": first <= second,
        "<": first < second,
        ">=": first >= second,
        ">": first > second,
        "=": first == second,
        "==": first == second,
    }[head]


def _number(tree: list | str, values: dict[str, Fraction]) -> Fraction:
    if isinstance(tree, str):
        return values[tree] if tree in values else Fraction(tree)
    head, *parts = tree
    first, *rest = (_number(part, values) for part in parts)
    return {"+": first + sum(rest), "-": first - sum(rest) if rest else -first, "*": first * prod(rest)}[head]
