"""What a caller may choose about comparing two networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eqverify.errors import UsageError
from eqverify.options import Semantics
from eqverify.trust import NOBODY, Names, Trusting

Method = Literal["splitting", "branching", "milp", "z3"]

METHODS: tuple[Method, ...] = ("splitting", "branching", "milp", "z3")


@dataclass(frozen=True, slots=True)
class EquivalenceOptions(Trusting):
    """How two networks are compared.

    Attributes:
        timeout: Seconds in all.
        semantics: Of the networks over the real numbers, or of all float32 runs of both (specs/runtime.md).
        split_inputs: Split the input box first where at most so many inputs are free.
        seed: Of random points and solver.
        trust: Solvers whose claims are used where no proof of them was found, between commas: scip, z3. By default
            none.
    """

    timeout: float = 60.0
    semantics: Semantics = "real"
    split_inputs: int = 12
    seed: int = 0
    trust: Names = NOBODY

    def __post_init__(self) -> None:
        Trusting.__post_init__(self)
        if not self.timeout > 0:
            raise UsageError("equivalence/timeout", "the timeout must be positive", value=self.timeout)
