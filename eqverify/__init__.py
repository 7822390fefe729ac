"""Verified reduction of ReLU networks.

>>> import eqverify as eq
>>> network, query = eq.example_files()
>>> eq.reduce(network, query, engine="crown")
<Reduction: 120 -> 40 ReLUs, 5410 -> 1535 weights, eps 8.66e-07, sequential>

Everything public is imported when it is first used: importing this package imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqverify.api.certificate import check
    from eqverify.api.equivalence import decide_pair_query, equivalent, pair_query
    from eqverify.api.loading import load_network, load_problem, load_query
    from eqverify.api.local import ball, box, local_problem
    from eqverify.api.ranges import Ranges, prove_ranges
    from eqverify.api.reduction import reduce, reduce_for_property, reduce_per_box
    from eqverify.api.regions import RegionReport, find_regions
    from eqverify.api.shallow import ShallowReport, make_shallow
    from eqverify.api.stability import prove_stability
    from eqverify.api.verification import verify
    from eqverify.cli.progress import shown_progress
    from eqverify.deciding.answer import Verification
    from eqverify.deciding.pairs import PairAnswer
    from eqverify.equivalence.answer import Equivalence
    from eqverify.errors import EqverifyError
    from eqverify.examples import example_files
    from eqverify.network import Network
    from eqverify.problem import Problem
    from eqverify.reduction.result import Reduction
    from eqverify.stability.facts import Facts, Status

__version__ = "0.3.0"

_HOMES = {
    "api.certificate": ("check",),
    "api.equivalence": ("decide_pair_query", "equivalent", "pair_query"),
    "api.loading": ("load_network", "load_problem", "load_query"),
    "api.local": ("ball", "box", "local_problem"),
    "api.ranges": ("Ranges", "prove_ranges"),
    "api.reduction": ("reduce", "reduce_for_property", "reduce_per_box"),
    "api.regions": ("RegionReport", "find_regions"),
    "api.shallow": ("ShallowReport", "make_shallow"),
    "api.stability": ("prove_stability",),
    "api.verification": ("verify",),
    "cli.progress": ("shown_progress",),
    "deciding.answer": ("Verification",),
    "deciding.pairs": ("PairAnswer",),
    "equivalence.answer": ("Equivalence",),
    "errors": ("EqverifyError",),
    "examples": ("example_files",),
    "network": ("Network",),
    "problem": ("Problem",),
    "reduction.result": ("Reduction",),
    "stability.facts": ("Facts", "Status"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Equivalence",
    "EqverifyError",
    "Facts",
    "Network",
    "PairAnswer",
    "Problem",
    "Ranges",
    "Reduction",
    "RegionReport",
    "ShallowReport",
    "Status",
    "Verification",
    "__version__",
    "ball",
    "box",
    "check",
    "decide_pair_query",
    "equivalent",
    "example_files",
    "find_regions",
    "load_network",
    "load_problem",
    "load_query",
    "local_problem",
    "make_shallow",
    "pair_query",
    "prove_ranges",
    "prove_stability",
    "reduce",
    "reduce_for_property",
    "reduce_per_box",
    "shown_progress",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'eqverify' has no attribute {name!r}")
    return getattr(importlib.import_module(f"eqverify.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
