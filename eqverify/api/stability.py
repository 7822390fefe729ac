"""The proof of stability, for models and inputs of any kind."""

from __future__ import annotations

from eqverify.api.jobs import on_rounding_problems
from eqverify.stability import proving

prove_stability = on_rounding_problems(proving.prove_stability)
