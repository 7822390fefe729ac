"""Names of the hard cases that a network and a domain contain.

The names are found by exact arithmetic on the finished object, not taken from how it was drawn.  Tests count them to
show that the generators reach what they promise.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np

from eqverify.domain import Domain
from eqverify.equivalence.rational import affine_rows, exact_rows, exact_vector
from eqverify.network import Affine, Diagonal, Identity, Network, Relu, Selection

Interval = tuple[Fraction, Fraction]
Row = dict[tuple[str, int], Fraction]

NETWORK_FEATURES = frozenset(
    {
        "affine-of-affine",
        "antiparallel-units",
        "constant-node",
        "constant-unit",
        "dead-unit",
        "dependent-units",
        "diagonal",
        "division",
        "duplicate-units",
        "extreme-scale",
        "float32-weights",
        "float64-weights",
        "identity",
        "linear-network",
        "multi-term",
        "parallel-units",
        "preactivation-read",
        "relu-of-input",
        "relu-of-relu",
        "selection",
        "several-inputs",
        "several-outputs",
        "skip",
        "zero-output",
    }
)
"""Features that do not depend on the domain."""

DOMAIN_FEATURES = frozenset({"linear-rows", "plain-box", "point", "union", "wide", "zero-width-input"})
"""Features of the domain alone."""

JOINT_FEATURES = frozenset(
    {
        "active-layer",
        "constant-output",
        "inactive-layer",
        "mixed-layer",
        "stable-layer",
        "tie-at-zero",
        "undecided-unit",
    }
)
"""Features of a network on a domain, by exact interval arithmetic on the hull of the domain."""

_WIDE = 2.0**10
_EXTREME = 2.0**20


def features(network: Network, domain: Domain) -> frozenset[str]:
    """All named features of a network and a domain of its input size.

    Args:
        network: small: everything is computed in rationals.
        domain: of the network's input size.

    Returns:
        A subset of `NETWORK_FEATURES`, `DOMAIN_FEATURES` and `JOINT_FEATURES`.
    """
    return network_features(network) | domain_features(domain) | _joint_features(network, domain)


def network_features(network: Network) -> frozenset[str]:
    """The subset of `NETWORK_FEATURES` that the network has."""
    return _graph_features(network) | _weight_features(network) | _unit_features(network)


def domain_features(domain: Domain) -> frozenset[str]:
    """The subset of `DOMAIN_FEATURES` that the domain has."""
    width = domain.upper - domain.lower
    rows = any(not part.is_box for part in domain.polytopes)
    found = {
        "linear-rows": rows,
        "plain-box": not rows and len(domain.polytopes) == 1,
        "union": len(domain.polytopes) > 1,
        "point": bool((width == 0).all(axis=1).any()),
        "zero-width-input": bool(((width == 0).any(axis=1) & (width > 0).any(axis=1)).any()),
        "wide": bool((width >= _WIDE).any()),
    }
    return frozenset(name for name, holds in found.items() if holds)


def interval_exact(network: Network, domain: Domain) -> dict[str, list[Interval]]:
    """Layer-by-layer interval bounds of all values on the hull of the domain, exact."""
    lower, upper = exact_vector(domain.hull.lower.tolist()), exact_vector(domain.hull.upper.tolist())
    flat = list(zip(lower, upper, strict=True))
    bounds: dict[str, list[Interval]] = {}
    for port in network.inputs:
        bounds[port.name], flat = flat[: port.size], flat[port.size :]
    for node in network.plain_nodes:
        if isinstance(node, Relu):
            bounds[node.name] = [(max(low, Fraction(0)), max(high, Fraction(0))) for low, high in bounds[node.source]]
        else:
            bounds[node.name] = [_row_interval(row, constant, bounds) for row, constant in affine_rows(node)]
    return bounds


def _row_interval(row: Row, constant: Fraction, bounds: dict[str, list[Interval]]) -> Interval:
    low = high = constant
    for (source, component), value in row.items():
        ends = sorted(value * end for end in bounds[source][component])
        low, high = low + ends[0], high + ends[1]
    return low, high


def _joint_features(network: Network, domain: Domain) -> frozenset[str]:
    bounds = interval_exact(network, domain)
    found: set[str] = set()
    for relu in network.relus:
        ranges = bounds[relu.source]
        inactive, active = [high <= 0 for _, high in ranges], [low >= 0 for low, _ in ranges]
        stable = [a or b for a, b in zip(inactive, active, strict=True)]
        names = {
            "inactive-layer": all(inactive),
            "active-layer": all(active),
            "stable-layer": all(stable),
            "mixed-layer": any(stable) and not all(stable),
            "undecided-unit": not all(stable),
            "tie-at-zero": any(low < high and 0 in (low, high) for low, high in ranges),
        }
        found |= {name for name, holds in names.items() if holds}
    if any(low == high for port in network.outputs for low, high in bounds[port.source]):
        found.add("constant-output")
    return frozenset(found)


def _graph_features(network: Network) -> frozenset[str]:
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    maps = [term.map for node in affine for term in node.terms]
    relus = {relu.name for relu in network.relus}
    read = {source for node in affine for source in node.sources} | {port.source for port in network.outputs}
    names = {port.name for port in network.inputs}
    previous = [{node.name for node in network.nodes[max(0, i - 2) : i]} | names for i in range(len(network.nodes))]
    found = {
        "several-inputs": len(network.inputs) > 1,
        "several-outputs": len(network.outputs) > 1,
        "affine-of-affine": any(source in {node.name for node in affine} for node in affine for source in node.sources),
        "preactivation-read": any(relu.source in read - names - relus for relu in network.relus),
        "multi-term": any(len(node.terms) > 1 for node in affine),
        "constant-node": any(not node.terms for node in affine),
        "diagonal": any(isinstance(m, Diagonal) for m in maps),
        "division": any(isinstance(m, Diagonal) and m.entry_error > 0 for m in maps),
        "selection": any(isinstance(m, Selection) for m in maps),
        "identity": any(isinstance(m, Identity) for m in maps),
        "relu-of-input": any(relu.source in names for relu in network.relus),
        "relu-of-relu": any(relu.source in relus for relu in network.relus),
        "linear-network": not relus,
        "skip": any(not set(n.sources) <= previous[i] for i, n in enumerate(network.nodes)),
    }
    return frozenset(name for name, holds in found.items() if holds)


def _weight_features(network: Network) -> frozenset[str]:
    arrays = [node.bias for node in network.nodes if isinstance(node, Affine)]
    for node in network.nodes:
        if isinstance(node, Affine):
            arrays += [array.astype(np.float64) for term in node.terms for array in term.map.parameters()]
    flat = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays)])
    sizes = np.abs(flat[flat != 0])
    single = bool((flat == flat.astype(np.float32)).all())
    found = {"float32-weights"} if single else {"float64-weights"}
    if sizes.size and sizes.max() >= _EXTREME * sizes.min():
        found.add("extreme-scale")
    return frozenset(found)


def _unit_features(network: Network) -> frozenset[str]:
    rows = {node.name: affine_rows(node) for node in network.nodes if isinstance(node, Affine)}
    found: set[str] = set()
    for relu in network.relus:
        if relu.source in rows:
            found |= _row_features(rows[relu.source])
    if any(not row and not constant for port in network.outputs for row, constant in rows.get(port.source, [])):
        found.add("zero-output")
    if _dead_units(network):
        found.add("dead-unit")
    return frozenset(found)


def _row_features(rows: list[tuple[Row, Fraction]]) -> set[str]:
    found = {"constant-unit"} if any(not row for row, _ in rows) else set()
    for one, other in combinations([row for row in rows if row[0]], 2):
        factor = _factor(one, other)
        if factor is not None:
            found.add("duplicate-units" if factor == 1 else "parallel-units" if factor > 0 else "antiparallel-units")
    linear = [row for row, _ in rows if row]
    if exact_rank(linear) < min(len(linear), len({key for row in linear for key in row})):
        found.add("dependent-units")
    return found


def _factor(one: tuple[Row, Fraction], other: tuple[Row, Fraction]) -> Fraction | None:
    """s with other = s * one, coefficients and constant; None if there is none.  Rows are not empty."""
    if one[0].keys() != other[0].keys():
        return None
    key = next(iter(one[0]))
    factor = other[0][key] / one[0][key]
    same = all(other[0][k] == factor * v for k, v in one[0].items()) and other[1] == factor * one[1]
    return factor if same else None


def exact_rank(rows: list[Row]) -> int:
    """The rank of sparse rational rows, by exact elimination."""
    remaining, rank = [dict(row) for row in rows if row], 0
    while remaining:
        pivot, rank = remaining.pop(), rank + 1
        key, following = next(iter(pivot)), []
        for row in remaining:
            factor = row.get(key, Fraction(0)) / pivot[key]
            reduced = dict(row)
            for column, value in pivot.items():
                reduced[column] = reduced.get(column, Fraction(0)) - factor * value
            if cleaned := {column: value for column, value in reduced.items() if value}:
                following.append(cleaned)
        remaining = following
    return rank


def _dead_units(network: Network) -> set[tuple[str, int]]:
    """ReLU units that no node reads with a non-zero weight and no output shows."""
    units = {(relu.name, unit) for relu in network.relus for unit in range(network.sizes[relu.name])}
    shown = {port.source for port in network.outputs} | {relu.source for relu in network.relus}
    read = {
        (term.source, column)
        for node in network.nodes
        if isinstance(node, Affine)
        for term in node.terms
        for row in exact_rows(term.map)
        for column in row
    }
    return {unit for unit in units if unit not in read and unit[0] not in shown}
