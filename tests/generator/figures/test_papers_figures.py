"""Figures: their numbers against independent ones, their files, and that nothing is drawn by accident."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from darkpenguin.generator.commands.figures import figure_command, scan_command
from darkpenguin.generator.figures import figure_1 as figures
from darkpenguin.generator.figures.figure_1 import PANELS, figure_1, figure_1_curve, figure_1_points
from darkpenguin.generator.figures.figure_2 import (
    custom_plane,
    draw_figure_2,
    figure_2,
    figure_2_cards,
    figure_2_plane,
    invisible_excess,
)
from darkpenguin.generator.scans.card import ScanCard
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.experiment.constraints import delta_a_mu
from darkpenguin.physics.models import apply_settings, get_model
from typer.testing import CliRunner


def test_curves_are_flavios():
    """SM P5' at 5 GeV²: flavio 2.7.1, flavio.sm_prediction("P5p(B0->K*mumu)", 5), and R = 1 to a per cent."""
    import flavio

    curve = figure_1_curve(PANELS[2], get_model("sm"))
    found = np.interp(5.0, curve.q2, curve.value)
    assert found == pytest.approx(flavio.sm_prediction("P5p(B0->K*mumu)", 5.0), abs=1e-4)
    ratio = figure_1_curve(PANELS[0], get_model("sm"))
    assert np.abs(ratio.value[ratio.q2 > 1.0] - 1.0).max() < 0.01
    assert ratio.error.max() < 1e-2


def test_the_resonance_crosses_one_at_its_mass():
    """Below m_V² interference of the 2.5 GeV benchmark lowers R_K, above it raises it."""
    curve = figure_1_curve(PANELS[0], get_model("fig1-2.5gev"))
    assert np.interp(5.0, curve.q2, curve.value) < 0.8
    assert np.interp(7.3, curve.q2, curve.value) == pytest.approx(1.355, abs=0.01)


def test_points_of_both_sets():
    assert [(p.experiment, p.value) for p in figure_1_points(PANELS[0], "2017")] == [("LHCb", 0.745)]
    assert {p.experiment for p in figure_1_points(PANELS[0], "current")} == {"LHCb", "Belle", "CMS"}
    assert {p.experiment for p in figure_1_points(PANELS[2], "2017")} == {"LHCb", "CMS", "ATLAS"}
    with pytest.raises(InputError, match="no such data set"):
        figure_1_points(PANELS[0], "today")


def test_figure_1_files(tmp_path):
    paths = figure_1("2017", ("sm", "fig1-2.8gev"), tmp_path)[1]
    assert [p.name for p in paths] == [
        "figure-1-2017.png",
        "figure-1-2017.pdf",
        "figure-1-2017.csv",
        "figure-1-2017-points.csv",
    ]
    assert paths[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert paths[1].read_bytes()[:5] == b"%PDF-"
    rows = paths[2].read_text().splitlines()
    assert rows[0] == "observable,model,q2,value,theory error"
    assert {tuple(row.split(",")[:2]) for row in rows[1:]} == {
        (panel.observable, model) for panel in PANELS for model in ("sm", "fig1-2.8gev")
    }
    with pytest.raises(InputError, match="--overwrite"):
        figure_1("2017", folder=tmp_path)


@pytest.fixture(scope="module")
def planes():
    return [figure_2_plane(card) for card in figure_2_cards("2017", points=160)]


def test_planes_are_the_papers():
    left, right = figure_2_cards("2017")
    vector = left.base_model().light_vectors[0]
    assert (vector.mass, vector.total_width / vector.mass, vector.g_bs) == (2.5, 0.2, -1.5e-8)
    assert right.model_at({right.axes[0].key: 0.1, right.axes[1].key: -1e-8}).light_vectors[0].g_mu_a == (
        pytest.approx(-0.044)
    )


def test_bands_and_limits(planes):
    """Corners of the (g-2)_μ band are 2σ off (287 ± 80)e-11; the bound on g_bs is that of `constraints`."""
    left, right = planes
    corners = [corner for rings in left.g_minus_2 for ring in rings for corner in ring]
    inside = [(x, y) for x, y in corners if 0.01 < x < 0.06 and abs(y) < 0.03]
    assert len(inside) > 10
    pulls = [(float(delta_a_mu(2.5, x, y)) - 287e-11) / 80e-11 for x, y in inside]
    assert np.abs(np.abs(pulls) - 2.0).max() < 0.15  # the interpolation of the grid
    # eq. (4) for a narrow V is 1.75e-8; the line shape of 20 % makes it weaker, as the paper says
    edge = max(ring[:, 1].max() for rings in right.invisible for ring in rings)
    assert edge == pytest.approx(-1.93e-8, abs=0.02e-8)
    assert left.invisible == []


def test_all_three_regions_meet_the_band(planes):
    """Fig. 2, right: R_K, R_K*, P5', (g-2)_μ and the limit leave a common region."""
    result = planes[1].result
    g_v, g_bs = np.meshgrid(*(axis.values for axis in result.card.axes), indexing="ij")
    common = np.all([result.improvement(name) > 4.0 for name in result.card.groups], axis=0)
    common &= invisible_excess(result.card) < 0.0
    common &= np.abs(delta_a_mu(2.5, g_v, -0.44 * g_v) - 287e-11) < 160e-11
    assert common.any()
    product = np.abs(g_v * g_bs)[common]
    assert 1.2e-9 < product.min() < 1.8e-9
    assert 2.4e-9 < product.max() < 3.0e-9  # the upper end of interval (10)


def test_figure_2_files_and_legend(tmp_path, planes):
    cards = figure_2_cards("current", points=25)
    figures_today, paths = figure_2("current", cards, tmp_path)
    text = paths[2].read_text()
    assert text.startswith("panel,x axis,y axis,region,polygon,ring,x,y\n")
    assert "P5p better than SM by 4" in text
    figure = draw_figure_2(planes)
    labels = [entry.get_text() for legend in figure.legends for entry in legend.get_texts()]
    assert len(labels) == 6
    assert not any("nowhere" in label for label in labels)
    today = [entry.get_text() for legend in figures_today.legends for entry in legend.get_texts()]
    assert sum("nowhere" in label for label in today) == 2
    import matplotlib.pyplot as plt

    plt.close("all")


def test_another_plane():
    card = custom_plane("light_vectors.0.mass,2,3", "light_vectors.0.g_bs,-3e-8,3e-8", "2017", [], "none", 12)
    plane = figure_2_plane(card)
    assert plane.result.total().shape == (12, 12)
    excess = invisible_excess(card)
    narrow_bound = 0.7e-8 * card.axes[0].values  # eq. (4)
    bound = 3e-8 / (excess[:, -1] + 1.0)
    assert np.all((bound > narrow_bound) & (bound < 1.25 * narrow_bound))
    # from below 2 m_mu to beyond m_B, where V is only ever virtual
    wide = custom_plane("light_vectors.0.mass,0.05,6", "light_vectors.0.g_bs,-3e-8,3e-8", "2017", [], "none", 6)
    assert np.all(np.diff(invisible_excess(wide)[:, 0]) < 0.0)
    assert np.isfinite(figure_2_plane(wide).result.total()).all()
    heavy = custom_plane("heavy.C9_mu,-2,2", "heavy.C10_mu,-2,2", "2017", [], "none", 21, "sm")
    plane = figure_2_plane(heavy)
    assert plane.regions["R_K better than SM by 4"]
    assert not plane.invisible
    with pytest.raises(InputError, match="write KEY,MIN,MAX"):
        custom_plane("light_vectors.0.mass", "light_vectors.0.g_bs,-3e-8,0", "2017", [], None, 10)
    with pytest.raises(InputError, match="a plane has two"):
        figure_2("2017", [ScanCard(axes=[{"key": "light_vectors.0.g_bs", "min": 0, "max": 1}])], ".")


def test_settings_reach_the_planes():
    left, _ = figure_2_cards("2017", ["light_vectors.0.mass=2.8"])
    assert left.base_model() == apply_settings(get_model("fig2"), ["light_vectors.0.mass=2.8"])


def _run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_commands(tmp_path):
    example = _run(scan_command, "--example")
    assert example.exit_code == 0
    card = tmp_path / "card.toml"
    small = example.stdout.replace("points = 61", "points = 3").replace("points = 161", "points = 3")
    card.write_text(small.replace("points = 10", "points = 2"))
    done = _run(scan_command, card, "--output", tmp_path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "masses-summary.json").is_file()
    assert isinstance(_run(scan_command).exception, InputError)
    assert isinstance(_run(figure_command, 3).exception, InputError)
    assert "start from one" in str(_run(figure_command, 2, "--model", "sm", "--model", "fig2").exception)
    assert "needs --x and --y" in str(_run(figure_command, 2, "--tie", "a=1*b").exception)
    axes = "--x", "light_vectors.0.mass,2,3", "--y", "light_vectors.0.g_mu_v,0,1"
    assert "KEY=FACTOR" in str(_run(figure_command, 2, *axes, "--tie", "light_vectors.0.g_mu_a").exception)
    assert "figure 1 has no such option" in str(_run(figure_command, 1, "--theory", "none").exception)
    assert "give both axes" in str(_run(figure_command, 2, "--x", "light_vectors.0.mass,2,3").exception)


def test_too_many_models_cannot_be_told_apart(tmp_path):
    with pytest.raises(InputError, match="at most"):
        figure_1("2017", ["sm"] * (len(figures._STYLES) + 1))


def test_gallery_is_complete_and_small():
    """Every picture in outputs/ is shown in its README, exists, and has less than 300 kB."""
    folder = Path(__file__).parents[3] / "outputs"
    shown = re.findall(r"\]\(([\w.+-]+\.png)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert len(shown) == len(set(shown)) >= 5
    for name in shown:
        assert (folder / name).stat().st_size < 300_000, name
