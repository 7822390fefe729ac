"""The picture of the layers before and after, and what all pictures share.  matplotlib is an extra, `pictures`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.errors import Place, UsageError
from eqverify.report.layers import LayerRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DARK = "#3d405b"
"""Of what was kept; a page may say what is as dark on its background (`--dark`)."""

_KINDS = (
    ("inactive", "#b8c4ce", "inactive (removed)"),
    ("active", "#7fb77e", "active"),
    ("unstable", "#e07a5f", "unstable"),
    ("undecided", "#f2cc8f", "undecided"),
)


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def no_picture() -> str:
    """What pages have instead of a picture, where matplotlib is missing; empty where it is there."""
    if can_draw():
        return ""
    return "<p>No picture, for matplotlib is not installed: <code>pip install 'eqverify[pictures]'</code></p>"


def plot_layers(rows: Sequence[LayerRow], path: str | Path, title: str) -> None:
    """Write the picture of `layers_figure`.

    Args:
        rows: the table; `kept` set.
        path: where; the suffix (.svg, .png, .pdf) names the format.
        title: heading.

    Raises:
        UsageError: `usage/picture-format`, `usage/no-matplotlib`, or the folder cannot be written to.
    """
    path = picture_path(path)
    save_figure(layers_figure(rows, title), path)


def layers_figure(rows: Sequence[LayerRow], title: str) -> Figure:
    """Per layer a bar of its units by kind and beside it a bar of what was kept.

    Args:
        rows: the table; `kept` set.
        title: heading.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 1.2 * len(rows) + 2.5), 3.6), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    base = [0] * len(rows)
    for attribute, colour, label in _KINDS:
        heights = [int(getattr(row, attribute)) for row in rows]
        axes.bar([p - 0.2 for p in places], heights, 0.38, bottom=base, color=colour, label=label)
        base = [b + h for b, h in zip(base, heights, strict=True)]
    kept = [row.kept or 0 for row in rows]
    bars = axes.bar([p + 0.2 for p in places], kept, 0.38, color=DARK, label="kept")
    axes.bar_label(bars, fontsize=8)
    axes.set_ylim(0, 1.12 * max([1, *base, *kept]))  # room for the numbers below the title
    names = [row.name for row in rows]
    axes.set_xticks(list(places), names, rotation=20 if sum(map(len, names)) > 40 else 0)
    axes.set_ylabel("ReLU units")
    axes.set_title(title, fontsize=10)
    figure.legend(fontsize=8, frameon=False, ncols=3 if len(rows) < 5 else len(_KINDS) + 1, loc="outside lower center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def svg(figure: Figure) -> str:
    """A figure as an element of HTML, the same each time; black and the dark colour are those of the page around it."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "eqverify", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue().replace("#000000", "currentColor").replace(DARK, f"var(--dark, {DARK})")
    return text[text.index("<svg") :].replace("<svg ", '<svg fill="currentColor" ', 1)


def picture_path(path: str | Path) -> Path:
    """The path of a picture that can be drawn.

    Raises:
        UsageError: `usage/picture-format` for a suffix that names no format; `usage/no-matplotlib`.
    """
    path = Path(path)
    if not can_draw():
        raise UsageError(
            "usage/no-matplotlib",
            "pictures need matplotlib",
            place=Place(file=str(path)),
            hint="pip install 'eqverify[pictures]'",
        )
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise UsageError(
            "usage/picture-format",
            "unknown format of a picture",
            place=Place(file=str(path)),
            value=path.suffix,
            hint="use .svg, .png or .pdf",
        )
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure of matplotlib; an existing file is replaced in one step."""
    from eqverify.files import atomic_write

    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=150)
    atomic_write(path, buffer.getvalue())
