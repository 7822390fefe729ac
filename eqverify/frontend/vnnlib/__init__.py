"""VNN-LIB 1.0 and 2.x: text to a typed query, and the query to a `Specification`.

>>> query = parse_query('''
... (declare-const X_0 Real) (declare-const Y_0 Real)
... (assert (>= X_0 0)) (assert (<= X_0 0.5)) (assert (>= Y_0 1))''')
>>> specification = lower(query)
>>> specification.domain.hull.upper
array([0.5])
"""

from eqverify.frontend.vnnlib.lowering import lower
from eqverify.frontend.vnnlib.parser import parse_query
from eqverify.frontend.vnnlib.reader import read_query
from eqverify.frontend.vnnlib.syntax import (
    And,
    BoundList,
    Comparison,
    Difference,
    Formula,
    Literal,
    Network,
    Or,
    Product,
    Query,
    Sum,
    Tensor,
    Term,
    Variable,
)

__all__ = [
    "And",
    "BoundList",
    "Comparison",
    "Difference",
    "Formula",
    "Literal",
    "Network",
    "Or",
    "Product",
    "Query",
    "Sum",
    "Tensor",
    "Term",
    "Variable",
    "lower",
    "parse_query",
    "read_query",
]
