"""A second producer of proofs of verdicts, written from specs/certificate.md: plain CROWN and halved boxes.

It has a few lines of its own for ONNX (a chain of Gemm, MatMul, Add, Sub, Div and Relu), VNN-LIB 1.0 (a box of inputs,
rows c y <= d of outputs) and the file, and shares no code with eqverify.  It rounds nothing outwards; the checker does.
"""

import ast
import hashlib
import itertools
import json
import re
from fractions import Fraction

import numpy as np
import onnx

SLOPES = None, 0.0, 1.0
"""Lower slopes that are tried where both signs are possible; None is the checker's default, that of smaller area."""
LIMIT = r"\(assert\s*\(([<>])=\s+X_(\d+)\s+([^\s)]+)\)\s*\)"


def read_network(data):
    """Pairs (W, b), with a ReLU after each but the last."""
    graph, layers = onnx.load_from_string(data).graph, []
    constants = {one.name: onnx.numpy_helper.to_array(one).astype(float) for one in graph.initializer}
    (tensor,) = (one for one in graph.input if one.name not in constants)
    size = int(np.prod([axis.dim_value or 1 for axis in tensor.type.tensor_type.shape.dim]))
    value, matrix, bias = tensor.name, np.eye(size), np.zeros(size)
    for node in graph.node:
        told = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if node.input[0] != value or told.get("transA") or any(name not in constants for name in node.input[1:]):
            raise ValueError(f"{node.name} is not the next of a chain")
        first, *more = [constants[name] for name in node.input[1:]] or [np.zeros(0)]
        if node.op_type == "Relu":
            layers.append((matrix, bias))
            matrix, bias = np.eye(bias.size), np.zeros(bias.size)
        elif node.op_type in ("Gemm", "MatMul"):
            first = told.get("alpha", 1.0) * (first if told.get("transB") else first.T)
            matrix, bias = first @ matrix, first @ bias + sum(told.get("beta", 1.0) * one.ravel() for one in more)
        elif node.op_type in ("Add", "Sub"):
            bias = bias + (1 if node.op_type == "Add" else -1) * first.ravel()
        elif node.op_type == "Div":
            matrix, bias = matrix / first.reshape(-1, 1), bias / first.ravel()
        elif node.op_type != "Flatten":
            raise ValueError(f"{node.op_type} is not read")
        value = node.output[0]
    return [*layers, (matrix, bias)]


def read_property(text):
    """The box (2, inputs), and disjuncts: tuples of rows (c, d), the condition c y <= d."""
    inputs, outputs = (len(re.findall(rf"declare-const\s+{name}_", text)) for name in "XY")
    box = np.array([[-np.inf], [np.inf]]).repeat(inputs, axis=1)
    for sign, index, number in re.findall(LIMIT, text):
        side = int(sign == "<")
        box[side, int(index)] = (max, min)[side](box[side, int(index)], float(number))
    words = re.sub(r"[^\s()]+", r"'\g<0>',", re.sub(rf";.*|{LIMIT}", "", text))
    formulas = ast.literal_eval("[" + words.replace("(", "[").replace(")", "],") + "]")
    return box, alternatives(["and", *(one[1] for one in formulas if one[0] == "assert")], outputs)


def alternatives(formula, outputs):
    """The disjunctive normal form, alternatives of later conjuncts first."""
    kind, *parts = formula
    if kind in ("and", "or"):
        each = [alternatives(part, outputs) for part in parts]
        return [*itertools.chain(*each)] if kind == "or" else [sum(one, ()) for one in itertools.product(*each)]
    row, bound = [0] * outputs, Fraction(0)
    for word, sign in zip(parts, {"<=": (1, -1), ">=": (-1, 1)}[kind], strict=True):
        if word[0] == "Y":
            row[int(word[2:])] += sign
        else:
            bound -= sign * Fraction(word)
    return [((tuple(row), bound),)]


def highest(layers, known, rows, slope=None):
    """Upper bounds of rows on what the last layer computes, from the ranges of what layers read before their ReLU."""
    constant = np.zeros(len(rows))
    for k in reversed(range(len(layers))):
        constant, rows = constant + rows @ layers[k][1], rows @ layers[k][0]
        (lower, upper), above, below = known[k], np.maximum(rows, 0), np.minimum(rows, 0)
        if k:
            chord = np.where(lower >= 0, 1.0, np.maximum(upper, 0) / np.maximum(upper - lower, 1e-30))
            least = np.where((lower < 0) & (upper > 0), upper >= -lower if slope is None else slope, lower >= 0)
            constant, rows = constant + above @ (chord * np.maximum(-lower, 0)), above * chord + below * least
    return constant + above @ upper + below @ lower


def ranges(layers, box):
    """Of the inputs, and of what each layer computes."""
    known = [tuple(box)]
    for k, (_, bias) in enumerate(layers, 1):
        known.append((-highest(layers[:k], known, -np.eye(bias.size)), highest(layers[:k], known, np.eye(bias.size))))
    return known


def row_step(layers, known, arrays):
    """K-2: rows of the condition whose lower bounds are better with other slopes; and all these bounds."""
    found = -np.array([highest(layers, known, -np.eye(layers[-1][1].size), slope) for slope in SLOPES])
    best, rows = found.argmax(axis=0), []
    for choice in set(best.tolist()) - {0}:
        units, alpha = np.flatnonzero(best == choice), []
        for k, (lower, upper) in enumerate(known[1:-1]):
            columns = np.flatnonzero((lower < 0) & (upper > 0))
            values = np.full((1, units.size, columns.size), SLOPES[choice])
            alpha.append([k, add(arrays, "i4", columns), add(arrays, "f4", values)])
        row = {"node": len(layers) - 1, "part": 0, "count": 1, "alpha": alpha, "lam": [], "tau": [], "mu": None}
        rows.append({**row, "units": add(arrays, "i4", units), "signs": add(arrays, "i1", np.full(units.size, -1))})
    return {"kind": "pass", "rows": rows}, found.max(axis=0)


def cover_step(layers, box, own, arrays, most):
    """K-11: halvings until on each box one of the disjunct's own rows is above 0; None for more nodes than so many."""
    nodes, boxes = [[-1, 0, 0, -1, 0.0]], [box]
    for number, half in enumerate(boxes):  # which grows
        if (ranges(layers, half)[-1][0][own] <= 1e-6).all():
            if len(nodes) > most:
                return None
            cut = int((half[1] - half[0]).argmax())
            nodes[number][3:] = cut, half[:, cut].mean()
            nodes += [[number, 0, 0, -1, 0.0], [number, 1, 0, -1, 0.0]]
            boxes += [half.copy(), half.copy()]
            boxes[-2][1, cut] = boxes[-1][0, cut] = nodes[number][4]
    columns = zip(("parent", "side", "part", "dimension", "at"), np.array(nodes).T, strict=True)
    tree = {key: add(arrays, "f8" if key == "at" else "i4", values) for key, values in columns}
    return {"kind": "cover", **tree, "mu": add(arrays, "f4", np.zeros((len(nodes) // 2 + 1, len(own))))}


def add(arrays, kind, values):
    """The number of an array, which is added."""
    arrays.append((kind, np.ascontiguousarray(values, "<" + kind)))
    return len(arrays) - 1


def prove(network, query, most=500):
    """The proof (bytes) that no input satisfies the property, both given as bytes; None where boxes do not suffice."""
    layers, (box, disjuncts), arrays, number = read_network(network), read_property(query.decode()), [], {}
    owned = [[number.setdefault(row, len(number)) for row in rows] for rows in disjuncts]
    matrix, bound = np.array([row for row, _ in number], float), np.array([float(d) for _, d in number])
    layers[-1] = matrix @ layers[-1][0], matrix @ layers[-1][1] - bound
    shared, lower = row_step(layers, ranges(layers, box), arrays)
    steps = [[] if (lower[own] > 1e-6).any() else [cover_step(layers, box, own, arrays, most)] for own in owned]
    digests = {"network": hashlib.sha256(network).hexdigest(), "property": hashlib.sha256(query).hexdigest()}
    head = {"format": "eqverify certificate", "version": 1, "claim": "property-unsat", "digests": digests, "about": {}}
    head["cases"] = [{"steps": [shared], "disjuncts": [{"steps": one} for one in steps]}]
    told = json.dumps({**head, "arrays": [[kind, values.shape] for kind, values in arrays]}).encode()
    start = b"eqverify certificate 1\n" + len(told).to_bytes(8, "little") + told
    return None if [None] in steps else start + b"".join(values.tobytes() for _, values in arrays)
