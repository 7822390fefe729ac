"""The picture of the layers before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eqverify.errors import Place, UsageError
from eqverify.report.layers import LayerRow

_KINDS = (
    ("inactive", "#b8c4ce", "inactive (removed)"),
    ("active", "#7fb77e", "active"),
    ("unstable", "#e07a5f", "unstable"),
    ("undecided", "#f2cc8f", "undecided"),
)


def plot_layers(rows: Sequence[LayerRow], path: str | Path, title: str) -> None:
    """Draw per layer a bar of its units by kind and beside it a bar of what was kept.

    Args:
        rows: the table; `kept` set.
        path: where; the suffix (.svg, .png, .pdf) names the format.
        title: heading.

    Raises:
        UsageError: `usage/picture-format`, or the folder cannot be written to.
    """
    from matplotlib.figure import Figure

    path = picture_path(path)
    figure = Figure(figsize=(max(5.0, 1.2 * len(rows) + 2.5), 3.6), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    base = [0] * len(rows)
    for attribute, colour, label in _KINDS:
        heights = [int(getattr(row, attribute)) for row in rows]
        axes.bar([p - 0.2 for p in places], heights, 0.38, bottom=base, color=colour, label=label)
        base = [b + h for b, h in zip(base, heights, strict=True)]
    kept = [row.kept or 0 for row in rows]
    bars = axes.bar([p + 0.2 for p in places], kept, 0.38, color="#3d405b", label="kept")
    axes.bar_label(bars, fontsize=8)
    axes.set_ylim(0, 1.12 * max(1, *base, *kept))  # room for the numbers below the title
    axes.set_xticks(list(places), [row.name for row in rows], rotation=20 if sum(len(row.name) for row in rows) > 40 else 0)
    axes.set_ylabel("ReLU units")
    axes.set_title(title, fontsize=10)
    figure.legend(fontsize=8, frameon=False, ncols=3 if len(rows) < 5 else len(_KINDS) + 1, loc="outside lower center")
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def picture_path(path: str | Path) -> Path:
    """The path of a picture.

    Raises:
        UsageError: `usage/picture-format` for a suffix that names no format.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise UsageError(
            "usage/picture-format",
            "unknown format of a picture",
            place=Place(file=str(path)),
            value=path.suffix,
            hint="use .svg, .png or .pdf",
        )
    return path


def save_figure(figure: object, path: Path) -> None:
    """Write a figure of matplotlib; an existing file is replaced in one step."""
    import io

    from eqverify.files import atomic_write

    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=150)  # type: ignore[attr-defined]
    atomic_write(path, buffer.getvalue())
