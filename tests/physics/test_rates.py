"""Rates of the invisible modes: eqs. (3) and (4), the narrow-width limit, flavio's SM, Belle II's point."""

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import standard_model
from darkpenguin.physics.angular import angular_coefficients, decay_rate
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.constraints import g_bs_bound, narrow_width_branching_ratio
from darkpenguin.physics.invisible import hadronic_amplitudes
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import (
    branching_ratio,
    longitudinal_fraction,
    narrow_branching_ratio,
    tau_branching_ratio,
    two_body_rate,
)
from darkpenguin.physics.widths import invisible_width
from scipy.integrate import quad

CHANNELS = ("B+->K+chichi", "B0->K0chichi", "B0->K*0chichi", "B+->K*+chichi")


def eq_3(channel, mass, g_bs):
    sm, known = standard_model(channel), load_parameters()
    f_plus = float(sm.form_factors([mass**2])["f+"][0])
    tau = known[f"tau_{channel.parent}"]
    return float(narrow_width_branching_ratio(g_bs, mass, f_plus, sm.m_parent, sm.m_hadron, tau))


@pytest.mark.parametrize("name", ["B+->K+chichi", "B0->K0chichi"])
@pytest.mark.parametrize("mass", [0.5, 2.5, 4.0])
def test_the_helicity_amplitudes_give_eq_3(name, mass):
    channel = get_channel(name)
    model = Model(light_vectors=(LightVector(mass=mass, relative_width=0.1, g_bs=1e-8 + 5e-9j),))
    assert narrow_branching_ratio(channel, model) == pytest.approx(eq_3(channel, mass, 1e-8 + 5e-9j), rel=1e-12, abs=0)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("chi", [{}, {"m_chi": 0.7}, {"m_chi": 0.7, "chi": "scalar"}])
def test_the_narrow_width_limit(name, chi):
    """At Gamma/m = 1e-4 the integral is the narrow-width limit to 1e-4; the difference goes as Gamma/m."""
    channel, differences = get_channel(name), []
    for width in (1e-3, 1e-4):
        vector = LightVector(mass=2.5, relative_width=width, g_bs=1e-8, **chi)
        model = Model(light_vectors=(vector,))
        differences.append(branching_ratio(channel, model) / narrow_branching_ratio(channel, model) - 1)
    assert abs(differences[1]) < 1e-4
    assert differences[0] / differences[1] == pytest.approx(10, rel=0.01, abs=0)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("chi", [{}, {"m_chi": 0.7, "chi": "scalar", "g_chi": 0.5}])
def test_width_narrow_is_the_narrow_width_limit(name, chi):
    """``width = narrow`` gives eq. (3) whatever the width of V is, and nothing where there is no real V."""
    channel = get_channel(name)
    vector = LightVector(mass=2.5, relative_width=0.2, g_bs=1e-8, **chi)
    model = Model(width="narrow", light_vectors=(vector,))
    limit = narrow_branching_ratio(channel, model)
    assert branching_ratio(channel, model) == pytest.approx(limit, rel=2e-8, abs=0)
    assert branching_ratio(channel, model, (6.24, 6.26)) == pytest.approx(limit, rel=1e-5, abs=0)
    for change in ({"mass": 5.0}, {"m_chi": 1.25}):
        closed = Model(width="narrow", light_vectors=(vector.model_copy(update=change),))
        assert branching_ratio(channel, closed) == narrow_branching_ratio(channel, closed) == 0.0


def test_narrow_is_refused_where_v_interferes():
    narrow = apply_settings(get_model("fig2"), ["width=narrow"])
    with pytest.raises(InputError, match="interferes"):
        angular_coefficients(get_channel("B+->K+mumu"), narrow, [6.0], 1)
    with pytest.raises(InputError, match="interferes"):
        angular_coefficients(
            get_channel("B+->K+nunu"), apply_settings(narrow, ["light_vectors.0.g_nu_mu=0.1"]), [6.0], 1
        )
    # no coupling, no interference
    assert decay_rate(angular_coefficients(get_channel("B+->K+ee"), narrow, [6.0], 1))[0] > 0
    assert branching_ratio(get_channel("B+->K+nunu"), narrow) > 0


@pytest.mark.parametrize("width", [1e-6, 1e-8, 1e-9])
def test_very_narrow_vectors(width):
    """The rule resolves what double precision does: the difference to the narrow-width limit is 0.55 Gamma/m."""
    channel = get_channel("B+->K+chichi")
    model = Model(light_vectors=(LightVector(mass=2.5, relative_width=width, g_bs=1e-8),))
    limit = narrow_branching_ratio(channel, model)
    assert branching_ratio(channel, model) == pytest.approx(limit, rel=width + 2e-8, abs=0)


@pytest.mark.parametrize("width", ["fixed", "running"])
def test_the_spectrum_is_the_two_body_rate_times_the_spectral_function(width):
    """dGamma/dq2 = Gamma(B -> M V*) sqrt(q2) Gamma_chichi(q2) / (pi |D|^2), and its adaptive integral."""
    vector = LightVector(mass=2.5, relative_width=0.2, g_bs=1e-8, m_chi=0.4)
    for name in CHANNELS:
        channel = get_channel(name)
        model = Model(width=width, light_vectors=(vector,))
        end = standard_model(channel).q2_max

        def spectrum(q2, channel=channel):
            rate = two_body_rate(channel, vector.model_copy(update={"mass": np.sqrt(q2)}))
            line = np.sqrt(q2) * float(invisible_width(q2, vector.chi_coupling, vector.m_chi))
            return rate * line / np.pi * abs(complex(vector.propagator(q2, width))) ** 2

        found = decay_rate(angular_coefficients(channel, model, [3.3], 1))[0]
        assert found == pytest.approx(spectrum(3.3), rel=1e-12, abs=0)
        total = sum(quad(spectrum, a, b, epsrel=1e-10, epsabs=0)[0] for a, b in ((0.64, 6.25), (6.25, end)))
        assert branching_ratio(channel, model) == pytest.approx(
            total * load_parameters()[f"tau_{channel.parent}"], rel=1e-8, abs=0
        )


def test_the_numerator_is_what_keeps_massless_chi_finite():
    """6.05e-6 at the point of Fig. 2; a constant m Gamma in the numerator would diverge at low q2."""
    assert branching_ratio(get_channel("B+->K+chichi"), get_model("fig2")) == pytest.approx(6.05e-6, rel=2e-3, abs=0)


def test_longitudinal_fraction_of_a_narrow_vector_is_that_of_its_helicities():
    channel, vector = (
        get_channel("B0->K*0chichi"),
        LightVector(mass=2.0, width=0.1, g_bs=1e-8, g_bs_right=3e-9),
    )
    amplitudes = hadronic_amplitudes(standard_model(channel), np.array([vector.mass**2]), *vector.weak_couplings(1))
    parts = {name: float(np.abs(value[0]) ** 2) for name, value in amplitudes.items()}
    assert set(parts) == {"+", "-", "0"}
    model = Model(light_vectors=(vector.model_copy(update={"width": 1e-6}),))
    j = angular_coefficients(channel, model, [4.0], 1)
    assert longitudinal_fraction(j)[0] == pytest.approx(parts["0"] / sum(parts.values()), rel=1e-12, abs=0)


def test_outside_phase_space():
    heavy = Model(light_vectors=(LightVector(mass=5.2, width=0.1, g_bs=1e-8),))
    assert narrow_branching_ratio(get_channel("B+->K+chichi"), heavy) == 0.0
    assert branching_ratio(get_channel("B+->K+chichi"), heavy) > 0  # off shell
    assert branching_ratio(get_channel("B+->K+chichi"), get_model("sm")) == 0.0
    assert branching_ratio(get_channel("B+->K+chichi"), heavy, (25.0, 30.0)) == 0.0
    with pytest.raises(InputError, match="q2_range"):
        branching_ratio(get_channel("B+->K+chichi"), heavy, (6.0, 5.0))
    assert heavy.light_vectors[0].dark.tensor(np.array([1.0])).isotropic[0] == 1.0


# The paper's numbers


@pytest.mark.parametrize("mass", [0.5, 1.0, 2.0, 2.5])
def test_eq_4_comes_out(mass):
    """BR(B -> K chi chi) < 1e-5 gives 0.72-0.73e-8 m_V narrow for B+, 0.74-0.76e-8 for B0: "0.7e-8 m_V".

    The rise of f_+ cancels that of the phase space up to 2.5 GeV (at 4 GeV the bound is 0.90e-8 m_V). With
    Gamma/m = 20 % it is 0.74-0.77e-8 m_V: "if V is broad ... this bound becomes weaker".
    """
    plus, neutral = (float(g_bs_bound(eq_3(get_channel(name), mass, 1.0), 1e-5)) / mass for name in CHANNELS[:2])
    assert 0.71e-8 < plus < 0.735e-8
    assert 0.735e-8 < neutral < 0.765e-8
    broad = Model(light_vectors=(LightVector(mass=mass, relative_width=0.2, g_bs=1e-8),))
    rate = branching_ratio(get_channel("B+->K+chichi"), broad) / 1e-16
    assert 1.0 < float(g_bs_bound(rate, 1e-5)) / mass / plus < 1.06


def test_the_bound_saturated_gives_1e_5():
    """BR near 1e-5 where the benchmarks saturate eq. (4): 0.94, 0.92 and 0.90e-5 narrow, 10 % less broad."""
    for name in ("fig1-2.0gev", "fig1-2.5gev", "fig1-2.8gev"):
        assert 0.85e-5 < narrow_branching_ratio(get_channel("B+->K+chichi"), get_model(name)) < 1e-5
        assert 0.75e-5 < branching_ratio(get_channel("B+->K+chichi"), get_model(name)) < 0.9e-5


@pytest.mark.parametrize(
    ("name", "observable"),
    [
        ("B+->K+nunu", "B+->Knunu"),
        ("B0->K0nunu", "B0->Knunu"),
        ("B0->K*0nunu", "B0->K*nunu"),
        ("B+->K*+nunu", "B+->K*nunu"),
    ],
)
def test_the_standard_model_is_flavios(name, observable):
    import flavio

    found = branching_ratio(get_channel(name), get_model("sm"))
    # flavio integrates with nine points a piece: good to 3e-6 here
    assert found == pytest.approx(flavio.sm_prediction(f"BR({observable})"), rel=1e-5, abs=0)
    if "K*" in observable:
        j = angular_coefficients(get_channel(name), get_model("sm"), [5.0], -1)
        assert longitudinal_fraction(j)[0] == pytest.approx(
            flavio.sm_prediction(f"FL({observable})", q2=5.0), rel=1e-8, abs=0
        )


def test_the_point_of_belle_ii():
    """g_bs gives BR(B+ -> K+ chi chi) = 9.2e-6 (arXiv:2602.09666) at 2.1 GeV with a width of 0.1 GeV."""
    channel, model = get_channel("B+->K+chichi"), get_model("belle2-2.1gev")
    vector = model.light_vectors[0]
    assert branching_ratio(channel, model) == pytest.approx(9.2e-6, rel=1e-6, abs=0)
    unit = apply_settings(model, ["light_vectors.0.g_bs=1e-8"])
    solved = 1e-8 * np.sqrt(9.2e-6 / branching_ratio(channel, unit))
    assert vector.g_bs.real == pytest.approx(solved, rel=1e-6, abs=0)
    with_muons = get_model("belle2-2.1gev-mu").light_vectors[0]
    assert with_muons.model_copy(update={"g_mu_v": 0.0, "g_mu_a": 0.0}) == vector


def test_the_tree_level_tau():
    """12 % of B+ → K+ νν̄ (arXiv:0908.1174); flavio's BR(B+ → τν) times the Γ(τ → K ν) of its decay constant.

    Belle II quotes 0.61e-6 of 5.58e-6 (arXiv:2311.14647): 4.97e-6 without it, with other form factors.
    """
    import flavio

    kaon, star = get_channel("B+->K+nunu"), get_channel("B+->K*+nunu")
    found = tau_branching_ratio(kaon)
    assert found / branching_ratio(kaon, get_model("sm")) == pytest.approx(0.12, abs=0.01)
    assert found == pytest.approx(0.61e-6, rel=0.1)
    # 1.4 % from electroweak corrections in flavio's B → τν; measured BR(τ → K ν) = 0.7 %, BR(τ → K* ν) = 1.2 % (PDG)
    first = flavio.sm_prediction("BR(B+->taunu)")
    assert found / first == pytest.approx(0.0070, rel=0.03)
    assert tau_branching_ratio(star) / first == pytest.approx(0.0120, rel=0.05)
    assert tau_branching_ratio(get_channel("B0->K0nunu")) == 0.0
    assert tau_branching_ratio(get_channel("B+->K+mumu")) == 0.0


@pytest.mark.filterwarnings("ignore:mass = 5000 GeV")  # far above on purpose: it acts as a contact
@pytest.mark.parametrize("channel", ["B+->K+nunu", "B0->K*0nunu"])
def test_heavy_coefficients_of_neutrinos_are_flavios(channel):
    """C_L and C_R of each flavour, complex, against flavio's prediction; V adds to the muon's (coherently)."""
    import flavio
    from wilson import Wilson

    name = {"B+->K+nunu": "BR(B+->Knunu)", "B0->K*0nunu": "BR(B0->K*nunu)"}[channel]
    ours = {"CL_nu_e": 2.0 - 1.0j, "CR_nu_mu": -1.5, "CL_nu_tau": -3.0, "CR_nu_tau": 2.0j}
    theirs = {f"{key[:2]}_bsnu{key[6:]}nu{key[6:]}": value for key, value in ours.items()}
    ratio = branching_ratio(get_channel(channel), Model(heavy=ours)) / branching_ratio(get_channel(channel), Model())
    expected = flavio.np_prediction(name, Wilson(theirs, scale=4.8, eft="WET", basis="flavio"))
    assert ratio == pytest.approx(expected / flavio.sm_prediction(name), rel=3e-3)
    # a V of 5 TeV is a contact interaction, C_L = -g_bs g_nu / (2 N m²)
    heavy = Model(light_vectors=({"mass": 5000.0, "width": 1.0, "g_bs": 2e-2, "g_nu_mu": 0.5},))
    contact = -2e-2 * 0.5 / 2 / 5000.0**2 / complex(load_parameters().prefactor)
    same = branching_ratio(get_channel(channel), Model(heavy={"CL_nu_mu": contact}))
    assert branching_ratio(get_channel(channel), heavy) == pytest.approx(same, rel=1e-3)
