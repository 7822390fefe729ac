"""Operators of the rational interpreter (onnx_fractions) that place, choose, sum or unroll, from the specification."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Attributes = dict[str, Any]


def _positions(extents: Sequence[int]) -> Any:
    return itertools.product(*(range(extent) for extent in extents))


def _gather_elements(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, places = args[:2]
    axis = attributes.get("axis", 0) % x.ndim
    result = np.empty(places.shape, dtype=object)
    for index in _positions(places.shape):
        result[index] = x[(*index[:axis], int(places[index]), *index[axis + 1 :])]
    return result


def _gather_nd(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, places = args[:2]
    batch = attributes.get("batch_dims", 0)
    rows = [x[(*index[:batch], *map(int, places[index]))] for index in _positions(places.shape[:-1])]
    rest = x.shape[batch + places.shape[-1] :]
    result = np.empty((len(rows), *rest), dtype=object)
    for k, row in enumerate(rows):
        result[k] = row
    return result.reshape((*places.shape[:-1], *rest))


def _put(attributes: Attributes, old: Any, new: Any) -> Any:
    return old + new if attributes.get("reduction", b"none") == b"add" else new


def _scatter_elements(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, places, updates = args
    axis, result = attributes.get("axis", 0) % x.ndim, x.copy()
    for index in _positions(places.shape):
        target = (*index[:axis], int(places[index]), *index[axis + 1 :])
        result[target] = _put(attributes, x[target], updates[index])
    return result


def _scatter_nd(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, places, updates = args
    result = x.copy()
    for index in _positions(places.shape[:-1]):
        target = tuple(map(int, places[index]))
        result[target] = _put(attributes, x[target], updates[index])
    return result


def _trilu(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, offset = args[0], int(args[1]) if len(args) > 1 else 0
    result = x.copy()
    for index in _positions(x.shape):
        above = index[-1] - index[-2] >= offset
        below = index[-1] - index[-2] <= offset
        if not (above if attributes.get("upper", 1) else below):
            result[index] = Fraction(0)
    return result


def _reverse_sequence(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, lengths = args
    batch, result = attributes.get("batch_axis", 1), x.copy()
    time = attributes.get("time_axis", 0)
    for index in _positions(x.shape):
        source, length = list(index), int(lengths[index[batch]])
        if index[time] < length:
            source[time] = length - 1 - index[time]
        result[index] = x[tuple(source)]
    return result


def _cum_sum(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, axis = args[0], int(args[1]) % args[0].ndim
    result = np.empty(x.shape, dtype=object)
    for index in _positions(x.shape):
        total = Fraction(0)
        for k in range(x.shape[axis]):
            before = k > index[axis] if attributes.get("reverse", 0) else k < index[axis]
            if before or (k == index[axis] and not attributes.get("exclusive", 0)):
                total += x[(*index[:axis], k, *index[axis + 1 :])]
        result[index] = total
    return result


def _einsum(attributes: Attributes, args: Sequence[Array]) -> Array:
    """With an arrow and without ellipses."""
    left, right = attributes["equation"].decode().split("->")
    terms = left.split(",")
    sizes = {
        letter: n for term, arg in zip(terms, args, strict=True) for letter, n in zip(term, arg.shape, strict=True)
    }
    result = np.full([sizes[letter] for letter in right], Fraction(0), dtype=object)
    for values in _positions(list(sizes.values())):
        at = dict(zip(sizes, values, strict=True))
        product = Fraction(1)
        for term, arg in zip(terms, args, strict=True):
            product *= arg[tuple(at[letter] for letter in term)]
        result[tuple(at[letter] for letter in right)] += product
    return result


def _power(_: Attributes, args: Sequence[Array]) -> Array:
    base, exponents = np.broadcast_arrays(*args)
    result = np.empty(base.shape, dtype=object)
    for index in _positions(base.shape):
        result[index] = base[index] ** int(exponents[index])
    return result


def _rnn(attributes: Attributes, args: Sequence[Array]) -> list[Array]:
    given = [*args, *[None] * (6 - len(args))]
    x, weights, recurrent, bias, _, initial = given
    (length, batch, _), (count, hidden, _) = x.shape, weights.shape
    whole = np.full((length, count, batch, hidden), Fraction(0), dtype=object)
    last = np.full((count, batch, hidden), Fraction(0), dtype=object)
    for number in range(count):
        state = np.full((batch, hidden), Fraction(0), dtype=object) if initial is None else initial[number]
        backward = number == 1 or attributes.get("direction", b"forward") == b"reverse"
        for time in reversed(range(length)) if backward else range(length):
            total = np.matmul(x[time], weights[number].T) + np.matmul(state, recurrent[number].T)
            if bias is not None:
                total = total + bias[number][:hidden] + bias[number][hidden:]
            state = np.maximum(total, Fraction(0))
            whole[time, number] = state
        last[number] = state
    return [whole, last]


OPERATORS: dict[str, Callable[[Attributes, Sequence[Array]], Any]] = {
    "CastLike": lambda _, args: args[0],
    "CumSum": _cum_sum,
    "Einsum": _einsum,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pow": _power,
    "RNN": _rnn,
    "ReverseSequence": _reverse_sequence,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Size": lambda _, args: np.array(args[0].size, dtype=np.int64),
    "Trilu": _trilu,
    "Where": lambda _, args: np.where(args[0].astype(bool), args[1], args[2]),
}
