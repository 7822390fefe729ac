"""The affine pieces of a network on a polytope: which half-spaces bound each, and what it computes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from eqverify.approximate.cells import Function, Geometry, Side
from eqverify.approximate.forms import ExactRows, Frame, one_pattern, output_form, pattern_forms
from eqverify.approximate.search import Region, domain_functions
from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.farkas import Row
from eqverify.domain import Polytope
from eqverify.network import Network

_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One activation pattern.

    Attributes:
        pattern: (ReLU units,).
        units: (k,) the units whose half-spaces bound it on the polytope.
        rows: (k, n) of f_i = z_i for active and -z_i for inactive units; the piece is where all f_i >= 0.
        offsets: (k,) their constants.
        errors: (k,) |f_i - (rows_i . x + offsets_i)| is at most this on the box.
        never: a unit is constant under this pattern, and on the wrong side.
        slopes: (n, outputs) of the outputs under this pattern.
        constants: (outputs,).
        output_error: (outputs,) bound on the rounding of both on the box.
        lower: (outputs,) proved least outputs on the piece; -inf where none was asked for.
        upper: (outputs,) proved greatest outputs.
    """

    pattern: BoolArray
    units: IntArray
    rows: FloatArray
    offsets: FloatArray
    errors: FloatArray
    never: bool
    slopes: FloatArray
    constants: FloatArray
    output_error: FloatArray
    lower: FloatArray
    upper: FloatArray


def region_pieces(network: Network, polytope: Polytope, frame: Frame, regions: tuple[Region, ...]) -> list[Piece]:
    """The pieces of regions, bounded by their facets: half-spaces that the others imply are left out, by proof."""
    geometry = Geometry(frame)
    domain = domain_functions(polytope, frame)
    pieces = []
    raw = raw_pieces(network, frame, np.stack([r.pattern for r in regions]), [r.cuts for r in regions])
    for region, (piece, functions) in zip(regions, raw, strict=True):
        inside = region.point[frame.free]
        kept = list(range(len(functions)))
        for index in range(len(functions)):
            others = [functions[k] for k in kept if k != index]
            geometry.visit([*domain, *others])
            if geometry.positive(functions[index].negated(), inside)[0] is Side.EMPTY:
                kept.remove(index)
        geometry.visit([*domain, *(functions[k] for k in kept)])
        pieces.append(_bounded(piece, np.array(kept, dtype=np.int64), geometry))
    return pieces


def pattern_pieces(
    network: Network, frame: Frame, unstable: BoolArray, active: BoolArray, regions: list[Piece]
) -> list[Piece]:
    """The pieces of all 2^k patterns of k unstable units, bounded by all of them.

    Args:
        network: the network.
        frame: the box.
        unstable: (ReLU units,) those whose activity varies.
        active: (ReLU units,) stably active ones.
        regions: pieces of regions: they have stably active units that are zero on them as inactive.
    """
    chosen = np.flatnonzero(unstable)
    patterns = np.repeat(active[None], 2**chosen.size, axis=0)
    patterns[:, chosen] = np.array(list(product((False, True), repeat=chosen.size)), dtype=bool)
    known = {piece.pattern[chosen].tobytes(): piece for piece in regions}
    found = []
    for piece, _ in raw_pieces(network, frame, patterns, [chosen] * len(patterns)):
        region = known.get(piece.pattern[chosen].tobytes())
        found.append(piece if region is None else replace(piece, pattern=region.pattern))
    return found


def _bounded(piece: Piece, kept: IntArray, geometry: Geometry) -> Piece:
    """A piece with its facets only, and the ranges of its outputs on the cell that is visited."""
    highest = [_largest(geometry, piece, k, 1.0) for k in range(piece.constants.size)]
    lowest = [-_largest(geometry, piece, k, -1.0) for k in range(piece.constants.size)]
    return replace(
        piece,
        units=piece.units[kept],
        rows=piece.rows[kept],
        offsets=piece.offsets[kept],
        errors=piece.errors[kept],
        lower=np.array(lowest),
        upper=np.array(highest),
    )


def _largest(geometry: Geometry, piece: Piece, output: int, sign: float) -> float:
    """A sound upper bound of sign * output on the cell."""
    value = geometry.maximum(sign * piece.slopes[:, output])
    constant = sign * float(piece.constants[output])
    slack = float(piece.output_error[output]) + 1e-15 * (abs(value) + abs(constant))
    return float(np.nextafter(value + constant + slack, np.inf))


def raw_pieces(
    network: Network, frame: Frame, patterns: BoolArray, units: list[IntArray]
) -> Iterator[tuple[Piece, list[Function]]]:
    """Pieces bounded by the units given, with unit functions; units that are constant and fit do not bound."""
    for start in range(0, len(patterns), _CHUNK):
        chunk = patterns[start : start + _CHUNK]
        forms = pattern_forms(network, frame, chunk)
        none = [np.empty((len(chunk), frame.free.size + 1, 0))]
        z = np.concatenate(none + [forms[r.source].coefficients for r in network.relus], axis=2)
        error = np.concatenate([none[0][:, 0]] + [forms[r.source].error for r in network.relus], axis=1)
        out = output_form(network, forms)
        for index, pattern in enumerate(chunk):
            wanted = units[start + index]
            sign = np.where(pattern[wanted], 1.0, -1.0)
            columns = z[index][:, wanted] * sign
            flat = np.flatnonzero(
                (np.abs(columns[:-1]) * frame.magnitude[:-1, None]).sum(axis=0) <= 4 * error[index][wanted]
            )
            exact_rows = ExactRows(network, frame, one_pattern(network, pattern))
            bounding, never = _without_constants(exact_rows, pattern, wanted, flat)
            piece = Piece(
                pattern,
                wanted[bounding],
                columns[:-1, bounding].T,
                columns[-1, bounding],
                error[index][wanted[bounding]],
                never,
                out.coefficients[index, :-1],
                out.coefficients[index, -1],
                out.error[index],
                np.full(out.error.shape[1], -np.inf),
                np.full(out.error.shape[1], np.inf),
            )
            yield piece, _functions(piece, exact_rows)


def _without_constants(
    exact_rows: ExactRows, pattern: BoolArray, units: IntArray, flat: IntArray
) -> tuple[IntArray, bool]:
    """Which of the units bound the piece, and whether one that is constant under the pattern has the wrong sign."""
    never, constant = False, []
    for index in flat.tolist():
        row = exact_rows(int(units[index]))
        if any(row[:-1]):
            continue
        constant.append(index)
        never |= (row[-1] > 0) != bool(pattern[units[index]])
    return np.setdiff1d(np.arange(units.size), np.array(constant, dtype=np.int64)), never


def _functions(piece: Piece, exact_rows: ExactRows) -> list[Function]:
    """The functions that are >= 0 on a piece."""
    found = []
    for unit, row, offset, error in zip(piece.units, piece.rows, piece.offsets, piece.errors, strict=True):
        sign = 1 if piece.pattern[unit] else -1

        def exact(unit: int = int(unit), sign: int = sign) -> Row:
            return [sign * c for c in exact_rows(unit)]

        found.append(Function(row, float(offset), float(error), exact, int(unit)))
    return found
