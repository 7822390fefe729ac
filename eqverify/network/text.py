"""A text form of networks, for people and golden tests."""

from __future__ import annotations

import hashlib

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network.graph import Affine, Network, Port, Product, Smooth
from eqverify.network.linear import LinearMap

_WHOLE = 16


def format_network(network: Network) -> str:
    """One line per input, node and output; small arrays whole, large ones by shape and digest."""
    lines = [f"network {network.digest[:16]}"]
    lines += [f"input {_format_port(port)}" for port in network.inputs]
    for node in network.nodes:
        if isinstance(node, Affine):
            terms = [f"{_format_map(term.map)} {term.source}" for term in node.terms]
            lines.append(f"affine {node.name} ({node.size}) = {' + '.join([*terms, _format_array(node.bias)])}")
        elif isinstance(node, Smooth):
            lines.append(f"smooth {node.name} ({network.sizes[node.name]}) = {node.function.name} {node.argument}")
        elif isinstance(node, Product):
            lines.append(f"product {node.name} ({network.sizes[node.name]}) = {node.left} * {node.right}")
        else:
            lines.append(f"relu {node.name} ({network.sizes[node.name]}) = max(0, {node.source})")
    lines += [f"output {_format_port(port)} = {port.source}" for port in network.outputs]
    return "\n".join(lines) + "\n"


def _format_port(port: Port) -> str:
    return f"{port.name} {port.element}[{','.join(str(extent) for extent in port.shape)}]"


def _format_map(linear: LinearMap) -> str:
    rows, columns = linear.shape
    arrays = "".join(f" {_format_array(np.asarray(array))}" for array in linear.parameters())
    return f"{type(linear).__name__.lower()}[{rows}x{columns}]{arrays}"


def _format_array(array: FloatArray) -> str:
    if array.size <= _WHOLE:
        return np.array2string(array, separator=",", floatmode="unique", max_line_width=10**6).replace("\n", "")
    return f"<{'x'.join(str(n) for n in array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:8]}>"
