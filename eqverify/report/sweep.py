"""Plots of sweeps as SVG, and one HTML page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from eqverify.report.plot import svg

_COLOURS = ("#3d405b", "#e07a5f", "#7fb77e", "#f2cc8f", "#5b8db8", "#b8c4ce")
_SHORTEST = 0.01
"""Seconds; shorter times are drawn there, for the axes are logarithmic."""

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.15em .7em;text-align:left;border-bottom:1px solid #ddd}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wrong{background:#f7c5bb}svg{max-width:100%;height:auto}
.bar{display:inline-block;height:.8em;background:#3d405b;vertical-align:middle}.rest{background:#d8dde2}
"""


def cactus(times: Mapping[str, Sequence[float]], limit: float) -> str:
    """SVG: how many instances each run solves within how many seconds.

    Args:
        times: by name of the run, the seconds of the instances that it solved.
        limit: seconds, where the axis ends.
    """
    figure, axes = _axes(6.4, 4.0)
    for colour, (name, seconds) in zip(_COLOURS, times.items(), strict=False):
        ordered = sorted(max(value, _SHORTEST) for value in seconds)
        axes.step(ordered, range(1, len(ordered) + 1), where="post", label=f"{name}: {len(ordered)}", color=colour)
    axes.set_xscale("log")
    axes.set_xlim(_SHORTEST, limit)
    axes.set_xlabel("seconds")
    axes.set_ylabel("instances solved")
    axes.legend(frameon=False)
    return svg(figure)


def scatter(pairs: Sequence[tuple[float, float]], names: tuple[str, str], limit: float) -> str:
    """SVG: seconds of two runs for each instance; what was not solved stands at the limit."""
    figure, axes = _axes(4.6, 4.4)
    reach = (_SHORTEST, limit * 1.2)
    x, y = ([min(max(pair[side], _SHORTEST), limit) for pair in pairs] for side in (0, 1))
    axes.plot(reach, reach, color="#b8c4ce", linewidth=1)
    axes.scatter(x, y, s=14, color=_COLOURS[0], alpha=0.7)
    for name in ("x", "y"):
        getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(*reach)
    axes.set_xlabel(f"seconds, {names[0]}")
    axes.set_ylabel(f"seconds, {names[1]}")
    return svg(figure)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], marked: Iterable[int] = ()) -> str:
    """An HTML table; rows whose numbers are in `marked` are shaded. Cells are escaped unless they are `Raw`."""
    shaded = set(marked)
    lines = ["<table><tr>", *(f"<th>{html.escape(cell)}</th>" for cell in header), "</tr>"]
    for number, row in enumerate(rows):
        lines.append('<tr class="wrong">' if number in shaded else "<tr>")
        lines += [_cell(cell) for cell in row]
        lines.append("</tr>")
    return "".join([*lines, "</table>"])


class Raw(str):
    """HTML that is ready."""

    __slots__ = ()


def layer_bars(layers: Sequence[Mapping[str, object]]) -> Raw:
    """Per layer a bar of its units, the dark part those that were kept."""
    parts = []
    for layer in layers:
        units, kept = int(str(layer.get("units") or 0)), int(str(layer.get("kept") or 0))
        title = html.escape(f"{layer.get('name')}: {kept} of {units} kept")
        dark = 60 * min(kept, units) / max(units, 1)
        parts.append(
            f'<span title="{title}"><span class="bar" style="width:{dark:.1f}px"></span>'
            f'<span class="bar rest" style="width:{60 - dark:.1f}px"></span></span>'
        )
    return Raw("&thinsp;".join(parts))


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page of headings with ready HTML below each."""
    body = "".join(f"<h2>{html.escape(heading)}</h2>{content}" for heading, content in sections)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{body}</html>\n"
    )


def _cell(cell: object) -> str:
    if isinstance(cell, Raw):
        return f"<td>{cell}</td>"
    if isinstance(cell, float):
        return f'<td class="n">{cell:.2f}</td>'
    if isinstance(cell, int):
        return f'<td class="n">{cell}</td>'
    return f"<td>{html.escape(str(cell))}</td>"


def _axes(width: float, height: float):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
