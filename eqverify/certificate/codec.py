"""The file format: a JSON head, then raw little-endian arrays, one after the other."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

MAGIC = b"eqverify certificate 1\n"

Kind = Literal["f8", "f4", "i4", "i1"]


class Writer:
    """Collects arrays; the head refers to them by number."""

    def __init__(self) -> None:
        self._shapes: list[list[object]] = []
        self._data: list[bytes] = []

    def array(self, values: npt.ArrayLike, kind: Kind = "f8") -> int:
        """Add an array; its number."""
        array = np.asarray(values).astype("|i1" if kind == "i1" else f"<{kind}")
        self._shapes.append([kind, list(array.shape)])
        self._data.append(array.tobytes())
        return len(self._data) - 1

    def bytes_with(self, head: dict[str, Any]) -> bytes:
        """The file: the head is given without its list of arrays."""
        text = json.dumps({**head, "arrays": self._shapes}, allow_nan=False, separators=(",", ":")).encode()
        return b"".join([MAGIC, len(text).to_bytes(8, "little"), text, *self._data])
