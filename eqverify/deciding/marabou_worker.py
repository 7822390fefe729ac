"""The child process of the backend marabou: builds the query, solves it, and writes what Marabou says."""

from __future__ import annotations

import json
import pickle
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network import Affine, Network

_MEMORY = 8 << 30
_MARGIN = 1e-6
"""Rows may exceed 0 by so much times their scale: what is excluded is excluded despite Marabou's tolerances."""

Ranges = dict[str, tuple[FloatArray, FloatArray]]


def build(network: Network, ranges: Ranges, condition: bool) -> Any:
    """The query: one variable per component of each node, one equation per affine component.

    Args:
        network: of affine and ReLU nodes.
        ranges: proved bounds of all nodes.
        condition: whether outputs must be at most 0.
    """
    from maraboupy import MarabouCore

    query = MarabouCore.InputQuery()
    start, count = {}, 0
    for name, size in network.sizes.items():
        start[name], count = count, count + size
    query.setNumberOfVariables(count)
    for name, (lower, upper) in ranges.items():
        for index, (low, high) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True)):
            query.setLowerBound(start[name] + index, low)
            query.setUpperBound(start[name] + index, high)
    for node in network.plain_nodes:
        if isinstance(node, Affine):
            _add_affine(query, MarabouCore, node, start)
            continue
        for index in range(network.sizes[node.name]):
            MarabouCore.addReluConstraint(query, start[node.source] + index, start[node.name] + index)
    inputs = [start[port.name] + index for port in network.inputs for index in range(port.size)]
    outputs = [start[port.source] + index for port in network.outputs for index in range(port.size)]
    for index, variable in enumerate(inputs):
        query.markInputVariable(variable, index)
    for index, variable in enumerate(outputs):
        query.markOutputVariable(variable, index)
    if condition:
        for port in network.outputs:
            lower, upper = ranges[port.source]
            scale = np.maximum(np.abs(lower), np.abs(upper))
            for index in range(port.size):
                allowed = min(float(upper[index]), _MARGIN * max(1.0, float(scale[index])))
                query.setUpperBound(start[port.source] + index, allowed)
    return query


def _add_affine(query: Any, core: Any, node: Affine, start: dict[str, int]) -> None:
    matrices = [(start[term.source], term.map.dense()) for term in node.terms]
    for index, bias in enumerate(node.bias.tolist()):
        equation = core.Equation()
        equation.addAddend(-1.0, start[node.name] + index)
        coefficients: dict[int, float] = {}
        for first, matrix in matrices:
            for column in np.flatnonzero(matrix[index]).tolist():
                coefficients[first + column] = coefficients.get(first + column, 0.0) + float(matrix[index, column])
        for variable, coefficient in coefficients.items():
            equation.addAddend(coefficient, variable)
        equation.setScalar(-bias)
        query.addEquation(equation)


def solve(query: Any, seconds: float) -> tuple[str, dict[int, float]]:
    """Marabou's answer and values."""
    from maraboupy import MarabouCore

    options = MarabouCore.Options()
    options._timeoutInSeconds = max(1, int(seconds))
    options._verbosity = 0
    answer, values, _ = MarabouCore.solve(query, options, "")
    return str(answer), dict(values)


def main(task: Path) -> None:
    """Solve the task in a file, and write `result.json` beside it."""
    network, ranges, seconds = pickle.loads(task.read_bytes())  # written by our parent
    deadline = time.monotonic() + seconds
    answer, values = solve(build(network, ranges, condition=True), seconds)
    result: dict[str, Any] = {"answer": answer}
    try:
        result["version"] = version("maraboupy")
    except PackageNotFoundError:
        result["version"] = ""
    if answer == "sat":
        result["point"] = [values[index] for index in range(network.input_size)]
    if answer == "unsat":
        result["canary"], _ = solve(build(network, ranges, condition=False), deadline - time.monotonic())
    task.with_name("result.json").write_text(json.dumps(result))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # the system has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    _limit_memory()
    main(Path(sys.argv[1]))
