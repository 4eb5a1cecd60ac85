"""Figures: files appear whole, fonts are found, mistakes are named."""

import pytest
from darkpenguin import InputError, get_model
from darkpenguin.generator.plots import draw_ratios, save_figure


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
