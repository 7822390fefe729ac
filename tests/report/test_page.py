"""Pages: everything is escaped, tables say what they are sorted and filtered by, and nothing else is needed."""

import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.report.junit import Case, junit
from eqverify.report.page import Raw, command_line, folded, layer_bars, page, table
from eqverify.report.sweep import cactus, scatter

TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "span"}


class Parsed(HTMLParser):
    """The text between tags by tag, and attributes."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.attributes, self.tags, self._open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_texts_stay_texts(text):
    parsed = Parsed(table([text], [[text, folded(text, text)]]) + command_line(text) + layer_bars([{"name": text}]))
    assert "".join(parsed.texts).count(text) >= 5
    assert set(parsed.tags) <= TAGS
    (value,) = (own["data-value"] for tag, own in parsed.attributes if tag == "td" and "data-value" in own)
    assert value == text


def test_numbers_are_sorted_by_what_they_are_and_not_by_what_is_shown():
    parsed = Parsed(table(["a", "b"], [[0.123456, 7], [Raw("<b>x</b>", "5"), "z"]], choose="b"))
    cells = [own.get("data-value") for tag, own in parsed.attributes if tag == "td"]
    assert cells == ["0.123456", None, "5", None]
    assert ("table", {"data-choose": "1"}) in parsed.attributes


def test_a_page_asks_for_nothing_else():
    parsed = Parsed(page("a & b", [("c < d", "<p>e</p>")]))
    assert not {name for _, own in parsed.attributes for name in own} & {"src", "href"}
    assert {"a & b", "c < d"} <= set(parsed.texts)
    assert "url(" not in page("", [])


@pytest.mark.parametrize(("times", "limit"), [([7.0, 9.0, 50.0], 60.0), ([0.0, 3.0], 60.0), ([], 60.0), ([], 0.005)])
def test_axes_begin_near_the_data(times, limit, monkeypatch):
    figures = []
    monkeypatch.setattr("eqverify.report.sweep.svg", figures.append)
    cactus({"run": times}, limit)
    scatter([(time, limit) for time in times], ("a", "b"), limit)
    for figure in figures:
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        shortest = max(min([*times, *([limit] if figure is figures[1] and times else [])], default=0.01), 0.01)
        assert shortest / 2 < low < shortest
        assert high > low
        figure.draw_without_rendering()
        labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert not any(box.count_overlaps([other for other in labels if other is not box]) for box in labels)


def test_without_matplotlib_there_is_a_note_and_no_plot(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    notes = cactus({"run": [1.0]}, 60.0), scatter([(1.0, 2.0)], ("a", "b"), 60.0)
    assert all(note.startswith("<p>No picture, for matplotlib is not installed") for note in notes)


CASES = [
    Case("net", "one", 1.0, "passed"),
    Case("net", "two", 2.0, "failure", "wrong", "log \x00 <&>"),
    Case("net", "three", 0.5, "error", "onnx/empty"),
    Case("net", "four", 0.0, "skipped", "timeout"),
]


def test_cases_are_counted_and_told():
    (suite,) = ElementTree.fromstring(junit({"run & more": CASES}))
    assert suite.attrib == {
        "name": "run & more",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "3.500",
    }
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["skipped"]]
    (failure,) = suite[1]
    assert (failure.get("message"), failure.text) == ("wrong", "log ? <&>")


@given(st.text())
def test_any_text_is_xml_that_can_be_read(text):
    (suite,) = ElementTree.fromstring(junit({text: [Case(text, text, 0.0, "failure", text, text)]}))
    assert suite.get("tests") == "1"
