"""Input sets (boxes, polytopes, unions) and output conditions.  Knows nothing of networks."""

from eqverify.domain.assumption import Assumption, assume, assumed_inputs, condition_rows, row_numbers
from eqverify.domain.box import Box
from eqverify.domain.condition import (
    Case,
    Conjunction,
    Declaration,
    HalfSpace,
    NetworkSignature,
    Specification,
)
from eqverify.domain.polytope import Domain, Polytope, box_domain
from eqverify.domain.widened import widened_domain, widened_specification
from eqverify.domain.written import Bounds, Written

__all__ = [
    "Assumption",
    "Bounds",
    "Box",
    "Case",
    "Conjunction",
    "Declaration",
    "Domain",
    "HalfSpace",
    "NetworkSignature",
    "Polytope",
    "Specification",
    "Written",
    "assume",
    "assumed_inputs",
    "box_domain",
    "condition_rows",
    "row_numbers",
    "widened_domain",
    "widened_specification",
]
