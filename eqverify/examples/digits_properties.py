"""Writes the properties of the shipped example, from test images of scikit-learn's digits.

Run as ``python -m eqverify.examples.digits_properties FOLDER``.  All bounds are decimals without rounding: pixels are
multiples of 1/16, and radii are decimals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from eqverify.examples.train_digits import CLASSES, PIXELS, digits_split
from eqverify.files import atomic_write

SIDE = 8
Bounds = Sequence[tuple[Decimal, Decimal]]
"""Lower and upper bound of each pixel."""


@dataclass(frozen=True, slots=True)
class Ball:
    """All images whose pixels differ by at most `radius` from those of one test image, within [0, 1]."""

    image: int
    radius: Decimal

    def bounds(self, pixels: Sequence[Decimal]) -> Bounds:
        """The box of pixel values."""
        return [(max(p - self.radius, Decimal(0)), min(p + self.radius, Decimal(1))) for p in pixels]

    def title(self, label: int) -> str:
        """What the property is about, in a line."""
        return f"Every pixel within {self.radius} of test image {self.image}, a {label}."


@dataclass(frozen=True, slots=True)
class Patch:
    """All images that differ from one test image only in a square of `size` x `size` pixels, of any grey there."""

    image: int
    row: int
    column: int
    size: int

    def bounds(self, pixels: Sequence[Decimal]) -> Bounds:
        """The box of pixel values; fixed pixels have equal bounds."""
        return [(Decimal(0), Decimal(1)) if self._inside(k) else (p, p) for k, p in enumerate(pixels)]

    def _inside(self, pixel: int) -> bool:
        row, column = divmod(pixel, SIDE)
        return 0 <= row - self.row < self.size and 0 <= column - self.column < self.size

    def title(self, label: int) -> str:
        """What the property is about, in a line."""
        where = f"rows {self.row}-{self.row + self.size - 1}, columns {self.column}-{self.column + self.size - 1}"
        return f"Test image {self.image}, a {label}; the pixels in {where} (from 0) are free, all others are fixed."


Writer = Callable[[str, Bounds, int], str]


def version1(title: str, bounds: Bounds, label: int) -> str:
    """The question "can another digit score at least as high as `label`?" in VNN-LIB 1.0."""
    lines = _comments(title, label)
    lines += [f"(declare-const X_{k} Real)" for k in range(PIXELS)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(CLASSES)]
    for k, (lower, upper) in enumerate(bounds):
        lines += [f"(assert (>= X_{k} {_text(lower)})) (assert (<= X_{k} {_text(upper)}))"]
    others = [f"  (and (>= Y_{k} Y_{label}))" for k in range(CLASSES) if k != label]
    return "\n".join([*lines, "(assert (or", *others, "))", ""])


def version2(title: str, bounds: Bounds, label: int) -> str:
    """The same question in VNN-LIB 2.0."""
    lines = _comments(title, label)
    lines += ["(vnnlib-version <2.0>)", "(declare-network digits"]
    lines += [f"  (declare-input X float32 [1,{PIXELS}])", f"  (declare-output Y float32 [1,{CLASSES}])", ")"]
    for k, (lower, upper) in enumerate(bounds):
        lines += [f"(assert (>= X[0,{k}] {_text(lower)})) (assert (<= X[0,{k}] {_text(upper)}))"]
    others = [f"  (>= Y[0,{k}] Y[0,{label}])" for k in range(CLASSES) if k != label]
    return "\n".join([*lines, "(assert (or", *others, "))", ""])


def _comments(title: str, label: int) -> list[str]:
    return [
        "; Shipped example of eqverify, written by eqverify/examples/digits_properties.py.",
        f"; {title}",
        "; Pixels are row by row, 0 for white and 1 for black.",
        f"; Asks for an input on which another digit scores at least as high as {label}.",
    ]


def _text(value: Decimal) -> str:
    """At least one decimal place, as VNN-LIB 2 wants of floats; no superfluous zeros."""
    digits = f"{value:f}".rstrip("0") if "." in f"{value:f}" else f"{value:f}."
    return digits + "0" if digits.endswith(".") else digits


PROPERTIES: dict[str, tuple[Ball | Patch, Writer]] = {
    "digits_ball.vnnlib": (Ball(0, Decimal("0.02")), version1),
    "digits_ball_v2.vnnlib": (Ball(1, Decimal("0.05")), version2),
    "digits_patch.vnnlib": (Patch(2, 2, 2, 3), version1),
}
"""The shipped files: which inputs, and the version of the format."""


def property_texts() -> dict[str, str]:
    """The text of every shipped property by file name."""
    _, test = digits_split()
    texts = {}
    for name, (region, write) in PROPERTIES.items():
        pixels = [Decimal(float(value)) for value in test.images[region.image]]
        label = int(test.labels[region.image])
        texts[name] = write(region.title(label), region.bounds(pixels), label)
    return texts


def main() -> None:
    """Write all of them into a folder."""
    parser = argparse.ArgumentParser(description="Write the properties of the shipped example.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, text in property_texts().items():
        atomic_write(folder / name, text)


if __name__ == "__main__":
    main()
