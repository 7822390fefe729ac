"""Functions of one real number, with lines around them that are proved on intervals.  Knows nothing of networks."""

from eqverify.functions.cosine import Cos
from eqverify.functions.erf import Erf
from eqverify.functions.exponential import Exp
from eqverify.functions.function import Function, Piece
from eqverify.functions.lines import Lines, lines
from eqverify.functions.logarithm import Log
from eqverify.functions.power import Power
from eqverify.functions.product import Planes, product_planes, product_range
from eqverify.functions.reciprocal import Reciprocal
from eqverify.functions.root import Sqrt
from eqverify.functions.sigmoid import Sigmoid
from eqverify.functions.silu import Silu
from eqverify.functions.sine import Sin
from eqverify.functions.softplus import Softplus
from eqverify.functions.tanh import Tanh

__all__ = [
    "Cos",
    "Erf",
    "Exp",
    "Function",
    "Lines",
    "Log",
    "Piece",
    "Planes",
    "Power",
    "Reciprocal",
    "Sigmoid",
    "Silu",
    "Sin",
    "Softplus",
    "Sqrt",
    "Tanh",
    "lines",
    "product_planes",
    "product_range",
]
