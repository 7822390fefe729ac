"""How loops are compiled: alone here is numba imported.

Machine code is kept beside the sources, or in the user's cache where these cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def compiled(loop: Loop) -> Loop:
    """The loop as machine code: sums in any order, fused operations, nothing assumed about NaN and infinities."""
    return cast(Loop, numba.njit(fastmath={"reassoc", "contract", "nsz"}, **_OPTIONS)(loop))


def compiled_for_finite(loop: Loop) -> Loop:
    """Likewise, for numbers that are finite: largest ones of many are found several at a time."""
    return cast(Loop, numba.njit(fastmath=True, **_OPTIONS)(loop))
