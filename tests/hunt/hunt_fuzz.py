"""Damaged files: bytes and fields of a model, words of a property."""

from __future__ import annotations

import contextlib
import gzip
import re
from random import Random
from typing import Any

import onnx

NUMBERS = (
    "0", "0.0", "-0.0", "1", "1.", ".5", "+1.0", "--1", "1e400", "-1e400", "1e-400", "1e39", "1e309", "1e99999", "nan",
    "inf", "-inf", "0x10", "1_000", "1e", "9" * 400, "1" * 1300, "1/3", "\u0661", "\u221e", "4.9e-324",
    "1.7976931348623159e308",
)  # fmt: skip
WORDS = (
    "(",
    ")",
    "and",
    "or",
    "not",
    "assert",
    "<=",
    "<",
    "=",
    "==",
    "!=",
    "X_0",
    "Y_0",
    "X_9",
    "Z",
    "+",
    "-",
    "*",
    "let",
    "|x|",
    "\x00",
)


def damaged_text(rng: Random, text: str) -> bytes:
    """A property with some words changed, left out or added, now and then packed."""
    words = re.findall(r"\s+|[()]|[^\s()]+", text)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(words))
        way = rng.random()
        numbers = [k for k, word in enumerate(words) if re.fullmatch(r"-?\d+\.\d*(e-?\d+)?", word)]
        if way < 0.45 and numbers:
            words[rng.choice(numbers)] = rng.choice(NUMBERS)
        elif way < 0.6:
            words[place] = rng.choice(WORDS)
        elif way < 0.7:
            words.insert(place, f" {rng.choice(WORDS)} ")
        elif way < 0.8:
            del words[place]
        elif way < 0.9:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        else:
            words = words[: place + 1]
    data = "".join(words).encode()
    way = rng.random()
    if way < 0.03:
        return damaged_bytes(rng, gzip.compress(data))
    return damaged_bytes(rng, data) if way < 0.1 else data


def damaged_bytes(rng: Random, data: bytes) -> bytes:
    """Bytes changed, left out, doubled or cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if not found:
            break
        place = rng.randrange(len(found))
        way = rng.random()
        if way < 0.5:
            found[place] = rng.randrange(256)
        elif way < 0.7:
            found[place] ^= 1 << rng.randrange(8)
        elif way < 0.8:
            del found[place : place + rng.randint(1, 8)]
        elif way < 0.9:
            found[place:place] = found[place : place + rng.randint(1, 8)]
        else:
            del found[place:]
    return bytes(found)


def damaged_model(rng: Random, data: bytes) -> bytes:
    """A model with damaged bytes, or one that is a message still but says something odd."""
    if rng.random() < 0.4:
        return damaged_bytes(rng, data)
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 2))):
        with contextlib.suppress(IndexError):  # an earlier change left nothing to change
            rng.choice(FIELDS)(rng, model)
    return model.SerializeToString()


def change_dimension(rng: Random, model: Any) -> None:
    port = rng.choice([*model.graph.input, *model.graph.output])
    dims = port.type.tensor_type.shape.dim
    if dims:
        rng.choice(dims).dim_value = rng.choice((0, 1, 2, 3, 7, -1, 2**31, 2**62))


def change_tensor(rng: Random, model: Any) -> None:
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    way = rng.random()
    if way < 0.3 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, 1, 2, 5, -1, 2**40))
    elif way < 0.5:
        tensor.data_type = rng.choice((0, 1, 6, 7, 8, 9, 10, 11, 16, 99))
    elif way < 0.8 and tensor.raw_data:
        tensor.raw_data = damaged_bytes(rng, tensor.raw_data)
    else:
        tensor.raw_data = b"\xff" * len(tensor.raw_data)  # NaN


def change_node(rng: Random, model: Any) -> None:
    node = rng.choice(model.graph.node)
    way = rng.random()
    names = [name for n in model.graph.node for name in [*n.input, *n.output]] + ["", "nowhere"]
    if way < 0.4:
        node.op_type = rng.choice(
            (
                "Relu",
                "Gemm",
                "MatMul",
                "Add",
                "Clip",
                "Softmax",
                "Sigmoid",
                "Conv",
                "MaxPool",
                "Nothing",
                "Div",
                "Flatten",
            )
        )
    elif way < 0.6 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif way < 0.7 and node.input:
        del node.input[-1]
    elif way < 0.8:
        node.output[0] = rng.choice(names)
    elif way < 0.9:
        node.attribute.append(
            onnx.helper.make_attribute(rng.choice(("axis", "alpha", "transA", "odd")), rng.choice((1, -3, 0.5, "x")))
        )
    else:
        node.domain = "com.example"


def change_order(rng: Random, model: Any) -> None:
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def change_opset(rng: Random, model: Any) -> None:
    model.opset_import[0].version = rng.choice((0, 1, 6, 7, 9, 11, 13, 22, 26, 999, -5))


def change_ports(rng: Random, model: Any) -> None:
    way = rng.random()
    if way < 0.3:
        del model.graph.output[:]
    elif way < 0.5:
        del model.graph.input[:]
    elif way < 0.7:
        model.graph.output[0].name = rng.choice(
            [name for node in model.graph.node for name in [*node.input, *node.output]]
        )
    elif way < 0.85:
        model.graph.output.append(model.graph.output[0])
    else:
        rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = rng.choice((0, 1, 7, 10, 11))


FIELDS = (
    change_dimension,
    change_tensor,
    change_tensor,
    change_node,
    change_node,
    change_order,
    change_opset,
    change_ports,
)
