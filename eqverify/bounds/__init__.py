"""Sound bounds on the values of nodes over boxes: interval arithmetic and CROWN, rounded outwards."""

from eqverify.bounds.crown import crown_bounds
from eqverify.bounds.interval import Bounds, Interval, interval_bounds

__all__ = ["Bounds", "Interval", "crown_bounds", "interval_bounds"]
