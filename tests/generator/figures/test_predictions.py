"""Figures: files appear whole, fonts are found, mistakes are named."""

import numpy as np
import pytest
from darkpenguin import InputError, figure, get_model, predict
from darkpenguin.generator.figures.predictions import draw_ratios, smooth_curve
from darkpenguin.generator.figures.style import save_figure
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import apply_settings


def test_a_figure_in_both_formats_without_complaints(tmp_path, caplog):
    paths = [tmp_path / "r.png", tmp_path / "r.pdf"]
    save_figure(draw_ratios(get_model("fig2"), ()), paths)
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert "findfont" not in caplog.text
    assert len(list(tmp_path.iterdir())) == 2


def test_other_endings_and_existing_files_are_refused(tmp_path):
    figure = draw_ratios(get_model("sm"), ())
    with pytest.raises(InputError, match=r"a \.png or a \.pdf"):
        save_figure(figure, [tmp_path / "r.gif"])
    (tmp_path / "r.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        save_figure(figure, [tmp_path / "r.png"])
    assert (tmp_path / "r.png").read_bytes() == b"mine"


def test_lines_show_a_narrow_v_and_not_the_poles_at_the_ends():
    """R_K is 3,000 on a V of 0.1 % width, seen by its own points; at the endpoint it diverges, beyond the figure."""
    narrow = apply_settings(get_model("fig2"), "light_vectors.0.relative_width=1e-3")
    end = get_channel("B+->K+mumu").q2_limits()[1]
    q2, ratio = smooth_curve("R_K+", narrow, (0.06, end))
    assert ratio[np.abs(q2 - 6.25) < 0.01].max() > 1000
    assert np.nanmax(ratio[np.abs(q2 - 6.25) > 1]) < 3


@pytest.mark.parametrize("name", [r"$\frac{$ [/x]", "cost: 5$ or 6$", "a\x1b[31mb"])
def test_a_name_that_is_no_formula_is_drawn_as_it_is(tmp_path, name):
    """Names of models are their users' own; half a formula stopped the drawing."""
    model = {"name": name, "light_vectors": [{"mass": 2.5, "relative_width": 0.2, "g_bs": -1.5e-8, "g_mu_v": 0.1}]}
    drawn = figure(predict("R_K+", model, bins=[1.1, 3.0, 6.0]), output=tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000
    drawn.canvas.draw()
