"""The names of shapes, apart from what makes them."""

from typing import Literal

Shape = Literal["sequential", "residual", "structured", "leo", "auto"]
Made = Literal["sequential", "residual", "structured", "leo", "unchanged"]
