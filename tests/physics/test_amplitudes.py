"""Amplitudes against flavio patched with the same light vector, between our nodes; and the cache."""

import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from darkpenguin.kinematics.base.cache import read_checked, write_checked
from darkpenguin.kinematics.phasespace import kallen
from darkpenguin.physics import amplitudes, parameters
from darkpenguin.physics.amplitudes import helicity_amplitudes, new_physics, standard_model
from darkpenguin.physics.channels import CHANNELS, get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Heavy, Model, apply_settings, get_model

VECTOR = LightVector(
    mass=2.2, relative_width=1e-3, g_bs=2e-9 + 1e-9j, g_bs_right=-1e-9 + 3e-9j, g_mu_v=0.1, g_mu_a=-0.3,
    g_e_v=0.2, g_e_a=0.1, g_tau_v=-0.3, g_tau_a=0.4,
)  # fmt: skip
POINT = Model(
    light_vectors=(VECTOR,),
    heavy=Heavy(C7=0.02 + 0.05j, C7p=-0.03j, C9_mu=-1 + 0.4j, C10_mu=0.3, C9p_mu=0.2j, C10p_mu=-0.4,
                CS_mu=0.1j, CSp_mu=0.05, CP_mu=0.2, CPp_mu=-0.1 + 0.1j, C9_e=0.5, CS_e=0.3,
                C9_tau=-3.0 + 1j, C10_tau=2.0, C9p_tau=1j, C10p_tau=-0.7, CS_tau=0.3, CSp_tau=0.1j, CP_tau=0.2j,
                CPp_tau=0.3),
)  # fmt: skip


def flavio_amplitudes(channel, model, q2, conjugate):
    """flavio's helicity amplitudes, eq. (9) of arXiv:1704.06188 added to its coefficients by hand."""
    import flavio
    from flavio.physics.bdecays import bpll
    from flavio.physics.bdecays.bvll import amplitudes as bvll
    from flavio.physics.running import running

    original = bvll.get_wceff

    def shifted(q2, wc, par, parent, hadron, lepton, scale):
        c = original(q2, wc, par, parent, hadron, lepton, scale)
        n, m_b = bvll.prefactor(q2, par, parent, hadron), running.get_mb(par, scale)
        for v in model.light_vectors:
            g_v, g_a = (getattr(v, f"g_{lepton}_{key}") for key in "va")
            breit_wigner = 1 / (q2 - v.mass**2 + 1j * v.mass * v.total_width)
            for g, p in ((v.g_bs, ""), (v.g_bs_right, "p")):
                g_bs = np.conj(g) if conjugate else g
                c["v" + p] += g_bs * g_v / n * breit_wigner
                c10 = g_bs * g_a / n * breit_wigner
                c["a" + p] += c10
                c["p" + p] += m_b * (-2 * par["m_" + lepton] / v.mass**2) * c10
        return c

    coefficients = flavio.WilsonCoefficients()
    values = {}
    for name, value in model.heavy.model_dump().items():
        if value:
            basis = {"mu": "bsmumu", "e": "bsee", "tau": "bstautau"}.get(name.partition("_")[2], "bs")
            values[f"{name.partition('_')[0]}_{basis}"] = value
    if values:
        coefficients.set_initial(values, scale=4.8)
    par = flavio.default_parameters.get_central_all()
    names = {"+V": ("pl", "V"), "-V": ("mi", "V"), "0V": ("0", "V"), "+A": ("pl", "A"), "-A": ("mi", "A"),
             "0A": ("0", "A"), "P": "P", "S": "S"}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(bvll, "get_wceff", shifted)
        patch.setattr(bpll, "get_wceff", shifted)
        found = []
        for s in q2:
            if channel.spin == 1:
                factors = bvll.get_ff(s, par.copy(), channel.parent, channel.hadron)
                function = bvll.helicity_amps_bar if conjugate else bvll.helicity_amps
                h = function(s, factors, coefficients, par, channel.parent, channel.hadron, channel.lepton)
                found.append({ours: h[theirs] for ours, theirs in names.items()})
            else:
                function = bpll.helicity_amps_bar if conjugate else bpll.helicity_amps
                h = function(s, coefficients, par, channel.parent, channel.hadron, channel.lepton)
                found.append({key: h[key] for key in "VASP"})
    return {key: np.array([h[key] for h in found]) for key in found[0]}


def points(channel, number, seed):
    """q2 that are no nodes: uniform, logarithmic from threshold, close to endpoint, kinks and V."""
    rng = np.random.default_rng(seed)
    low, high = channel.q2_limits()
    found = np.concatenate([
        rng.uniform(low, high, number), np.exp(rng.uniform(min(np.log(low), 0.0), 0.0, number)),
        high - 10 ** rng.uniform(-4, -1, 3), 2.2**2 * (1 + 1e-3 * rng.normal(size=number)),
        [8.8999, 8.9, 8.9001, 9.0, 11.338, 11.339, 14.0],
    ])  # fmt: skip
    return found[found > low]  # of taus no more than half


def largest_difference(found, expected):
    scale = np.sqrt(sum(np.abs(value) ** 2 for value in expected.values()))
    return max(np.max(np.abs(found[key] - expected[key]) / scale) for key in expected)


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize("name", [name for name, channel in CHANNELS.items() if channel.lepton])
def test_amplitudes_are_flavio_s(name, conjugate):
    channel = CHANNELS[name]
    q2 = points(channel, 8, seed=len(name) + conjugate)
    for model in (get_model("sm"), POINT):
        found = helicity_amplitudes(channel, model, q2, conjugate)
        expected = flavio_amplitudes(channel, model, q2, conjugate)
        # K e e at 1e-6 GeV²: rounding noise of flavio's own C9eff; everywhere else better than 1e-9
        assert largest_difference(found, expected) < 1e-6
        away = q2 > 1e-3
        kept = [{key: value[away] for key, value in h.items()} for h in (found, expected)]
        assert largest_difference(*kept) < 1e-8


@pytest.mark.parametrize("bent", ["propagator", "coupling", "pseudoscalar", "mass"])
def test_bent_physics_is_seen(bent, monkeypatch):
    """The comparison above fails when the physics is bent."""
    channel = get_channel("B0->K*0mumu")
    q2 = np.array([1.3, 4.7, 4.9])
    expected = flavio_amplitudes(channel, POINT, q2, True)
    model = POINT
    if bent == "propagator":  # conjugated with the couplings
        wave = LightVector.propagator
        monkeypatch.setattr(LightVector, "propagator", lambda *a: np.conj(wave(*a)))
    elif bent == "coupling":  # not conjugated
        settings = [f"light_vectors.0.g_bs={VECTOR.g_bs.conjugate()}".replace("(", "").replace(")", "")]
        model = apply_settings(POINT, settings)
    elif bent == "pseudoscalar":
        model = apply_settings(POINT, ["light_vectors.0.pseudoscalar=false"])
    else:
        model = apply_settings(POINT, ["light_vectors.0.mass=2.2002"])
    assert largest_difference(helicity_amplitudes(channel, model, q2, True), expected) > 1e-4


def test_charm_loops_do_not_know_the_lepton():
    """One table serves muons and electrons: flavio's SM coefficients are the same for both."""
    import flavio
    from flavio.physics.bdecays.wilsoncoefficients import get_wceff, wctot_dict

    par = flavio.default_parameters.get_central_all()
    for q2 in (0.1, 3.0, 12.0):
        mu, e = (
            get_wceff(q2, wctot_dict(flavio.WilsonCoefficients(), "bs" + 2 * lepton, 4.8, par),
                      par, "B0", "K*0", lepton, 4.8)
            for lepton in ("mu", "e")
        )  # fmt: skip
        assert mu == e


# --- the linear shift


def test_shift_is_equation_9():
    channel = get_channel("B+->K+mumu")
    vector = get_model("fig2").light_vectors[0]
    n = standard_model(channel).prefactors
    assert n[1] == pytest.approx(np.conj(n[0]), rel=1e-4, abs=0)  # flavio conjugates its CKM inputs: 2e-5
    at_pole = new_physics(channel, get_model("fig2"), [vector.mass**2])
    expected = vector.g_bs * vector.g_mu_v / n[0] / (1j * vector.mass * vector.total_width)
    assert at_pole["v"][0] == pytest.approx(expected, rel=1e-12, abs=0)
    assert at_pole["a"][0] == pytest.approx(-0.44 * expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu", "B0->K*0ee"])
def test_timelike_amplitude_is_axial_times_one_minus_q2_over_m2(name):
    """Eq. (7): the longitudinal part of the propagator, q_mu q_nu/m², turns P into P (1 - q2/m²) exactly."""
    channel = get_channel(name)
    q2 = np.linspace(*channel.q2_limits(), 9)[1:-1]
    vector = VECTOR.model_copy(update={"g_bs_right": 0j})
    sm = helicity_amplitudes(channel, get_model("sm"), q2)
    plain, full = (
        helicity_amplitudes(channel, Model(light_vectors=(changed,)), q2)
        for changed in (vector.model_copy(update={"pseudoscalar": on}) for on in (False, True))
    )
    np.testing.assert_allclose(full["P"] - sm["P"], (plain["P"] - sm["P"]) * (1 - q2 / 2.2**2), rtol=1e-9)
    for key in set(sm) - {"P"}:
        np.testing.assert_array_equal(full[key], plain[key])


def test_shift_of_the_amplitude_by_hand():
    """V exchange without the detour over C9: g_bs g_l/(q2 - m² + i m Γ) times form factors, N cancelled."""
    channel = get_channel("B0->K*0mumu")
    sm = standard_model(channel)
    q2 = np.array([0.3, 2.0, 7.0, 15.0])
    model = get_model("fig2")
    vector = model.light_vectors[0]
    wave = vector.g_bs / (q2 - vector.mass**2 + 1j * vector.mass * vector.total_width)
    f, m_b, m_v = sm.form_factors(q2), sm.m_parent, sm.m_hadron
    root = np.sqrt(kallen(q2, m_b**2, m_v**2))
    before, after = (helicity_amplitudes(channel, m, q2) for m in (get_model("sm"), model))
    for letter, g in (("V", vector.g_mu_v), ("A", vector.g_mu_a)):
        expected = wave * g * 4j * m_b * m_v * f["A12"] / np.sqrt(q2)
        np.testing.assert_allclose(after["0" + letter] - before["0" + letter], expected, rtol=1e-9)
        for sign in (+1, -1):
            expected = wave * g * 0.5j / (m_b + m_v) * (sign * root * f["V"] - (m_b + m_v) ** 2 * f["A1"])
            key = "+-"[sign < 0] + letter
            np.testing.assert_allclose(after[key] - before[key], expected, rtol=1e-9)


def test_vectors_add_and_vanish():
    channel = get_channel("B0->K*0mumu")
    q2 = np.array([0.5, 4.8, 10.0])
    one, two = VECTOR, VECTOR.model_copy(update={"mass": 1.1, "g_bs": -3e-9 + 0j})
    sm, a, b, both = (
        helicity_amplitudes(channel, Model(light_vectors=v), q2) for v in ((), (one,), (two,), (one, two))
    )
    weak = helicity_amplitudes(channel, Model(light_vectors=(one.model_copy(update={"g_bs": 1e-30 + 0j,
                               "g_bs_right": 0j}),)), q2)  # fmt: skip
    for key in sm:
        np.testing.assert_allclose(both[key] - sm[key], a[key] + b[key] - 2 * sm[key], rtol=1e-9, atol=1e-22)
        np.testing.assert_allclose(weak[key], sm[key], rtol=1e-15)


def test_many_models_at_once_are_one_at_a_time():
    models = [get_model("sm"), get_model("fig2"), POINT]
    for name in ("B0->K*0mumu", "B+->K+ee"):
        channel = get_channel(name)
        q2 = np.array([0.5, 4.8, 10.0])
        together = helicity_amplitudes(channel, models, q2, conjugate=True)
        for i, model in enumerate(models):
            for key, value in helicity_amplitudes(channel, model, q2, conjugate=True).items():
                np.testing.assert_array_equal(np.broadcast_to(together[key], (3, 3))[i], value)


# --- piecewise Chebyshev


# --- cache


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path))
    amplitudes._standard_model.cache_clear()
    yield tmp_path
    amplitudes._standard_model.cache_clear()


def numbers(name="B+->K+mumu"):
    h = helicity_amplitudes(get_channel(name), get_model("sm"), [1.0, 5.0, 20.0])
    return np.array([h[key] for key in sorted(h)])


def test_warm_start_is_equal_and_without_flavio(own_cache):
    first = numbers()
    amplitudes._standard_model.cache_clear()
    np.testing.assert_array_equal(numbers(), first)
    command = (
        "import sys; import numpy as np; from darkpenguin.physics.angular import angular_coefficients; "
        "from darkpenguin.physics.channels import get_channel; "
        "from darkpenguin.physics.models import get_model; "
        "angular_coefficients(get_channel('B+->K+mumu'), get_model('fig2'), [1.0]); "
        "print([m for m in ('flavio', 'scipy', 'numba') if m in sys.modules])"
    )
    environment = {**os.environ, "DARKPENGUIN_CACHE": str(own_cache)}
    parameters._load_parameters.cache_clear()  # they were read from another folder: write them here too
    amplitudes.load_parameters()
    shown = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "other", "nan"])
def test_damaged_cache_is_made_again(own_cache, damage):
    first = numbers()
    (path,) = own_cache.glob("sm-*.npz")
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    elif damage == "other":
        content = bytearray(b"not a zip file at all")
    if damage == "nan":
        with np.load(io.BytesIO(read_checked(path))) as stored:
            data = dict(stored)
        data["smooth_coefficients"][0, 0, 0] = np.nan
        np.savez(buffer := io.BytesIO(), **data)
        write_checked(path, buffer.getvalue())
    else:
        path.write_bytes(content)
    amplitudes._standard_model.cache_clear()
    with pytest.warns(RuntimeWarning, match="damaged"):
        np.testing.assert_array_equal(numbers(), first)
    amplitudes._standard_model.cache_clear()
    np.testing.assert_array_equal(numbers(), first)


def test_without_a_writable_folder(own_cache, monkeypatch):
    first = numbers()
    monkeypatch.setattr(amplitudes, "cache_folder", lambda: None)
    amplitudes._standard_model.cache_clear()
    np.testing.assert_array_equal(numbers(), first)
