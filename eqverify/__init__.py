"""Verified reduction of ReLU networks.

>>> import eqverify as eq
>>> problem = eq.load_problem("net.onnx", "prop.vnnlib")     # doctest: +SKIP
>>> result = eq.reduce(problem, time_limit=60)                # doctest: +SKIP
>>> result.save("out.onnx")                                   # doctest: +SKIP

Everything public is imported when it is first used: importing this package imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqverify.api.certificate import check
    from eqverify.api.loading import load_network, load_problem, load_query
    from eqverify.api.proving import prove_stability
    from eqverify.api.reduction import Reduction, reduce
    from eqverify.errors import EqverifyError
    from eqverify.problem import Problem
    from eqverify.stability.facts import Facts, Status

__version__ = "0.1.0"

_HOMES = {
    "EqverifyError": "eqverify.errors",
    "Facts": "eqverify.stability.facts",
    "Problem": "eqverify.problem",
    "Reduction": "eqverify.api.reduction",
    "Status": "eqverify.stability.facts",
    "check": "eqverify.api.certificate",
    "load_network": "eqverify.api.loading",
    "load_problem": "eqverify.api.loading",
    "load_query": "eqverify.api.loading",
    "prove_stability": "eqverify.api.proving",
    "reduce": "eqverify.api.reduction",
}

__all__ = [
    "EqverifyError",
    "Facts",
    "Problem",
    "Reduction",
    "Status",
    "__version__",
    "check",
    "load_network",
    "load_problem",
    "load_query",
    "prove_stability",
    "reduce",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'eqverify' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
