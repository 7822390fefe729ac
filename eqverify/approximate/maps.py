"""How many different affine maps a list of linear regions has."""

from __future__ import annotations

import numpy as np

from eqverify.approximate.forms import Form, make_frame, output_form, pattern_forms
from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.domain import Domain
from eqverify.network import Network, gamma

_CHUNK = 256


def map_groups(network: Network, domain: Domain, patterns: BoolArray) -> IntArray:
    """Number the affine maps of patterns (k, ReLU units): (k,) group of each.

    Maps in different groups differ, proved: somewhere on the box around the domain by more than all rounding.  Maps in
    one group are equal or differ by less than the rounding bound of their coefficients (or are linked by such maps).
    """
    frame = make_frame(domain.hull)
    forms = [
        output_form(network, pattern_forms(network, frame, patterns[start : start + _CHUNK]))
        for start in range(0, len(patterns), _CHUNK)
    ]
    whole = Form(np.concatenate([f.coefficients for f in forms]), np.concatenate([f.error for f in forms]))
    centre, radius = (frame.lower + frame.upper) / 2, (frame.upper - frame.lower) / 2
    groups = np.full(len(patterns), -1, dtype=np.int64)
    count = 0
    for near in _neighbours(whole, centre):
        rest = near
        while rest.size:
            member = np.zeros(rest.size, dtype=bool)
            todo = [0]
            member[0] = True
            while todo:
                close = ~member & ~_differ(whole, rest[todo.pop()], rest, centre, radius, frame.magnitude)
                member |= close
                todo += np.flatnonzero(close).tolist()
            groups[rest[member]], count = count, count + 1
            rest = rest[~member]
    return groups


def _neighbours(form: Form, centre: FloatArray) -> list[IntArray]:
    """Lists of patterns; those in different lists differ at the centre already, in the first output."""
    point = np.append(centre, 1.0)
    column = form.coefficients[:, :, 0]
    value = column @ point
    error = form.error[:, 0] + gamma(point.size + 4) * (np.abs(column) @ np.abs(point)) * (1 + 1e-12)
    order = np.argsort(value - error)
    ahead = np.maximum.accumulate((value + error)[order])
    starts = np.flatnonzero((value - error)[order][1:] > ahead[:-1]) + 1
    return np.split(order, starts)


def _differ(
    form: Form, one: int, others: IntArray, centre: FloatArray, radius: FloatArray, magnitude: FloatArray
) -> BoolArray:
    """(k,) whether pattern `one` surely has another map than `others`."""
    gap = form.coefficients[others] - form.coefficients[one]
    size = np.abs(form.coefficients[others]) + np.abs(form.coefficients[one])
    middle = np.abs(np.einsum("kns,n->ks", gap[:, :-1], centre) + gap[:, -1])
    largest = middle + np.einsum("kns,n->ks", np.abs(gap[:, :-1]), radius)
    rounding = 4 * gamma(magnitude.size + 8) * np.einsum("kns,n->ks", size, magnitude)
    return np.asarray((largest > form.error[others] + form.error[one] + rounding).any(axis=1))
