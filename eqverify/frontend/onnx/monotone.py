"""Opaque parts of models that keep the order of numbers: a Softmax behind the last layer."""

from __future__ import annotations

import math

import onnx
from onnx import helper

from eqverify.frontend.onnx.cut import Front

_ORDERED = frozenset({"Softmax", "LogSoftmax"})
_AXIS_OF_VECTOR = 13
"""From this opset on the axis is that of each vector; before, everything from the axis on is one."""


def keeps_order(front: Front) -> bool:
    """Whether the model's outputs, as many as the front has, stand in the order of the front's.

    That is so where all that is opaque is one Softmax or LogSoftmax of the front's only output, and that is one vector:
    exp is strictly increasing, and all components are divided by one positive number.

    Args:
        front: a model that was cut.
    """
    if front.tail is None or len(front.network.outputs) != 1 or front.tail.operators[0] not in _ORDERED:
        return False
    graph = onnx.ModelProto.FromString(front.tail.model).graph
    if len(graph.node) != 1 or len(graph.output) != 1 or list(graph.node[0].input) != [front.network.outputs[0].name]:
        return False
    interface = onnx.ModelProto.FromString(front.tail.interface).graph
    if [info.name for info in interface.output] != list(graph.node[0].output):
        return False
    (node,), shape = graph.node, [n if isinstance(n, int) else 1 for n in front.network.outputs[0].shape]
    newer = front.tail.opset >= _AXIS_OF_VECTOR
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axis = given.get("axis", -1 if newer else 1)
    if not -len(shape) <= axis < len(shape):
        return False
    return math.prod(shape) == (shape[axis] if newer else math.prod(shape[axis % len(shape) :]))
