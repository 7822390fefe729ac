"""Proved ranges in Marabou's query about the file that they were proved for."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from maraboupy.MarabouNetwork import MarabouNetwork
from maraboupy.parsers.ONNXParser import ONNXParser

from eqverify.arrays import FloatArray
from eqverify.embedding.formulation import single_box
from eqverify.errors import UsageError
from eqverify.frontend.onnx import read_bytes
from eqverify.problem import Problem
from eqverify.stability.facts import Facts


def bound_query(network: Any, problem: Problem, facts: Facts) -> int:
    """Give the variables of inputs, and before and after each ReLU, the proved ranges; tighter bounds stay.

    Args:
        network: `maraboupy.Marabou.read_onnx(path)`, perhaps with constraints that were added.  Afterwards it asks
            about inputs of the domain only.
        problem: of the same file, as it is stored: that of `prove_ranges`.  Its domain is one box, without further
            constraints.
        facts: proved for it.

    Returns:
        How many bounds became tighter.  Operators that Marabou has no variable for, by the name of the file's tensor,
        stay as they are.  Trusted: `facts`, and that Marabou's variables of a tensor are its components in row-major
        order.

    Raises:
        UsageError: `embedding/other-network` where Marabou read another file.
        InputError: `embedding/parts`, `embedding/constraints`.
    """
    facts.require(problem)
    box = single_box(problem)
    # The reader numbers variables in the order in which it meets tensors, and forgets whose they are: once more.
    reader = ONNXParser(MarabouNetwork(), network.graph, network.inputNames, network.outputNames)
    reader.parseGraph()
    places = {name: np.ravel(variables) for name, variables in reader.varMap.items()}
    pairs, given = reader.query.reluList, [port.name for port in problem.network.inputs]
    same = hashlib.sha256(read_bytes(network.filename)).hexdigest() == problem.files.get("network")
    if not same or list(network.inputNames) != given or network.reluList[: len(pairs)] != pairs:
        raise UsageError(
            "embedding/other-network",
            "the ranges are not about the network that they are given to",
            value=network.filename,
            hint="read both from one file, with its own inputs",
        )
    before = {after: z for z, after in pairs}
    inputs = np.concatenate([places[name] for name in given])
    tighter = _tighten(network, inputs, box.lower, box.upper)
    for layer in facts.layers:
        after = places.get(layer.name, np.empty(0, dtype=int))
        if after.size == layer.size and before.keys() >= set(after.tolist()):
            tighter += _tighten(network, after, np.maximum(layer.lower, 0.0), np.maximum(layer.upper, 0.0))
            tighter += _tighten(network, np.array([before[h] for h in after.tolist()]), layer.lower, layer.upper)
    return tighter


def _tighten(network: Any, variables: Any, lower: FloatArray, upper: FloatArray) -> int:
    """Set finite bounds that are tighter than those which variables have; says how many."""
    found = 0
    for variable, low, high in zip(variables.tolist(), lower.tolist(), upper.tolist(), strict=True):
        if low > network.lowerBounds.get(variable, -np.inf):
            network.setLowerBound(variable, low)
            found += 1
        if high < network.upperBounds.get(variable, np.inf):
            network.setUpperBound(variable, high)
            found += 1
    return found
