"""Curves of one panel are told apart without colours too, as in a grey print."""

import itertools

import matplotlib.pyplot as plt
import pytest
from darkpenguin import generate, toys
from darkpenguin.generator.figures.samples import draw_sample
from darkpenguin.generator.figures.toys import draw_bands, draw_tests
from matplotlib.colors import to_rgb


def alike(figure):
    """Pairs of labelled curves of a panel with one style whose greys differ by less than a fifth."""
    found = []
    for axis in figure.axes:
        drawn = [item for item in (*axis.lines, *axis.patches) if not item.get_label().startswith("_")]
        looks = []
        for item in drawn:
            colour = item.get_color() if hasattr(item, "get_color") else item.get_edgecolor()
            red, green, blue = to_rgb(colour)
            style = getattr(item, "_unscaled_dash_pattern", item.get_linestyle())
            marker = item.get_marker() if hasattr(item, "get_marker") else None
            looks.append((item.get_label(), str(style), marker, 0.299 * red + 0.587 * green + 0.114 * blue))
        for one, other in itertools.combinations(looks, 2):
            if one[1:3] == other[1:3] and abs(one[3] - other[3]) < 0.2:
                found.append((one[0], other[0]))
    return found


@pytest.fixture(scope="module")
def made():
    return toys(toys=20, hypotheses=["sm", "heavy-c9", "heavy-c9-c10", "fig1-2.8gev"], truth="fig1-2.5gev", seed=1)


def test_toys(made):
    assert alike(draw_bands(made.card, made.columns)) == []
    assert alike(draw_tests(made.card, made.columns)) == []


def test_samples():
    sample = generate(["B0->K*0mumu", "B0->K*0ee", "B+->K+mumu"], "sm", events=300, seed=1)
    assert alike(draw_sample(sample)) == []


def test_two_curves_of_one_style_are_seen():
    figure, axis = plt.subplots()
    axis.plot([0, 1], "--", color="#0072B2", label="a")
    axis.plot([1, 2], "--", color="#D55E00", label="b")
    axis.plot([1, 2], "-", color="#D55E00", label="c")
    assert alike(figure) == [("a", "b")]
    plt.close(figure)
