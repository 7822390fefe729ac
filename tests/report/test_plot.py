"""Pictures: what stands on them can be read."""

import pytest

from eqverify.report import plot
from eqverify.report.layers import LayerRow

LAYERS = {
    "two": [(64, 10, 20, 34, 64), (48, 10, 20, 18, 40)],
    "many": [(64, 10, 20, 34, 64), (1, 1, 0, 0, 0), (12000, 0, 12000, 0, 11999), (9, 3, 2, 4, 4), (9, 9, 0, 0, 0)] * 2,
    "nothing is left": [(5, 5, 0, 0, 0)],
    "one": [(300, 0, 0, 300, 300)],
    "none": [],
}


@pytest.mark.parametrize("layers", LAYERS)
def test_texts_of_a_picture_lie_apart_and_inside(layers, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plot, "save_figure", lambda figure, _: figures.append(figure))
    rows = [
        LayerRow(f"/relu_{k}/Relu_output_0", units, inactive, active, unstable, 0, 0, kept)
        for k, (units, inactive, active, unstable, kept) in enumerate(LAYERS[layers])
    ]
    plot.plot_layers(rows, tmp_path / "layers.png", "12345 ReLUs before, 12045 after; eps = 3.4e-08")
    (figure,) = figures
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (legend,) = figure.legends
    ticks = axes.get_xticklabels()
    boxes = [artist.get_window_extent() for artist in (axes.title, legend, *axes.texts, *ticks)]
    assert len(boxes) == 2 + 2 * len(rows)
    inside = figure.bbox.padded(1)
    assert all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)
    fixed, numbers = boxes[:2], boxes[2 : 2 + len(rows)]
    assert not [1 for box in fixed for other in numbers if box.overlaps(other)]
    assert not fixed[1].count_overlaps(boxes[2:])
