"""Models: benchmarks, widths and propagators of the paper, validation, settings of the command line."""

import json
import math

import numpy as np
import pytest
from darkpenguin.kinematics.base.checks import validate
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import angular_coefficients
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import BENCHMARKS, Heavy, Model, apply_settings, as_model, get_model
from darkpenguin.physics.widths import invisible_width


def test_benchmarks():
    # Fig. 1 and Fig. 2 of arXiv:1704.06188: Gamma/m = 20 %, g_muV = 0.1, g_muA = -0.44 g_muV,
    # |g_bs| = 0.7e-8 m_V/GeV (eq. (4)) in Fig. 1 and -1.5e-8 in Fig. 2
    expected = {
        "fig1-2.0gev": (2.0, 1.4e-8), "fig1-2.5gev": (2.5, -1.75e-8), "fig1-2.8gev": (2.8, -1.96e-8),
        "fig2": (2.5, -1.5e-8),
    }  # fmt: skip
    for name, (mass, g_bs) in expected.items():
        model = get_model(name)
        (vector,) = model.light_vectors
        assert (vector.mass, vector.g_bs, vector.g_mu_v, vector.g_mu_a) == (mass, g_bs, 0.1, -0.044)
        assert vector.total_width == pytest.approx(0.2 * mass)
        assert (vector.g_e_v, vector.g_e_a, vector.pseudoscalar, model.width) == (0.0, 0.0, True, "fixed")
        assert model.heavy == Heavy()
    assert get_model("heavy-c9").heavy == Heavy(C9_mu=-1.1)
    assert get_model("heavy-c9-c10").heavy == Heavy(C9_mu=-0.6, C10_mu=0.6)
    assert get_model("sm") == Model()
    assert {"sm", "heavy-c9", "heavy-c9-c10", *expected} <= set(BENCHMARKS)
    assert all(model.name == name for name, model in BENCHMARKS.items())


@pytest.mark.parametrize("name", ["fig3", "SM", "nonsense", "", None])
def test_unknown_model(name):
    with pytest.raises(InputError, match="no such model"):
        get_model(name)


# --- widths


def test_width_of_equation_2():
    massless = LightVector(mass=2.5, g_chi=1.2)
    assert massless.total_width == pytest.approx(1.2**2 * 2.5 / (12 * math.pi), rel=1e-14, abs=0)
    m_chi = 0.9
    r = (m_chi / 2.5) ** 2
    beta = math.sqrt(1 - 4 * r)
    dirac = LightVector(mass=2.5, g_chi=1.2, m_chi=m_chi)
    assert dirac.total_width == pytest.approx(1.2**2 * 2.5 / (12 * math.pi) * (1 + 2 * r) * beta, rel=1e-12, abs=0)
    scalar = LightVector(mass=2.5, g_chi=1.2, m_chi=m_chi, chi="scalar")
    assert scalar.total_width == pytest.approx(1.2**2 * 2.5 / (48 * math.pi) * beta**3, rel=1e-12, abs=0)
    assert invisible_width(4 * m_chi**2, 1.0, m_chi) == 0.0
    assert invisible_width(0.0, 1.0) == 0.0


def test_coupling_from_width_and_back():
    vector = LightVector(mass=2.5, relative_width=0.2, m_chi=1.0, chi="scalar")
    again = LightVector(mass=2.5, g_chi=vector.chi_coupling, m_chi=1.0, chi="scalar")
    assert again.total_width == pytest.approx(0.5, rel=1e-12, abs=0)
    assert LightVector(mass=2.5, width=0.5, g_chi=1.0).chi_coupling == 1.0
    with pytest.raises(InputError, match="give g_chi"):
        _ = LightVector(mass=2.5, width=0.5, m_chi=1.3).chi_coupling


def test_fixed_propagator():
    q2 = np.array([0.5, 6.25, 10.0])
    vector = LightVector(mass=2.5, width=0.5)
    np.testing.assert_allclose(vector.propagator(q2), 1 / (q2 - 6.25 + 1.25j), rtol=1e-15)


def test_running_propagator():
    q2 = np.linspace(0.1, 20.0, 50)
    vector = LightVector(mass=2.5, width=0.5)
    # massless Dirac chi: sqrt(q2) Gamma(q2) = q2 Gamma / m
    np.testing.assert_allclose(vector.propagator(q2, "running"), 1 / (q2 - 6.25 + 1j * q2 * 0.2), rtol=1e-12)
    for chi, m_chi in (("dirac", 1.0), ("scalar", 1.0), ("scalar", 0.0)):
        heavy = LightVector(mass=2.5, width=0.5, m_chi=m_chi, chi=chi)
        # same width at the pole, no imaginary part below the chi chi threshold
        assert heavy.propagator(6.25, "running") == pytest.approx(heavy.propagator(6.25), rel=1e-12, abs=0)
        assert complex(1 / heavy.propagator(3.9, "running")).imag == pytest.approx(
            0.0 if m_chi else 1.25 * (3.9 / 6.25), abs=1e-12
        )
    # a g_chi beside the width: what is not chi chi stays constant
    mixed = LightVector(mass=2.5, width=0.5, g_chi=1.0)
    invisible = 2.5 / (12 * math.pi)
    expected = 1 / (q2 - 6.25 + 1j * (q2 * invisible / 2.5 + 2.5 * (0.5 - invisible)))
    np.testing.assert_allclose(mixed.propagator(q2, "running"), expected, rtol=1e-12)


# --- validation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mass": 2.5, "width": -0.5}, r"width = -0.5: .*greater than 0"),
        ({"mass": 2.5, "width": 0.0}, "greater than 0"),
        ({"mass": 2.5, "relative_width": math.nan}, "relative_width = nan"),
        ({"mass": math.inf, "width": 0.5}, "mass = inf"),
        ({"mass": -1.0, "width": 0.5}, "mass = -1"),
        ({"mass": 2.5}, "a width is needed"),
        ({"mass": 2.5, "width": 0.5, "relative_width": 0.2}, "both given"),
        ({"mass": 2.5, "g_chi": 1.0, "m_chi": 1.3}, "does not give the width"),
        ({"mass": 2.5, "width": 0.01, "g_chi": 1.0}, "alone gives a width"),
        ({"mass": 2.5, "width": 0.5, "g_bs": math.nan}, "finite"),
        ({"mass": 2.5, "width": 0.5, "g_bs": [1e-9, math.inf]}, "finite"),
        ({"mass": 2.5, "width": 0.5, "g_bs": "1e-9 + x"}, "re, im"),
        ({"mass": 2.5, "width": 0.5, "g_bs": True}, "not true or false"),
        ({"mass": 2.5, "width": 0.5, "g_mu_v": "nan"}, "finite"),
        ({"mass": 2.5, "width": 0.5, "g_mu_v": True}, r"g_mu_v = True: a number is needed"),
        ({"mass": True, "width": 0.5}, "mass = True: a number is needed"),
        ({"mass": 1e300, "width": 0.5}, "less than or equal to 1000000"),
        ({"mass": 1e-300, "width": 0.5}, "greater than or equal to 0.000001"),
        ({"mass": 2.5, "width": 0.5, "g_mu_a": -1e200}, "greater than or equal to -1000000"),
        ({"mass": 2.5, "width": 0.5, "g_bs": 1e200}, r"at most 1e\+06 in size"),
        ({"mass": 2.5, "relative_width": 1e-10}, "no V narrower than 1e-09 of its mass"),
        ({"mass": 2.5, "g_chi": 1e-5}, "no V narrower"),
        ({"mass": 2.5, "width": 0.5, "chi": "majorana"}, "'dirac' or 'scalar'"),
        ({"mass": 2.5, "wdith": 0.5}, "wdith: no such key; did you mean width"),
        ({"width": 0.5}, "mass: this key is needed"),
    ],
)
def test_wrong_vectors_are_refused(fields, message):
    with pytest.raises(InputError, match=message) as error:
        validate(LightVector, fields, "light_vectors[0]")
    assert str(error.value).startswith("light_vectors[0]")
    with pytest.raises(InputError, match=message) as error:
        validate(Model, {"light_vectors": [fields]})
    assert str(error.value).startswith("light_vectors[0]")


def test_complex_numbers_in_all_spellings():
    for spelling in (1e-9 + 2e-9j, "1e-9+2e-9j", "1e-9 + 2e-9i", [1e-9, 2e-9]):
        assert LightVector(mass=2.0, width=0.1, g_bs=spelling).g_bs == 1e-9 + 2e-9j
    assert Heavy(C9_mu=-1).C9_mu == -1.0


def test_models_are_frozen_and_survive_json():
    model = Model(
        name="x", width="running", heavy=Heavy(C10_e=0.5 - 0.25j),
        light_vectors=(LightVector(mass=2.0, width=0.1, g_bs=1e-9 + 2e-9j), LightVector(mass=1.0, g_chi=1.0)),
    )  # fmt: skip
    with pytest.raises(ValueError, match="frozen"):
        model.width = "fixed"
    again = validate(Model, json.loads(model.model_dump_json()))
    assert again == model
    assert hash(again.light_vectors) == hash(model.light_vectors)


# --- settings


def test_settings():
    base = get_model("fig2")
    changed = apply_settings(
        base,
        ["light_vectors.0.mass=2.8", "light_vectors[0].pseudoscalar=false", "heavy.C9_mu=[-1.1,0.2]",
         "width=running", "light_vectors.0.g_bs=1e-9+2e-9j"],
    )  # fmt: skip
    (vector,) = changed.light_vectors
    assert (vector.mass, vector.pseudoscalar, vector.g_bs) == (2.8, False, 1e-9 + 2e-9j)
    assert vector.total_width == pytest.approx(0.56)
    assert (changed.heavy.C9_mu, changed.width) == (-1.1 + 0.2j, "running")
    assert base == get_model("fig2")
    assert apply_settings(base, []) is base


def test_setting_a_width_replaces_the_other():
    base = get_model("fig2")
    assert apply_settings(base, ["light_vectors.0.width=0.01"]).light_vectors[0].total_width == 0.01
    assert apply_settings(base, ["light_vectors.0.g_chi=1"]).light_vectors[0].total_width == pytest.approx(
        2.5 / (12 * math.pi)
    )
    both = apply_settings(base, ["light_vectors.0.g_chi=1", "light_vectors.0.width=0.4"]).light_vectors[0]
    assert (both.total_width, both.g_chi) == (0.4, 1.0)


def test_a_vector_can_be_added():
    settings = ["light_vectors.0.mass=2.5", "light_vectors.0.relative_width=0.1"]
    model = apply_settings(get_model("sm"), settings)
    assert model.light_vectors[0].total_width == 0.25


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("light_vectors.0.mas=2", r"light_vectors.0.mas: no such key; did you mean mass\?"),
        ("light_vectors.2.mass=2", "1 light vectors, numbered from 0"),
        ("light_vectors.x.mass=2", "numbered from 0"),
        ("light_vectors.-1.mass=2", "numbered from 0"),
        ("light_vectors.1.mass=2", "a width is needed"),
        ("light_vectors.mass=2", "no such key"),
        ("light_vectors=2", "light_vectors = 2"),
        ("heavi.C9_mu=1", r"did you mean heavy\?"),
        ("heavy.C9=1", r"no such key; did you mean C9_mu or C9_e or C9_tau\?"),
        ("heavy.C9_mu=1e200", r"at most 1e\+06"),
        ("widht=running", "did you mean width"),
        ("width=wide", "'fixed', 'running' or 'narrow'"),
        ("light_vectors.0.width=-1", "greater than 0"),
        ("light_vectors.0.m_chi=-1", "greater than or equal to 0"),
        ("light_vectors.0.mass=nan", "mass = nan"),
        ("light_vectors.0.mass", "write key=value"),
        ("=3", "write key=value"),
        ("name.x=1", "no such key"),
    ],
)
def test_wrong_settings(setting, message):
    with pytest.raises(InputError, match=message):
        apply_settings(get_model("fig2"), [setting])


def test_running_width_needs_to_be_known():
    closed = ["light_vectors.0.m_chi=1.3"]
    apply_settings(get_model("fig2"), closed)
    with pytest.raises(InputError, match="needs g_chi"):
        apply_settings(get_model("fig2"), [*closed, "width=running"])
    both = [*closed, "width=running", "light_vectors.0.g_chi=2", "light_vectors.0.width=0.1"]
    assert apply_settings(get_model("fig2"), both).light_vectors[0].chi_coupling == 2.0


def test_one_setting_needs_no_list():
    assert apply_settings(get_model("fig2"), "light_vectors.0.mass=2.8").light_vectors[0].mass == 2.8


@pytest.mark.filterwarnings("ignore:mass = .* GeV of V")  # at the bounds on purpose
@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+ee"])
def test_the_largest_numbers_are_finite_physics(name):
    """At the bounds of all fields at once the coefficients are finite, so no other model overflows."""
    channel = get_channel(name)
    for mass in (1e-6, 1e6):
        vector = {
            "mass": mass,
            "relative_width": 1e-9,
            **dict.fromkeys(("g_bs", "g_bs_right", "g_mu_v", "g_mu_a", "g_e_v", "g_e_a"), 1e6),
        }
        model = Model(light_vectors=(vector,), heavy=dict.fromkeys(Heavy.model_fields, 1e6))
        q2 = np.linspace(*channel.q2_limits(), 50)[1:-1]
        assert np.isfinite(angular_coefficients(channel, model, q2)).all()


TWO = """
name = "two"
[[light_vectors]]
mass = 2.5
relative_width = 0.2
g_bs = -1.5e-8
[[light_vectors]]
name = "W"
mass = 1.5
width = 0.1
"""


@pytest.fixture
def two(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(TWO)
    return path


def test_whatever_names_a_model_gives_the_same_one(two):
    model = as_model(two)
    assert model.name == "two"
    assert len(model.light_vectors) == 2
    assert as_model(str(two)) == as_model(model) == as_model(model.model_dump()) == model
    assert as_model("fig2") is BENCHMARKS["fig2"]
    assert as_model("belle2") == BENCHMARKS["belle2-2.1gev"]  # of the built-in run card


@pytest.mark.parametrize(
    "card",
    [
        'channels = ["B+->K+chichi"]\nevents = 10\nmodel = "fig2"\nset = ["light_vectors.0.mass=2.8"]\n',
        'model = "fig2"\nsettings = ["light_vectors.0.mass=2.8"]\n[[axes]]\nkey = "heavy.C9_mu"\nmin = 0\nmax = 1\n',
        'toys = 10\n[truth]\nmodel = "fig2"\nset = ["light_vectors.0.mass=2.8"]\n',
    ],
    ids=["run", "scan", "toys"],
)
def test_a_card_that_holds_a_model_names_it(tmp_path, card):
    path = tmp_path / "card.toml"
    path.write_text(card)
    assert as_model(path, "light_vectors.0.g_mu_v=0.2").light_vectors[0].mass == 2.8
    assert as_model(path, "light_vectors.0.mass=2.6").light_vectors[0].mass == 2.6
    assert "2.8" in as_model(path).name


def test_fields_without_a_name_do_not_go_by_another_models(tmp_path):
    fields = {"heavy": {"C9_mu": -1.1}}
    assert as_model(fields).name == "own"
    path = tmp_path / "mine.toml"
    path.write_text("[heavy]\nC9_mu = -1.1\n")
    assert as_model(path) == as_model({**fields, "name": "mine"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[heavy]\nC9mu = -1\n", "bad.toml: model.heavy.C9mu: no such key; did you mean C9_mu"),
        ("light_vector = []\n", "did you mean light_vectors"),
        ('model = "fig3"\n', "did you mean fig2"),
        ('model = "bad.toml"\n', "names itself"),
        ("heavy = [", "not TOML"),
    ],
)
def test_a_file_that_makes_no_model_is_refused_in_one_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        as_model("bad.toml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_files_that_name_each_other_are_refused_at_the_first_return(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.toml").write_text(f'model = "{other}.toml"\n')
    with pytest.raises(InputError) as caught:
        as_model("a.toml")
    assert str(caught.value).startswith("a.toml: b.toml: c.toml: model = 'a.toml': the file names itself")


def test_what_names_no_model():
    for source, words in (("fig3", "did you mean fig2"), ("no.toml", "no such file"), (3, "a benchmark's name")):
        with pytest.raises(InputError, match=words):
            as_model(source)
