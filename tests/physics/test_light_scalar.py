"""A light scalar or pseudoscalar: in ℓℓ against constant C_S, C_P of flavio, in χχ against two bodies, limits, events.

Statistical tests have false alarms below 1e-6.
"""

import numpy as np
import pytest
from darkpenguin.generator.analysis.validate import validate
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.run.generate import run
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import standard_model
from darkpenguin.physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.constraints import bs_mumu_branching_ratio
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.light_scalar import LightScalar
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings
from darkpenguin.physics.observables import BinnedObservable
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.predict import predict
from darkpenguin.physics.rates import branching_ratio, longitudinal_fraction, narrow_branching_ratio, two_body_rate
from darkpenguin.physics.widths import scalar_width
from typer.testing import CliRunner

KMM, KEE, KSTMM = (get_channel(name) for name in ("B+->K+mumu", "B+->K+ee", "B0->K*0mumu"))
CHI = {channel.hadron: channel for channel in map(get_channel, ("B+->K+chichi", "B0->K*0chichi"))}
PARITIES = ("scalar", "pseudoscalar")


def point(**fields):
    return Model(name="S", light_scalars=({"mass": 2.0, "width": 0.2, "g_bs": 2e-9, "g_mu": 0.02, **fields},))


def wave(q2, mass=2.0, width=0.2):
    return 1 / (q2 - mass**2 + 1j * mass * width)


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("flavour", [-1, 1])
@pytest.mark.parametrize("channel", [KMM, KSTMM], ids=lambda channel: channel.name)
def test_coefficients_are_those_of_heavy_ones(channel, flavour, parity):
    """At one q2 the exchange is C_S or C_P; g_bs is conjugated for the conjugate decay, the propagator is not."""
    known, g = load_parameters(), 2e-9 - 1e-9j
    model = point(parity=parity, g_bs=g, g_bs_right=0.5e-9j)
    for q2 in (1.0, 4.0, 9.0):
        sign = -1 if parity == "scalar" else 1
        unit = sign * 0.02 * wave(q2) / known["m_b(4.8)"]
        left, right = (x.conjugate() if flavour > 0 else x for x in (g, 0.5e-9j))
        sm = standard_model(channel)
        c, cp = (x * unit / sm.prefactors[int(flavour > 0)] for x in (left, right))
        if flavour > 0:  # a heavy coefficient is conjugated
            c, cp = np.conj(c), np.conj(cp)
        name = "CS" if parity == "scalar" else "CP"
        heavy = Model(heavy={f"{name}_mu": complex(c), f"{name}p_mu": complex(cp)})
        found, expected = (angular_coefficients(channel, one, [q2], flavour) for one in (model, heavy))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:The QCDF corrections")
@pytest.mark.parametrize("parity", PARITIES)
def test_observables_agree_with_flavio(parity):
    """On its shoulders: rates, A_FB of K μμ (C_S times C9) and J_6c of K* with constant C_S, C_P in flavio."""
    import flavio

    q2, sm = 1.2, standard_model(KMM)
    # a real C for the b quark, also of the conjugate: far from the pole of a narrow S
    model = point(parity=parity, width=1e-4, g_bs=5e-7, g_mu=0.02)
    name = "CS" if parity == "scalar" else "CP"
    shift = (-1 if parity == "scalar" else 1) * 5e-7 * 0.02 * wave(q2, width=1e-4).real
    c = complex(shift / sm.prefactors[0] / load_parameters()["m_b(4.8)"])
    flat = flavio.WilsonCoefficients()
    flat.set_initial({f"{name}_bsmumu": c}, scale=4.8)
    for channel, observable in ((KMM, "dBR/dq2(B+->Kmumu)"), (KSTMM, "dBR/dq2(B0->K*mumu)")):
        both = [decay_rate(angular_coefficients(channel, model, [q2], flavour))[0] for flavour in (-1, 1)]
        found = 0.5 * sum(both) * load_parameters()[f"tau_{channel.parent}"]
        # flavio keeps m_s in the scalar amplitude of Wilson coefficients' quark masses
        np.testing.assert_allclose(found, flavio.np_prediction(observable, flat, q2), rtol=2e-3)
        assert abs(found / flavio.sm_prediction(observable, q2) - 1) > 0.01
    j = sum(angular_coefficients(KMM, model, [q2], flavour)[:, 0] for flavour in (-1, 1))
    afb = flavio.np_prediction("AFB(B+->Kmumu)", flat, q2)
    assert j[1] / decay_rate(j) == pytest.approx(afb, abs=2e-4)
    if parity == "scalar":
        assert abs(afb) > 1e-3
    s6c = sum(angular_coefficients(KSTMM, model, [q2], flavour)[8, 0] for flavour in (-1, 1))
    assert bool(s6c) == (parity == "scalar")


def test_without_coupling_it_is_the_standard_model():
    for fields in ({"g_bs": 0.0}, {"g_mu": 0.0}):
        for channel in (KMM, KSTMM):
            found, expected = (angular_coefficients(channel, one, [2.0, 9.0], 1) for one in (point(**fields), Model()))
            assert found.tobytes() == expected.tobytes()
    assert branching_ratio(CHI["K+"], point(g_bs=0.0)) == 0.0
    assert branching_ratio(get_channel("B+->K+nunu"), point()) == branching_ratio(get_channel("B+->K+nunu"), Model())


def test_parities_are_alike_for_massless_leptons():
    """Beside electrons, 4 m²/q² = 1e-6 of it: the squares agree, and so do χχ without mass."""
    q2 = [1.0, 4.0]
    both = [
        angular_coefficients(KEE, point(parity=parity, g_bs=2e-6, g_mu=0.0, g_e=0.5), q2, -1) for parity in PARITIES
    ]
    excess = [one - angular_coefficients(KEE, Model(), q2, -1) for one in both]
    np.testing.assert_allclose(excess[0][0], excess[1][0], rtol=1e-4)
    dark = [angular_coefficients(CHI["K*0"], point(parity=parity, g_chi=0.3), q2, -1) for parity in PARITIES]
    np.testing.assert_allclose(*dark, rtol=1e-12)


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("hadron", ["K+", "K*0"])
def test_a_narrow_one_is_a_two_body_decay(hadron, parity):
    """Γ(B → M S) times the branching fraction, in χχ and, above the Standard Model, in μμ."""
    model = point(parity=parity, width=2e-5, m_chi=0.4, g_mu=1e-3)
    scalar = model.light_scalars[0]
    channel = CHI[hadron]
    narrow = narrow_branching_ratio(channel, model)
    np.testing.assert_allclose(branching_ratio(channel, model), narrow, rtol=1e-4)
    np.testing.assert_allclose(
        branching_ratio(channel, model.model_copy(update={"width": "narrow"})), narrow, rtol=1e-6
    )
    assert scalar.dark_width() + sum(scalar.partial_widths().values()) == pytest.approx(2e-5)
    sm, known = standard_model(channel), load_parameters()
    ff = {name: float(f[0]) for name, f in sm.form_factors([4.0]).items()}
    momentum = np.sqrt((sm.m_parent**2 + sm.m_hadron**2 - 4.0) ** 2 - 4 * (sm.m_parent * sm.m_hadron) ** 2) / (
        2 * sm.m_parent
    )
    # matrix elements of the divergences of the currents: ⟨K|s̄ b|B⟩, ⟨K*|s̄γ5 b|B⟩ with ε·p_B = m_B |p| / m_V
    element = ff["f0"] * (sm.m_parent**2 - sm.m_hadron**2) if hadron == "K+" else 2 * ff["A0"] * sm.m_parent * momentum
    width = momentum / (8 * np.pi * sm.m_parent**2) * abs(0.5 * 2e-9 * element / known["m_b(4.8)"]) ** 2
    np.testing.assert_allclose(two_body_rate(channel, scalar), width, rtol=1e-12)
    muons = KMM if hadron == "K+" else KSTMM
    edges = breakpoints(muons, model)
    nodes, weights = quadrature(edges, 3.8, 4.2)
    excess = sum(
        decay_rate(angular_coefficients(muons, one, nodes, flavour)) @ weights * sign / 2
        for one, sign in ((model, 1), (Model(), -1))
        for flavour in (-1, 1)
    )
    share = scalar.partial_widths()["mu mu"] / scalar.total_width
    # interference with C10 cancels over the peak to Γ/window
    np.testing.assert_allclose(excess, width * share, rtol=0.01)


def test_spins_are_told_apart():
    """F_L of the K*: 1 from a spin of 0, below it from V (the discriminator of arXiv:2503.19025)."""
    vector = Model(light_vectors=({"mass": 2.1, "width": 0.1, "g_bs": 1e-8},))
    for model, expected in ((point(mass=2.1), 1.0), (vector, None)):
        nodes, weights = quadrature(breakpoints(CHI["K*0"], model), 0.0, 19.0)
        j = sum(angular_coefficients(CHI["K*0"], model, nodes, flavour) @ weights for flavour in (-1, 1))
        fraction = float(longitudinal_fraction(j))
        if expected is not None:
            assert fraction == pytest.approx(expected, abs=1e-12)
        else:
            assert 0.3 < fraction < 0.8


def test_widths():
    scalar = LightScalar(mass=2.0, g_mu=0.1, g_chi=0.3, m_chi=0.4)
    beta = np.sqrt(1 - 0.4**2)
    assert scalar.dark_width() == pytest.approx(0.3**2 * 2.0 / (8 * np.pi) * beta**3)
    assert scalar.total_width == pytest.approx(scalar.dark_width() + scalar.partial_widths()["mu mu"])
    assert LightScalar(mass=2.0, g_mu=0.1).dark_width() == 0.0
    left = LightScalar(mass=2.0, width=0.1, g_mu=0.1, m_chi=0.4)
    assert left.dark_width() == pytest.approx(0.1 - left.partial_widths()["mu mu"])
    assert float(scalar_width(4.0, 0.3, 0.4, "pseudoscalar")) == pytest.approx(0.09 * 2 / (8 * np.pi) * beta)
    assert float(scalar_width(0.1, 1.0, 0.4)) == 0.0


def test_bs_to_muons():
    """The exchange in B_s → μμ is that of the same heavy coefficients."""
    known = load_parameters()
    for parity, name, sign in (("scalar", "CS", -1), ("pseudoscalar", "CP", 1)):
        q2 = known["m_Bs"] ** 2
        c = sign * 2e-9 * 0.02 * wave(q2) / known.prefactor / known["m_b(4.8)"]
        expected = bs_mumu_branching_ratio(Model(heavy={f"{name}_mu": complex(c)}))
        np.testing.assert_allclose(bs_mumu_branching_ratio(point(parity=parity)), expected, rtol=1e-10)
        assert abs(expected / bs_mumu_branching_ratio(Model()) - 1) > 1e-4


def test_predictions_are_polynomials_in_the_couplings():
    model = point()
    rows = [BinnedObservable("BR", "B+->K+mumu", 3.0, 6.0), BinnedObservable("P5p", "B0->K*0mumu", 3.0, 6.0)]
    values = {"light_scalars.0.g_bs": np.array([0.0, 3e-9, 2e-9 - 1e-9j]), "light_scalars.0.g_mu": 0.05}
    table = build_predictor(rows, model, values)(values)
    for g, row in zip(values["light_scalars.0.g_bs"], table, strict=True):
        at = point(g_bs=complex(g), g_mu=0.05)
        direct = [predict(o.name, at, bins=(3.0, 6.0), channel=o.channel)[0].value for o in rows]
        np.testing.assert_allclose(row, direct, rtol=1e-8)
    drawn = predict("BR", model, bins=(3.0, 6.0), channel="B+->K+mumu", errors=True)[0]
    assert 0 < drawn.error < drawn.value


def test_tables_resolve_it():
    narrow = point(width=2e-4)
    assert 4.0 in breakpoints(KMM, narrow)
    table = channel_table(KMM, narrow, "b")
    assert (np.abs(table.q2 - 4.0) < 5e-3).sum() > 50


@pytest.mark.parametrize("parity", PARITIES)
def test_events_follow_the_prediction(tmp_path, parity):
    """ℓℓ with interference and χχ in one file; the file of another width is not that of this one."""
    file = tmp_path / "x.root"
    strong = point(parity=parity, g_bs=2e-8, m_chi=0.3)
    run(["B+->K+mumu", "B0->K*0chichi"], model=strong, events=40_000, seed=3, output=str(file))
    assert validate(file, false_alarm=1e-6).passed


def test_bad_input_is_one_line():
    given = ["--set", "light_scalars.0.mass=2", "--set", "light_scalars.0.width=0.1"]
    for words, message in (
        (["light_scalars.0.g_mu_v=0.1"], "light_scalars.0.g_mu_v: no such key; did you mean g_mu?"),
        (["light_scalars.0.parity=axial"], "light_scalars[0].parity = 'axial'"),
        (["light_scalars.0.g_mu=5"], "its couplings to leptons and chi give partial widths"),
        (["width=running"], "a running width is that of a light vector; take width = fixed"),
    ):
        sets = [word for text in words for word in ("--set", text)]
        found = CliRunner().invoke(app, ["predict", "FL", "--bins", "1,2", "--model", "sm", *given, *sets])
        assert found.exit_code == 2, found.output
        assert message in " ".join(found.output.split()), found.output
    with pytest.raises(InputError, match="a width is needed"):
        apply_settings(Model(), "light_scalars.0.mass=2")
    with pytest.raises(InputError, match="constraints know no light_scalars"):
        constraints(point())
    with pytest.raises(InputError, match="width = narrow: S interferes"):
        angular_coefficients(KMM, point().model_copy(update={"width": "narrow"}), [5.0])


def test_a_vector_and_a_scalar_add():
    vector = LightVector(mass=2.5, relative_width=0.2, g_bs=-1.5e-8, g_mu_v=0.1)
    both = point().model_copy(update={"light_vectors": (vector,)})
    assert list(both.mediators) == ["light_vectors.0", "light_scalars.0"]
    # massless: a vector and a scalar amplitude do not interfere in the rate
    parts = [decay_rate(angular_coefficients(KMM, one, [5.0], -1))[0] for one in (
        both, point(), Model(light_vectors=(vector,)), Model()
    )]  # fmt: skip
    np.testing.assert_allclose(parts[0] - parts[2], parts[1] - parts[3], rtol=1e-9)
