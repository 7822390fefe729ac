"""Tables as pandas' frames, where pandas is installed: it is no dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eqverify.errors import UsageError


def frame(columns: Mapping[str, Sequence[Any]]) -> Any:
    """A `pandas.DataFrame` of columns of one length.

    Raises:
        UsageError: `usage/no-pandas`.
    """
    try:
        import pandas as pd
    except ImportError:
        raise UsageError("usage/no-pandas", "frames need pandas", hint="pip install pandas") from None
    return pd.DataFrame(dict(columns))
