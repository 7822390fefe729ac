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
    from eqverify.api.equivalence import decide_pair_query, equivalent, pair_query
    from eqverify.api.loading import load_network, load_problem, load_query
    from eqverify.api.local import local_problem
    from eqverify.api.regions import RegionReport, find_regions
    from eqverify.api.shallow import ShallowReport, make_shallow
    from eqverify.api.verification import verify
    from eqverify.deciding.answer import Verification
    from eqverify.deciding.pairs import PairAnswer
    from eqverify.equivalence.answer import Equivalence
    from eqverify.errors import EqverifyError
    from eqverify.problem import Problem
    from eqverify.reduction.boxes import reduce_per_box
    from eqverify.reduction.directed import reduce_for_property
    from eqverify.reduction.pipeline import reduce
    from eqverify.reduction.result import Reduction
    from eqverify.stability.facts import Facts, Status
    from eqverify.stability.proving import prove_stability

__version__ = "0.2.0"

_HOMES = {
    "api.certificate": ("check",),
    "api.equivalence": ("decide_pair_query", "equivalent", "pair_query"),
    "api.loading": ("load_network", "load_problem", "load_query"),
    "api.local": ("local_problem",),
    "api.regions": ("RegionReport", "find_regions"),
    "api.shallow": ("ShallowReport", "make_shallow"),
    "api.verification": ("verify",),
    "deciding.answer": ("Verification",),
    "deciding.pairs": ("PairAnswer",),
    "equivalence.answer": ("Equivalence",),
    "errors": ("EqverifyError",),
    "problem": ("Problem",),
    "reduction.boxes": ("reduce_per_box",),
    "reduction.directed": ("reduce_for_property",),
    "reduction.pipeline": ("reduce",),
    "reduction.result": ("Reduction",),
    "stability.facts": ("Facts", "Status"),
    "stability.proving": ("prove_stability",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

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
    if name not in _MODULES:
        raise AttributeError(f"module 'eqverify' has no attribute {name!r}")
    return getattr(importlib.import_module(f"eqverify.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
