"""Plots of sweeps as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eqverify.report.plot import DARK, no_picture, svg

_COLOURS = (DARK, "#e07a5f", "#7fb77e", "#f2cc8f", "#5b8db8", "#b8c4ce")
_SHORTEST = 0.01
"""Seconds; shorter times are drawn there, for the axes are logarithmic."""


def cactus(times: Mapping[str, Sequence[float]], limit: float) -> str:
    """SVG, or a note without matplotlib: how many instances each run solves within how many seconds.

    Args:
        times: by name of the run, the seconds of the instances that it solved.
        limit: seconds, where the axis ends.
    """
    if note := no_picture():
        return note
    figure, axes = _axes(6.4, 4.0)
    least = _least(value for seconds in times.values() for value in seconds)
    for colour, (name, seconds) in zip(_COLOURS, times.items(), strict=False):
        ordered = sorted(max(value, _SHORTEST) for value in seconds)
        axes.step(ordered, range(1, len(ordered) + 1), where="post", label=f"{name}: {len(ordered)}", color=colour)
    axes.set_xscale("log")
    reach = least, max(limit, 2 * least)
    axes.set_xlim(*reach)
    _decimals(axes.xaxis, reach)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("instances solved")
    axes.legend(frameon=False)
    return svg(figure)


def scatter(pairs: Sequence[tuple[float, float]], names: tuple[str, str], limit: float) -> str:
    """SVG, or a note without matplotlib: seconds of two runs for each instance; unsolved ones stand at the limit."""
    if note := no_picture():
        return note
    figure, axes = _axes(4.6, 4.4)
    least = _least(value for pair in pairs for value in pair)
    reach = (least, max(1.2 * limit, 2 * least))
    x, y = ([min(max(pair[side], _SHORTEST), limit) for pair in pairs] for side in (0, 1))
    axes.plot(reach, reach, color="#b8c4ce", linewidth=1)
    axes.scatter(x, y, s=14, color=_COLOURS[0], alpha=0.7)
    for name in ("x", "y"):
        getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(*reach)
        _decimals(getattr(axes, f"{name}axis"), reach)
    axes.set_xlabel(f"seconds, {names[0]}")
    axes.set_ylabel(f"seconds, {names[1]}")
    return svg(figure)


def _least(seconds: Iterable[float]) -> float:
    """Where an axis begins: a little before the shortest time."""
    return 0.8 * max(min(seconds, default=_SHORTEST), _SHORTEST)


def _decimals(axis, reach: tuple[float, float]) -> None:  # type: ignore[no-untyped-def]
    """Few enough ticks of a logarithmic axis: powers of ten, and twice and five times these where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if reach[1] < 100 * reach[0] else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _axes(width: float, height: float):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
