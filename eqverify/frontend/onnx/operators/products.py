"""MatMul and Gemm: products with a constant matrix on either side."""

from __future__ import annotations

import math

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_DENSE_ENTRIES
from eqverify.frontend.onnx.operators.arithmetic import branch_and_constant, same_element, spread
from eqverify.frontend.onnx.operators.smooth import product_of_matrices
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value
from eqverify.network import Dense, Diagonal, LinearMap, Term
from eqverify.network.proportional import exact_product

Shape = tuple[int, ...]


@operator("MatMul", refused="both factors computed")
def matmul(call: Call) -> Value:
    """A dense map, by numpy's rules for stacks of matrices."""
    if call.smooth and all(isinstance(value, Tensor) for value in call.inputs):
        return product_of_matrices(call, call.tensor(0), call.tensor(1))
    branch, matrix, tensor_first = branch_and_constant(call)
    weights = call.weights(matrix, branch.element)
    linear, shape = product_map(call, branch, weights, tensor_first=tensor_first)
    return call.builder.linear(call.name, branch, linear, shape)


def product_map(call: Call, branch: Tensor, weights: FloatArray, *, tensor_first: bool) -> tuple[LinearMap, Shape]:
    """The map x -> x @ weights (or weights @ x) on row-major components, and the shape of the result.

    The matrix is `weights` itself where x is one vector; for a stack of vectors it repeats their entries.
    """
    if not branch.shape or not weights.shape:
        raise call.shape_error("a product needs inputs of rank 1 or more", list(branch.shape), list(weights.shape))
    shapes = (branch.shape, weights.shape) if tensor_first else (weights.shape, branch.shape)
    left = shapes[0] if len(shapes[0]) > 1 else (1, *shapes[0])
    right = shapes[1] if len(shapes[1]) > 1 else (*shapes[1], 1)
    if left[-1] != right[-2]:
        raise call.shape_error("the inner extents of the product differ", *map(list, shapes))
    stack = call.broadcast(left[:-2], right[:-2]) if left[:-2] or right[:-2] else ()
    rows, inner, columns = left[-2], left[-1], right[-1]
    shape = stack + ((rows,) if len(shapes[0]) > 1 else ()) + ((columns,) if len(shapes[1]) > 1 else ())
    call.checked((*stack, rows, columns))
    if branch.size == inner and math.prod(stack) == 1:
        matrix = weights.reshape(left[-2:] if not tensor_first else right[-2:])
        return Dense(matrix.T if tensor_first else matrix), shape
    outputs = math.prod((*stack, rows, columns))
    if outputs * max(branch.size, inner) > MAX_DENSE_ENTRIES:
        raise call.error(
            "too-large",
            "a product of stacked matrices would be too large as one matrix",
            value=f"{outputs}x{branch.size}",
        )
    indices = component_indices(branch)
    known = weights.reshape(right if tensor_first else left)
    left_part = np.broadcast_to(indices.reshape(left) if tensor_first else known, (*stack, rows, inner))
    right_part = np.broadcast_to(known if tensor_first else indices.reshape(right), (*stack, inner, columns))
    read, entries = (left_part[..., None], right_part[..., None, :, :])
    if not tensor_first:
        read, entries = entries, read
    result = np.arange(outputs, dtype=np.int64).reshape(*stack, rows, 1, columns)
    everything = (*stack, rows, inner, columns)
    dense = np.zeros((outputs, branch.size))
    dense[np.broadcast_to(result, everything), np.broadcast_to(read, everything)] = np.broadcast_to(entries, everything)
    return Dense(dense), shape


@operator("Gemm", attributes=("alpha", "beta", "transA", "transB"), refused="both factors computed")
def gemm(call: Call) -> Value:
    """A dense map with bias; scalings that cannot be multiplied in exactly become diagonal maps."""
    branch, matrix, tensor_first = branch_and_constant(call)
    flags = (call.flag("transA"), call.flag("transB"))
    if len(branch.shape) != 2 or len(matrix.shape) != 2:
        raise call.shape_error("both factors must be matrices", *(list(call.value(k).shape) for k in (0, 1)))
    transposed, weights_transposed = flags if tensor_first else flags[::-1]
    if transposed:
        name = call.builder.helper_name(call.name, "transposed")
        branch = call.builder.select(name, branch, component_indices(branch).T)
    weights = call.weights(matrix, branch.element)
    weights = weights.T if weights_transposed else weights
    alpha = call.number("alpha", 1.0)
    folded = exact_product(weights, alpha)
    if alpha != 1.0 or call.number("beta", 1.0) not in (0.0, 1.0):  # a sum may overflow before it is scaled
        call.builder.unmodelled.append("Gemm with other scalings than 1")
    linear, shape = product_map(call, branch, weights if folded is None else folded, tensor_first=tensor_first)
    if folded is None:
        name = call.builder.helper_name(call.name, "product")
        branch = call.builder.linear(name, branch, linear, shape)
        linear = _scaling(alpha, branch.size)
    return _with_addend(call, Term(branch.source, linear), shape, branch.element)


def _scaling(factor: float, size: int) -> LinearMap:
    return Diagonal(np.full(size, factor), np.ones(size))


def _with_addend(call: Call, product: Term, shape: Shape, element: str) -> Value:
    """The product plus beta times the third input, where there is one."""
    addend, beta = call.optional(2), call.number("beta", 1.0)
    size = math.prod(shape)
    if addend is None or beta == 0.0:
        return call.builder.affine(call.name, (product,), np.zeros(size), shape, element)
    if len(addend.shape) > 2 or call.broadcast(addend.shape, shape) != shape:
        raise call.shape_error("the third input cannot be broadcast to the product", list(addend.shape), list(shape))
    if isinstance(addend, Constant):
        stored = call.weights(addend, element)
        folded = exact_product(stored, beta)
        if folded is not None:
            bias = np.broadcast_to(folded, shape).reshape(-1)
            return call.builder.affine(call.name, (product,), bias, shape, element)
        name = call.builder.helper_name(call.name, "addend")
        addend = call.builder.affine(name, (), stored.reshape(-1), addend.shape, element)
    same_element(call, addend, Tensor("", (), element))
    if beta != 1.0:
        name = call.builder.helper_name(call.name, "scaled")
        addend = call.builder.linear(name, addend, _scaling(beta, addend.size), addend.shape)
    terms = (product, Term(addend.source, spread(addend, shape)))
    return call.builder.affine(call.name, terms, np.zeros(size), shape, element)
