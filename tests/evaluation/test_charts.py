"""Charts put marks where the numbers are."""

import re
from xml.etree import ElementTree

import pytest

from aoede.evaluation.charts import Point, Series, histogram, rate_chart, standalone, strip_chart


def point(x, y, low=None, high=None):
    return Point(x=x, y=y, low=y if low is None else low, high=y if high is None else high, note=f"{x} {y}")


def circles(svg):
    """The marks, without the legend's, which comes last."""
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="6"', svg)][:-1]


def test_twice_as_far_is_drawn_twice_as_far():
    svg = rate_chart(
        [Series(name="a", points=(point(1000, 1.0), point(2000, 2.0), point(3000, 5.0)))], "t", "mel", "lower"
    )
    (x1, y1), (x2, y2), (x3, y3) = circles(svg)
    assert x3 - x2 == pytest.approx(x2 - x1, abs=0.3)
    assert (y1 - y3) == pytest.approx(4 * (y1 - y2), abs=0.5)  # upwards, in proportion 1 : 4
    assert svg.count("<polyline") == 1 and svg.count("<g class") == 4  # three marks and the legend's


def test_rates_far_apart_get_a_logarithmic_axis():
    svg = rate_chart([Series(name="a", points=(point(500, 1), point(1000, 1), point(8000, 1)))], "t", "y", "lower")
    (x1, _), (x2, _), (x3, _) = circles(svg)
    assert x3 - x2 == pytest.approx(3 * (x2 - x1), abs=0.5)
    assert "500 bit/s" in svg and "2 kbit/s" in svg


def test_a_whisker_spans_the_interval_and_a_single_point_has_room():
    svg = rate_chart([Series(name="a", points=(point(1000, 2.0, 1.0, 3.0),))], "t", "y", "lower")
    ElementTree.fromstring(svg)
    ((_, y),) = circles(svg)
    top, bottom = next(
        (float(b), float(a)) for a, b in re.findall(r'y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)" stroke="c', svg)
    )
    assert (top + bottom) / 2 == pytest.approx(y, abs=0.1) and bottom - top > 100


def test_every_clip_is_a_dot_and_names_are_escaped():
    svg = strip_chart([("a<b", [1.0, 2.0, 2.0], point(1.7, 0, 1.2, 2.0)), ("c", [3.0, 4.0], None)], "mel & co", "lower")
    ElementTree.fromstring(svg)
    assert svg.count('class="dot"') == 5
    assert "a&lt;b" in svg and "mel &amp; co" in svg


def test_bars_count_values_and_the_last_takes_what_lies_beyond():
    svg = histogram([("a<b", [0.0, 0.01, 0.97, 7.0]), ("people", [0.5])], "errors & co", top=1.0, colours=[2, None])
    ElementTree.fromstring(svg)
    assert svg.count("<title>a&lt;b, 0 to 0.05: 2</title>") == svg.count("<title>a&lt;b, 0.95 to 1: 2</title>") == 1
    assert "1 and more in the last bar" in svg and 'class="s2"' in svg and 'class="people"' in svg
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" fill="currentColor"><title>', svg)]
    assert sorted(heights) == pytest.approx([max(heights) / 2, max(heights), max(heights)], abs=0.1)
    assert "more in the last bar" not in histogram([("one", [0.0])], "all equal")


def test_a_row_keeps_the_colour_that_it_is_given():
    svg = strip_chart([("people", [1.0, 2.0], None), ("voice", [3.0], point(3, 0))], "t", "lower", [None, 1])
    assert svg.count('<g class="people">') == 1 and '<g class="s1">' in svg and 'class="s0"' not in svg


def test_a_chart_alone_is_xml_with_its_colours():
    svg = standalone(rate_chart([Series(name="a & b", points=(point(1, 0.0),))], "t", "y", "higher"))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert ".s0{color:#" in svg
