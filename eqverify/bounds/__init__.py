"""Sound bounds on the values of nodes over boxes, rounded outwards (specs/bounds.md).

Cheap to dear: intervals, CROWN, optimised slopes (here); LP bounds in `eqverify.bounds.lp` load a solver and are
imported by name.  Splitting is in `eqverify.search`.
"""

from eqverify.bounds.alpha import optimise_slopes
from eqverify.bounds.crown import crown_bounds
from eqverify.bounds.interval import Bounds, Interval, interval_bounds
from eqverify.bounds.roundings import rounding_radii

__all__ = ["Bounds", "Interval", "crown_bounds", "interval_bounds", "optimise_slopes", "rounding_radii"]
