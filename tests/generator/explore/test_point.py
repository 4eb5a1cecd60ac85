import tomllib

import pytest
from darkpenguin.generator.explore.outputs import run_card
from darkpenguin.generator.explore.point import CONTROLS, NONLOCAL, PHASE, Bases, V, toml_of
from darkpenguin.generator.run.card import RunCard
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import BENCHMARKS, as_model


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_point_begins_at_its_model(name):
    point = Bases().point(name)
    assert point.settings == ()
    assert point.model == as_model(name)


def same(point):
    """The point's model, by the words of the command line, its TOML file, its run card and its link."""
    model = point.model
    assert as_model(point.name, set=point.settings).model_copy(update={"name": model.name}) == model
    assert as_model(tomllib.loads(toml_of(model))) == model
    card = RunCard.make(tomllib.loads(run_card(point)))
    assert card.model.model_copy(update={"name": model.name}) == model
    assert Bases().of_query(point.query).model == model


@pytest.mark.parametrize("name", ["fig2", "sm", "heavy-c9", "belle2-2.1gev-mu"])
def test_each_control_is_a_field_of_the_model(name):
    for control in CONTROLS:
        texts = {control.path: 0.5 * (control.low + control.high) * control.scale + 0.07 * control.scale}
        if control.path == PHASE:
            texts[NONLOCAL] = "dispersive"
        if control.path in (f"{V}g_chi", f"{V}m_chi"):
            texts[control.path] = 0.3
        if not as_model(name).light_vectors:
            texts[f"{V}g_mu_v"] = 0.05
        point = Bases().point(name).moved(texts)
        assert any(setting.startswith(f"{control.path}=") for setting in point.settings)
        same(point)


def test_a_width_has_one_source():
    point = Bases().start().moved({f"{V}width": "0.1"})
    assert (point.values[f"{V}relative_width"], point.model.light_vectors[0].total_width) == (None, 0.1)
    point = point.moved({f"{V}relative_width": 0.1})
    assert point.values[f"{V}width"] is None
    same(point)
    point = point.moved({f"{V}g_chi": 0.5})  # stays beside the width
    assert point.model.light_vectors[0].total_width == 0.25
    point = point.moved({f"{V}relative_width": ""})  # eq. (2) gives it now
    assert point.model.light_vectors[0].total_width != 0.25
    same(point)


def test_a_model_of_ones_own(tmp_path):
    file = tmp_path / 'my "own".toml'
    file.write_text('[[light_vectors]]\nmass = 2.0\ng_chi = 0.5\ng_bs = "1e-9+2e-9j"\ng_bs_right = 1e-9\n')
    bases = Bases(str(file))
    point = bases.start().moved({f"{V}mass": 2.2})
    assert point.model.light_vectors[0].g_bs == 1e-9 + 2e-9j
    assert as_model(str(file), set=point.settings).light_vectors == point.model.light_vectors
    assert as_model(tomllib.loads(toml_of(point.model))) == point.model
    assert RunCard.make(tomllib.loads(run_card(point))).model.light_vectors == point.model.light_vectors


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (f"{V}mass", "5.2", "5.2 GeV: B\\+ -> K\\+ V needs mass < 4.786 GeV"),
        (f"{V}mass", "-1", "light_vectors\\[0\\].mass = -1"),
        (f"{V}mass", "", "empty; a number is needed"),
        (f"{V}width", "-1", "light_vectors\\[0\\].width = -1"),
        (f"{V}relative_width", "wide", "not a number"),
        (f"{V}relative_width", "", "a width is needed"),
        (f"{V}g_bs", "nan", "finite"),
        (f"{V}g_mu_v", "1e3", "partial widths"),
        (f"{V}g_chi", "40", "alone gives a width"),
        (f"{V}m_chi", "1.5", "above m_V/2"),
        ("heavy.C9_mu", "__import__('os')", "not a number"),
        (NONLOCAL, "magic", "flavio"),
        (f"{V}name", "x", "not a field of this page"),
    ],
)
def test_wrong_input_is_named(path, text, words):
    with pytest.raises(InputError, match=words):
        Bases().start().moved({path: text})


@pytest.mark.parametrize(
    "query",
    ["model=/etc/passwd", "model=mine.toml", "data=../../x.yml", "set=theory.parameters.Vcb=1", "file=x",
     "set=light_vectors.0.mass", "set=light_vectors.0.mass=9", "model=fig2&model=sm",
     "set=light_vectors.0.mass=2.3&set=light_vectors.0.mass=2.4"],
)  # fmt: skip
def test_a_link_names_nothing_but_points_of_the_page(query):
    with pytest.raises(InputError):
        Bases().of_query(f"?{query}")
