"""A network with two hidden layers that follows another on its linear regions: an approximation, never equivalent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eqverify.api.jobs import on_problems
from eqverify.approximate.forms import Frame, make_frame
from eqverify.approximate.measure import Measured, measure
from eqverify.approximate.options import Patterns, ShallowOptions
from eqverify.approximate.pieces import Piece, pattern_pieces, region_pieces
from eqverify.approximate.regions import LinearRegions, find_regions
from eqverify.approximate.shallow import Shallow, build_shallow
from eqverify.arrays import IEEE, BoolArray, FloatArray
from eqverify.bounds.crown import crown_bounds
from eqverify.domain import Domain, Polytope
from eqverify.errors import ContradictionError, InputError, LimitError
from eqverify.files import atomic_write, version
from eqverify.network import Network
from eqverify.network.sameness import same_function
from eqverify.options import Element, keywords
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.reduction.folding import element_of

MAX_ALL = 16
"""Unstable units for which all patterns are written."""


@dataclass(frozen=True, slots=True, eq=False)
class ShallowReport:
    """The approximation as it will be written, with what is proved and what was measured about it.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> eq.make_shallow(network, eq.ball([0, 0], 1)).as_dict()["claim"]
    'approximation, not equivalent'

    Attributes:
        problem: the original.
        regions: its linear regions on the box or polytope it was followed on.
        shallow: the network read back from `data`, and its proofs.
        patterns: which patterns have units.
        unstable: ReLU units that are not proved stable there.
        measured: by sampling.
        data: the bytes of the ONNX file.
        seconds: wall time.
    """

    problem: Problem
    regions: LinearRegions
    shallow: Shallow
    patterns: Patterns
    unstable: int
    measured: Measured
    data: bytes
    seconds: float

    def __repr__(self) -> str:
        first, second = self.units()["written"]
        return f"<ShallowReport: {first} + {second} units, an approximation>"

    def units(self) -> dict[str, tuple[int, int]]:
        """Units of the two hidden layers, without the carriers.

        ``written`` is this network; the others count as published, without sharing and removal.

        ``bound`` is that of arXiv 1905.11428, for 2^N patterns of all N ReLU units: N 2^N and m 2^N for m outputs.
        ``all`` counts the patterns of unstable units only; ``feasible`` is a lower bound where the regions are not
        complete.
        """
        outputs, total = self.problem.network.output_size, self.problem.network.relu_count
        count, free = len(self.regions.regions), self.unstable
        return {
            "written": (self.shallow.ramps, self.shallow.second),
            "feasible": (free * count, outputs * count),
            "all": (free * 2**free, outputs * 2**free),
            "bound": (total * 2**total, outputs * 2**total),
        }

    def as_dict(self) -> dict[str, object]:
        """All numbers, for JSON."""
        measured = self.measured
        return {
            "claim": "approximation, not equivalent",
            "patterns": self.patterns,
            "regions": len(self.regions.regions),
            "complete": self.regions.complete,
            "delta": self.shallow.delta,
            "units": {name: list(pair) for name, pair in self.units().items()},
            "ramps_apart": self.shallow.ramps_apart,
            "carriers": self.shallow.carriers,
            "relus_before": self.problem.relu_count,
            "relus_after": self.shallow.network.relu_count,
            "epsilon_inside": float(self.shallow.epsilon.max(initial=0.0)),
            "error_bound": float(self.shallow.bound.max(initial=0.0)),
            "error_measured": measured.largest if measured.points else None,
            "exact_volume": measured.exact if measured.points else None,
            "exact_volume_interval": [measured.exact_low, measured.exact_high],
            "points": measured.points,
            "reading": self.problem.reading.as_dict(),
            "seconds": self.seconds,
        }

    def save(self, path: str | Path) -> None:
        """Write the ONNX file; an existing file is replaced in one step.

        Raises:
            UsageError: the folder does not exist or cannot be written to.
        """
        atomic_write(path, self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShallowKeywords(ShallowOptions):
    """Keywords of `make_shallow`; `progress` is called with stage, done, total."""

    progress: Progress = silent


@on_problems
@keywords(ShallowKeywords)
@IEEE
def make_shallow(problem: Problem, options: ShallowKeywords) -> ShallowReport:
    """A network with two hidden layers that equals the original in the delta-interiors of its linear regions.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> eq.make_shallow(network, eq.ball([0, 0], 1)).regions.complete
    True

    Between them it is bounded, and in general far off: it is an approximation.  A property with several input sets is
    followed on the box around them.

    Args:
        problem: network and domain.
        options: the keywords are those of `ShallowKeywords`.

    Returns:
        The network; nothing is written yet.  Trusted: float64 and rational arithmetic.

    Raises:
        UsageError: `shallow/delta`, `shallow/samples`.
        LimitError: `shallow/too-large`, `shallow/no-regions`.
        InputError: `shallow/opaque` for a network with operators that are not piecewise linear, `shallow/point`,
            `regions/flat-domain`.
    """
    start = time.monotonic()
    polytope = _polytope(problem)
    network, frame = problem.network, make_frame(polytope.box)
    found = find_regions(
        network,
        Domain((polytope,)),
        time_limit=options.time_limit,
        seed=options.seed,
        progress=options.progress,
    )
    if not found.regions:
        raise LimitError(
            "shallow/no-regions", "no linear region was found within the time limit", hint="raise --time-limit"
        )
    problem.reading.compare(np.array([region.point for region in found.regions[:32]]))
    unstable, active, (floor, ceiling) = _stability(network, polytope)
    own = region_pieces(network, polytope, frame, found.regions)
    if found.complete:
        floor = np.maximum(floor, np.min([piece.lower for piece in own], axis=0))
        ceiling = np.minimum(ceiling, np.max([piece.upper for piece in own], axis=0))
    chosen = own if options.patterns == "feasible" else _all(network, frame, unstable, active, own)
    element = options.dtype or element_of(network)
    width = 0.1 * float(np.median(found.radii)) if options.delta is None else options.delta
    options.progress("shallow", 0, 1)
    shallow = build_shallow(network, frame, chosen, floor, ceiling, width, element)
    data = _written(shallow, problem, element)
    measured = measure(network, shallow, polytope, frame, options.samples, options.seed)
    return ShallowReport(
        problem, found, shallow, options.patterns, int(unstable.sum()), measured, data, time.monotonic() - start
    )


def _polytope(problem: Problem) -> Polytope:
    if problem.tail is not None:
        raise InputError(
            "shallow/opaque",
            "a network with operators that are not piecewise linear has no linear regions to follow",
            value=", ".join(problem.tail.operators),
        )
    parts = problem.domain.polytopes
    polytope = parts[0] if len(parts) == 1 else Polytope(problem.domain.hull)
    if (polytope.box.lower == polytope.box.upper).all():
        raise InputError("shallow/point", "the domain is a single input: there is nothing to approximate")
    return polytope


def _stability(network: Network, polytope: Polytope) -> tuple[BoolArray, BoolArray, tuple[FloatArray, FloatArray]]:
    """(ReLU units,) unstable and stably active ones, and (outputs,) bounds of the outputs, by CROWN."""
    box = polytope.box
    bounds = crown_bounds(network, box.lower[None], box.upper[None], outputs=True)
    none = [np.empty(0)]
    lower = np.concatenate(none + [bounds[r.source].lower[0] for r in network.relus])
    upper = np.concatenate(none + [bounds[r.source].upper[0] for r in network.relus])
    outputs = [bounds[port.source] for port in network.outputs]
    ranges = np.concatenate([z.lower[0] for z in outputs]), np.concatenate([z.upper[0] for z in outputs])
    return (lower < 0) & (upper > 0), (lower >= 0) & (upper > 0), ranges


def _all(network: Network, frame: Frame, unstable: BoolArray, active: BoolArray, regions: list[Piece]) -> list[Piece]:
    """Pieces for all patterns of the unstable units; those of regions keep their proved ranges of outputs."""
    count = int(unstable.sum())
    if count > MAX_ALL:
        raise LimitError(
            "shallow/too-large",
            "there are too many patterns to write all of them",
            value=f"2^{count} patterns of {count} units that are not stable",
            hint="use --patterns feasible",
        )
    return pattern_pieces(network, frame, unstable, active, regions)


def _written(shallow: Shallow, problem: Problem, element: Element) -> bytes:
    """The bytes of the file, seen to hold just the network that was made."""
    from eqverify.export.onnx import write_network
    from eqverify.frontend.onnx import parse_network

    metadata = {
        "eqverify.version": version(),
        "eqverify.network": problem.network.digest,
        "eqverify.domain": problem.domain.digest,
        "eqverify.claim": "approximation, exact in the delta-interiors of linear regions only; not equivalent",
        "eqverify.delta": repr(shallow.delta),
    }
    data = write_network(shallow.network, metadata=metadata, producer="eqverify", dtype=element)
    if not same_function(shallow.network, parse_network(data)):
        raise ContradictionError(
            "shallow/written-differs",
            "the network read back is not the one that was written",
            hint="this is a defect of eqverify; please report it with the files",
        )
    return data
