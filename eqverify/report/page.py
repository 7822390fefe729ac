"""Pages of results: one template, one look, and no other file needed.  Without scripts they can be read too."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from eqverify.report.layers import LayerRow
from eqverify.report.plot import layers_figure, no_picture, svg

_WIDE = 60
"""Pixels of a bar."""


class Raw(str):
    """HTML that is ready.

    Attributes:
        value: what it is sorted and chosen by, if that is not the text.
    """

    value: str | None

    def __new__(cls, ready: str, value: str | None = None) -> Raw:
        """As the class says."""
        made = super().__new__(cls, ready)
        made.value = value
        return made


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page of headings with ready HTML below each."""
    body = "".join(f"<h2>{html.escape(heading)}</h2>{content}" for heading, content in sections)
    style, script = (Path(__file__).with_name(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{style}</style><h1>{html.escape(title)}</h1>{body}<script>{script}</script></html>\n"
    )


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], marked: Iterable[int] = (), choose: str | None = None
) -> str:
    """A table that scrolls where the window is narrow, and sorts by the column whose heading is clicked.

    Args:
        header: names of columns; none for a table of names and values.
        rows: cells, escaped unless they are `Raw`; numbers stand at the right.
        marked: numbers of rows that are shaded.
        choose: the column that rows can be filtered by.
    """
    shaded = set(marked)
    chosen = "" if choose is None else f' data-choose="{header.index(choose)}"'
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = [f'<div class="scroll"><table{chosen}>', f"<thead><tr>{head}</tr></thead>" if head else "", "<tbody>"]
    for number, row in enumerate(rows):
        lines.append('<tr class="wrong">' if number in shaded else "<tr>")
        lines += [_cell(cell) for cell in row]
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table></div>"])


def command_line(words: str) -> str:
    """A command, which wraps."""
    return f"<pre>{html.escape(words)}</pre>"


def folded(word: str, text: str) -> Raw:
    """A word that opens a text; sorted and filtered by the word."""
    return Raw(f"<details><summary>{html.escape(word)}</summary><pre>{html.escape(text)}</pre></details>", word)


def share_bar(part: float, whole: float, title: str = "") -> Raw:
    """A bar whose dark part is a share of a whole."""
    dark = _WIDE * min(max(part, 0.0), whole) / whole if whole > 0 else 0.0
    return Raw(
        f'<span title="{html.escape(title)}"><span class="bar" style="width:{dark:.1f}px"></span>'
        f'<span class="bar rest" style="width:{_WIDE - dark:.1f}px"></span></span>',
        str(part),
    )


def layer_bars(layers: Sequence[Mapping[str, object]]) -> Raw:
    """Per layer a bar of its units, the dark part those that were kept."""
    bars = []
    for layer in layers:
        units, kept = int(str(layer.get("units") or 0)), int(str(layer.get("kept") or 0))
        bars.append(share_bar(kept, max(units, 1), f"{layer.get('name')}: {kept} of {units} kept"))
    return Raw("&thinsp;".join(bars))


def layers_html(rows: Sequence[LayerRow], title: str) -> str:
    """The picture of the layers before and after (a note without matplotlib), and their table."""
    cells = [list(row.as_dict().values()) for row in rows]
    picture = no_picture() or svg(layers_figure(rows, title))
    return picture + table(list(rows[0].as_dict()) if rows else ["no layers"], cells)


def _cell(cell: object) -> str:
    if isinstance(cell, Raw):
        value = "" if cell.value is None else f' data-value="{html.escape(cell.value)}"'
        return f"<td{value}>{cell}</td>"
    if isinstance(cell, float):
        return f'<td class="n" data-value="{cell!r}">{cell:.2f}</td>'
    if isinstance(cell, int):
        return f'<td class="n">{cell}</td>'
    return f"<td>{html.escape(str(cell))}</td>"
