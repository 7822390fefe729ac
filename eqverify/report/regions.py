"""The picture of linear regions on a plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eqverify.approximate.plane import Plane
from eqverify.arrays import FloatArray, IntArray
from eqverify.report.plot import picture_path, save_figure

_GOLDEN = 0.6180339887498949


def plot_regions(grid: IntArray, plane: Plane, path: str | Path, title: str) -> None:
    """Draw a grid of pattern numbers, one colour per number.

    Args:
        grid: (rows, columns) numbers, rows from low to high; -1 is left white.
        plane: where the grid lies.
        path: where; the suffix (.svg, .png, .pdf) names the format.
        title: heading.

    Raises:
        UsageError: `usage/picture-format`, `usage/no-matplotlib`, or the folder cannot be written to.
    """
    path = picture_path(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    extent = (float(plane.low[0]), float(plane.high[0]), float(plane.low[1]), float(plane.high[1]))
    axes.imshow(_colours(grid), origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    if len(plane.marks):
        axes.plot(plane.marks[:, 0], plane.marks[:, 1], "ko", markersize=4)
        for name, (x, y) in zip("ABC", plane.marks.tolist(), strict=True):
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points")
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])
    axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def _colours(grid: IntArray) -> FloatArray:
    """(rows, columns, 3): hues a golden ratio apart, so that neighbours in number differ."""
    from matplotlib.colors import hsv_to_rgb

    hue = grid * _GOLDEN % 1.0
    hsv = np.stack([hue, 0.35 + 0.25 * (grid % 3 / 2), 0.95 - 0.2 * (grid % 5 / 4)], axis=-1)
    return np.asarray(np.where(grid[..., None] < 0, 1.0, hsv_to_rgb(hsv)))
