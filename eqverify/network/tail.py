"""What may follow a network in its file: a part that is carried along as bytes and never looked into."""

from __future__ import annotations

from typing import Protocol


class OpaqueTail(Protocol):
    """The part of a model behind operators that are not piecewise linear, copied unchanged."""

    @property
    def model(self) -> bytes:
        """A model of its own: its inputs are the tensors at the cut and inputs of the original that it reads."""

    @property
    def interface(self) -> bytes:
        """A model without nodes: the original's inputs, outputs and operator sets."""

    @property
    def opset(self) -> int:
        """Version of the default operator set."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Types of its nodes, each once."""
