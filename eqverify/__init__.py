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
    from eqverify.api.answers import Verification
    from eqverify.api.boxes import reduce_per_box
    from eqverify.api.certificate import check
    from eqverify.api.directed import reduce_for_property
    from eqverify.api.equivalence import Equivalence, PairAnswer, decide_pair_query, equivalent, pair_query
    from eqverify.api.loading import load_network, load_problem, load_query
    from eqverify.api.local import local_problem
    from eqverify.api.proving import prove_stability
    from eqverify.api.reduction import Reduction, reduce
    from eqverify.api.regions import RegionReport, find_regions
    from eqverify.api.shallow import ShallowReport, make_shallow
    from eqverify.api.verification import verify
    from eqverify.errors import EqverifyError
    from eqverify.problem import Problem
    from eqverify.stability.facts import Facts, Status

__version__ = "0.2.0"

_HOMES = {
    "Equivalence": "eqverify.api.equivalence",
    "EqverifyError": "eqverify.errors",
    "Facts": "eqverify.stability.facts",
    "PairAnswer": "eqverify.api.equivalence",
    "Problem": "eqverify.problem",
    "Reduction": "eqverify.api.reduction",
    "RegionReport": "eqverify.api.regions",
    "ShallowReport": "eqverify.api.shallow",
    "Status": "eqverify.stability.facts",
    "check": "eqverify.api.certificate",
    "Verification": "eqverify.api.answers",
    "decide_pair_query": "eqverify.api.equivalence",
    "equivalent": "eqverify.api.equivalence",
    "find_regions": "eqverify.api.regions",
    "load_network": "eqverify.api.loading",
    "load_problem": "eqverify.api.loading",
    "load_query": "eqverify.api.loading",
    "local_problem": "eqverify.api.local",
    "make_shallow": "eqverify.api.shallow",
    "pair_query": "eqverify.api.equivalence",
    "prove_stability": "eqverify.api.proving",
    "reduce": "eqverify.api.reduction",
    "reduce_for_property": "eqverify.api.directed",
    "reduce_per_box": "eqverify.api.boxes",
    "verify": "eqverify.api.verification",
}

__all__ = [
    "Equivalence",
    "EqverifyError",
    "Facts",
    "PairAnswer",
    "Problem",
    "Reduction",
    "RegionReport",
    "ShallowReport",
    "Status",
    "Verification",
    "__version__",
    "check",
    "decide_pair_query",
    "equivalent",
    "find_regions",
    "load_network",
    "load_problem",
    "load_query",
    "local_problem",
    "make_shallow",
    "pair_query",
    "prove_stability",
    "reduce",
    "reduce_for_property",
    "reduce_per_box",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'eqverify' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
