"""Settings of all tests: hypothesis profiles, chosen by HYPOTHESIS_PROFILE."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Tests that need another number of examples scale the profile's (`settings().max_examples`).  None has a deadline, and
# none fails for slow generation, for solvers and shared machines make single examples slow.
ALL = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=5, **ALL)
settings.register_profile("ci", max_examples=25, derandomize=True, print_blob=True, **ALL)
settings.register_profile("deep", max_examples=10_000, print_blob=True, **ALL)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))
