"""The linear regions of a network on a property's inputs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eqverify.api.jobs import on_stored_problems
from eqverify.approximate.options import Method
from eqverify.approximate.regions import LinearRegions, RegionKeywords
from eqverify.approximate.regions import find_regions as find
from eqverify.arrays import IEEE, FloatArray
from eqverify.errors import InputError, Place, UsageError
from eqverify.files import atomic_write
from eqverify.options import keywords, keywords_of
from eqverify.problem import Problem
from eqverify.reduction.certifying import certify_regions, require_files

_MOST_REGIONS = 32
"""Regions at a point of which the network is compared with its file."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionReport:
    """What was found about the linear regions of a problem's network on its domain.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> report = eq.find_regions(network, eq.ball([0, 0], 1))
    >>> report
    <RegionReport: 4 linear regions, all>

    Attributes:
        problem: network and domain.
        found: regions and bounds on their number.
        method: how they were found.
        proof: of their number, if it was asked for and there is one: a file that `eqverify.check` verifies.
        proved: what the checker says of it: the number, perhaps with `at least`.
    """

    problem: Problem
    found: LinearRegions
    method: Method
    proof: bytes | None = None
    proved: str = ""

    def __repr__(self) -> str:
        found = self.found
        bounds = "all" if found.complete else f"at most {found.upper}"
        return f"<RegionReport: {len(found.regions)} linear regions, {bounds}>"

    def as_dict(self) -> dict[str, object]:
        """All numbers, for JSON."""
        opaque = {} if self.problem.tail is None else {"opaque": list(self.problem.tail.operators)}
        reading = self.problem.reading.as_dict()
        proof = {"proved": self.proved or None, "proof_bytes": None if self.proof is None else len(self.proof)}
        return {"method": self.method, **self.found.as_dict(), **opaque, "reading": reading, **proof}

    def save_list(self, path: str | Path) -> None:
        """Write the regions as CSV: pattern (layers apart by |), affine map, radius, a point inside.

        Raises:
            UsageError: the folder does not exist or cannot be written to.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        network = self.problem.network
        writer.writerow(["pattern", "map", "radius", *(f"x{k}" for k in range(network.input_size))])
        ends = np.cumsum([network.sizes[relu.name] for relu in network.relus])
        for region, group in zip(self.found.regions, self.found.groups.tolist(), strict=True):
            layers = np.split(region.pattern.astype(int), ends[:-1])
            pattern = "|".join("".join(map(str, layer.tolist())) for layer in layers)
            writer.writerow([pattern, group, repr(region.radius), *map(repr, region.point.tolist())])
        atomic_write(path, text.getvalue())

    def plot(self, path: str | Path, points: FloatArray | None = None) -> None:
        """Draw the regions on the two free inputs, or on the plane through three points (3, inputs).

        Raises:
            UsageError: `usage/picture-format`, `usage/no-matplotlib`, `regions/picture-inputs`.
            InputError: `regions/slice`.
        """
        from eqverify.approximate.plane import domain_plane, pattern_grid, slice_plane
        from eqverify.report.regions import plot_regions

        network, domain = self.problem.network, self.problem.domain
        plane = domain_plane(domain) if points is None else slice_plane(points, network.input_size)
        grid = pattern_grid(network, domain, plane)
        seen, count = int(grid.max(initial=-1)) + 1, len(self.found.regions)
        if self.found.complete:
            shown = f"{seen} of them on this slice" if points is not None else "one colour each"
        else:
            shown = f"{seen} activation patterns seen on this {'slice' if points is not None else 'grid'}"
        bound = "" if self.found.complete else "at least "
        plot_regions(grid, plane, path, f"{bound}{count} linear regions, {shown}")


@on_stored_problems
@keywords(RegionKeywords)
@IEEE
def find_regions(problem: Problem, options: RegionKeywords) -> RegionReport:
    """Count and list the full-dimensional linear regions of a problem's network on its domain.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> eq.find_regions(network, ([-1, 0.5], [1, 1]))
    <RegionReport: 2 linear regions, all>

    Args:
        problem: network and domain.
        options: the keywords are those of `RegionKeywords`.

    Returns:
        The regions; of a network with operators that are not piecewise linear, those of what lies before these.
        Trusted: float64 and rational arithmetic, no solver but those in `found.trusted`.

    Raises:
        UsageError: `usage/limit`.
        InputError: `regions/flat-domain` where the domain has no interior; `read/differs` where the network's file
            computes something else at a point of a region; `certificate/...` with `proof`, as for `reduce`.
    """
    if options.proof:
        require_files(problem)
    found = find(problem.network, problem.domain, **keywords_of(options))
    problem.reading.compare(np.array([region.point for region in found.regions[:_MOST_REGIONS]]))
    seen = certify_regions(problem, found.parts) if options.proof else None
    return RegionReport(problem, found, options.method, *(seen or ()))


def read_points(paths: Sequence[str | Path]) -> FloatArray:
    """Points from text files, one each: numbers apart by white space or commas.

    Raises:
        UsageError: `files/not-found`.
        InputError: `regions/point-file`, also where the files differ in length.
    """
    points = []
    for path in paths:
        try:
            text = Path(path).read_text("utf-8")
            points.append([float(word) for word in text.replace(",", " ").split()])
        except OSError as error:
            raise UsageError(
                "files/not-found", "there is no such file", place=Place(file=str(path)), value=str(error)
            ) from error
        except ValueError as error:
            raise InputError(
                "regions/point-file",
                "a point is a text file of numbers",
                place=Place(file=str(path)),
                value=str(error),
                hint="write the inputs one after the other, apart by white space or commas",
            ) from error
    if len({len(point) for point in points}) > 1:
        raise InputError("regions/point-file", "the points differ in length", value=[len(p) for p in points])
    return np.array(points, dtype=np.float64)
