"""Four-momenta of generated events against `vector`: conservation, mass shells, angles in both conventions, beams."""

import numpy as np
import pytest
import vector
from darkpenguin import InputError, generate, get_channel, make_card, read_events, run, validate
from darkpenguin.generator.lab.beams import BEAMS
from darkpenguin.generator.lab.momenta import momenta
from darkpenguin.physics.final_state import AXES, masses, momentum_columns, pdg_ids
from darkpenguin.physics.parameters import load_parameters

CHARGED = ["B0->K*0mumu", "B0->K*0ee", "B+->K*+mumu", "B+->K+mumu", "B0->K0ee", "Bs->phimumu"]


def lorentz(columns, channel):
    return {
        name: vector.array(
            {
                **{axis: np.asarray(columns[f"{name}_{axis}"]) for axis in AXES},
                "mass": np.full(len(columns["b_px"]), mass),
            }
        )
        for name, mass in masses(channel).items()
    }


def angles(p, flavour, convention):
    """Angles by `vector` alone, from the definitions: LHCb arXiv:1304.6325, theory arXiv:0811.1214."""
    in_b = {name: q.boostCM_of_p4(p["b"]) for name, q in p.items()}
    dilepton = in_b["lp"] + in_b["lm"]
    positive = (flavour > 0) if convention == "lhcb" else np.zeros(len(flavour), dtype=bool)
    chosen = vector.array(
        {axis: np.where(positive, getattr(in_b["lp"], axis), getattr(in_b["lm"], axis)) for axis in (*AXES, "mass")}
    )
    other = vector.array(
        {axis: np.where(positive, getattr(in_b["lm"], axis), getattr(in_b["lp"], axis)) for axis in (*AXES, "mass")}
    )
    cos_l = chosen.boostCM_of_p4(dilepton).to_Vector3D().unit().dot(dilepton.to_Vector3D().unit())
    if convention == "theory":
        cos_l = -cos_l
    first, *rest = (name for name in p if name not in ("b", "lp", "lm"))
    if not rest:
        return {"cos_theta_l": cos_l}
    kpi = in_b[first] + in_b[rest[0]]
    cos_k = in_b[first].boostCM_of_p4(kpi).to_Vector3D().unit().dot(kpi.to_Vector3D().unit())
    n_l = chosen.to_Vector3D().cross(other.to_Vector3D()).unit()
    n_k = in_b[first].to_Vector3D().cross(in_b[rest[0]].to_Vector3D()).unit()
    sine = n_l.cross(n_k).dot(kpi.to_Vector3D().unit())
    if convention == "lhcb":
        sine = sine * flavour
    return {"cos_theta_k": cos_k, "cos_theta_l": cos_l, "phi": np.arctan2(sine, n_l.dot(n_k))}


@pytest.mark.parametrize("convention", ["lhcb", "theory"])
@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K*+mumu", "B+->K+mumu", "Bs->phimumu"])
def test_angles_come_back(name, convention):
    """Of a phi, those of the K- and the negative lepton for both flavours."""
    channel = get_channel(name)
    sample = generate(
        name, "fig2", 2000, seed=3, convention=convention, beam="belle2" if channel.parent != "Bs" else "lhcb-13tev"
    )
    flavour = sample["flavour"] if channel.self_tagging else np.full(2000, -1)
    found = angles(lorentz(sample.columns, channel), flavour, convention)
    for angle, values in found.items():
        difference = values - sample[angle]
        if angle == "phi":
            difference = np.angle(np.exp(1j * difference))
        assert np.abs(difference).max() < 1e-6, angle
    wrong = angles(lorentz(sample.columns, channel), -flavour, convention)
    if convention == "lhcb":  # the theory convention has one definition for both flavours
        assert np.abs(wrong["cos_theta_l"] - sample["cos_theta_l"]).max() > 0.5


@pytest.mark.parametrize("beam", [None, *BEAMS])
@pytest.mark.parametrize("name", CHARGED)
def test_momentum_is_conserved_and_q2_comes_back(name, beam):
    channel = get_channel(name)
    sample = generate(name, "fig2", 3000, seed=5, q2=[(0.05, 15.0)])
    if (channel.parent, beam) == ("Bs", "belle2"):
        with pytest.raises(InputError, match="2 m_B"):
            momenta(channel, sample.columns, beam=beam, seed=5)
        return
    p = lorentz(momenta(channel, sample.columns, beam=beam, seed=5), channel)
    _, first, *others = p
    total = sum((p[x] for x in others), p[first])
    scale = p["b"].E
    for component in (*AXES, "E"):
        assert (np.abs(getattr(total, component) - getattr(p["b"], component)) / scale).max() < 1e-12
    q2 = (p["lp"] + p["lm"]).mass2
    assert (np.abs(q2 - sample["q2"]) / scale**2).max() < 1e-12
    if channel.spin == 1:
        mass = load_parameters()["m_" + channel.hadron]
        assert np.abs((p[first] + p[others[0]]).mass - mass).max() < 1e-6


def test_the_decay_has_no_preferred_direction():
    """5 sigma on each of nine means of directions and squares, 20,000 events: false alarm 5e-6."""
    channel = get_channel("B0->K*0mumu")
    sample = generate(channel.name, events=20_000, seed=8)
    p = momenta(channel, sample.columns, beam="rest", seed=8)
    for particle in ("k", "lp", "lm"):
        direction = np.stack([p[f"{particle}_{axis}"] for axis in AXES])
        direction /= np.linalg.norm(direction, axis=0)
        assert np.abs(direction.mean(axis=1)).max() < 5 * np.sqrt(1 / 3 / 20_000)
        assert np.abs((direction**2).mean(axis=1) - 1 / 3).max() < 5 * np.sqrt(4 / 45 / 20_000)


def test_a_file_has_them_and_any_part_is_the_same(tmp_path):
    card = {"channels": "B0->K*0mumu", "model": "fig2", "events": 30_000, "seed": 9, "beam": "lhcb-13tev"}
    run(make_card({**card, "output": str(tmp_path / "whole.root")}))
    whole = read_events(tmp_path / "whole.root")
    assert whole.names[8:] == momentum_columns(get_channel("B0->K*0mumu"))
    assert validate(tmp_path / "whole.root").passed
    parts = [generate(make_card({**card, "range": part, "threads": 1})) for part in ((0, 12_345), (12_345, 30_000))]
    for name in whole.names:
        assert np.concatenate([part[name] for part in parts]).tobytes() == whole[name].tobytes(), name
    rapidity = whole.to_vector().b.rapidity
    assert min(rapidity) >= 2.0
    assert max(rapidity) <= 4.5


def test_mean_transverse_momentum_at_lhcb_is_that_of_the_spectrum():
    """Mean p_T against quadrature of the fitted spectrum: 5 sigma, false alarm 6e-7."""
    beam = BEAMS["lhcb-13tev"]
    y, pt = np.linspace(2.0, 4.5, 201), np.geomspace(1e-3, 1e4, 4001)
    density = beam.spectrum.density(pt[None, :], y[:, None])
    weight = np.trapezoid(np.trapezoid(density, pt), y)
    below = pt < 40.0
    inside = np.trapezoid(np.trapezoid(density[:, below], pt[below]), y) / weight
    sample = generate("B+->K+mumu", events=40_000, seed=4, beam="lhcb-13tev")
    found = np.mean(np.hypot(sample["b_px"], sample["b_py"]) < 40.0)
    assert abs(found - inside) < 5 * np.sqrt(inside * (1 - inside) / 40_000) + 1e-4


def test_views_and_names():
    sample = generate("B+->K+ee", events=10, seed=1)
    p = sample.to_vector()
    assert p.fields == ["b", "k", "lp", "lm"]
    assert np.allclose((p.k + p.lp + p.lm).mass, masses(get_channel("B+->K+ee"))["b"])
    assert pdg_ids(get_channel("B+->K+ee"), 1) == {"b": 521, "k": 321, "lp": -11, "lm": 11}


def test_mistakes_are_named():
    with pytest.raises(InputError, match="did you mean belle2"):
        make_card(channels="B0->K*0mumu", events=1, beam="belle")
    two = {"light_vectors": [{"mass": 2.0, "width": 0.1, "m_chi": m, "g_bs": 1e-8} for m in (0.1, 0.2)]}
    with pytest.raises(InputError, match=r"one m_chi, and the model has \[0.1, 0.2\]"):
        make_card(channels="B+->K+chichi", model=two, events=1, beam="rest")


@pytest.mark.parametrize("m_chi", [0.0, 0.9])
def test_an_invisible_pair_has_momenta(m_chi):
    """Mass shells, conservation, q2 and the angle of chi, against vector."""
    sample = generate(
        "B0->K*0chichi",
        "belle2-2.1gev",
        events=500,
        seed=3,
        set=[f"light_vectors.0.m_chi={m_chi}"],
        flavour="bbar",
        beam="belle2",
    )
    p = sample.to_vector()
    pair = p.chi + p.chibar
    assert np.allclose(pair.mass2, sample["q2"], rtol=0, atol=1e-10)
    total = pair + p.k + p.pi
    assert np.allclose(total.mass, 5.27966, rtol=0, atol=1e-10)
    assert np.allclose(total.px, sample["b_px"], rtol=0, atol=1e-10)
    assert np.allclose(p.chi.mass, m_chi, rtol=0, atol=1e-6)
    in_b, in_pair = pair.boostCM_of_p4(p.b), p.chi.boostCM_of_p4(p.b).boostCM_of_p4(pair.boostCM_of_p4(p.b))
    cosine = in_pair.to_Vector3D().unit().dot(in_b.to_Vector3D().unit())
    # of a B-bar: the angle of chi, as that of the negative lepton (arXiv:1304.6325)
    assert np.allclose(cosine, sample["cos_theta_l"], rtol=0, atol=1e-6)


def test_neutrinos_are_left_handed_in_either_convention():
    """b -> s makes a K* of helicity -1, so a pair of helicity -1, whose left-handed neutrino flies along with it.

    The same in both conventions: means of 40,000 cosines, compared at 5 standard errors (6e-7).
    """
    found = {}
    for convention in ("lhcb", "theory"):
        sample = generate(
            "B0->K*0nunu", "sm", events=40_000, seed=3, flavour="bbar", q2=[(10.0, 15.0)], convention=convention
        )
        p = sample.to_vector()
        pair = p.nu + p.nubar
        in_pair = p.nu.boostCM_of_p4(pair)
        found[convention] = float(np.mean(in_pair.to_Vector3D().unit().dot(pair.to_Vector3D().unit())))
    error = 1 / np.sqrt(3 * 40_000)
    assert abs(found["lhcb"] - found["theory"]) < 5 * np.sqrt(2) * error
    assert found["lhcb"] > 8 * error


def test_a_histogram_can_be_the_beam(tmp_path):
    """Contents of its cells against their shares: chi-squared below its 1e-7 tail."""
    import uproot
    from scipy.stats import chi2

    edges = [0.0, 2.0, 5.0, 20.0], [2.0, 3.0, 5.0]
    weights = np.array([[1.0, 2.0], [0.0, 4.0], [2.0, 1.0]])
    with uproot.recreate(tmp_path / "beam.root") as file:
        file["h"] = (weights, *map(np.array, edges))
    card = make_card(
        channels="B+->K+mumu", events=50_000, seed=2, beam={"file": str(tmp_path / "beam.root"), "name": "h"}
    )
    assert card.for_provenance()["beam"]["weights"] == weights.tolist()  # a file's provenance has the numbers
    sample = generate(card)
    pt = np.hypot(sample["b_px"], sample["b_py"])
    counts, *_ = np.histogram2d(pt, np.arcsinh(sample["b_pz"] / pt), edges)
    expected = weights / weights.sum() * len(sample)
    assert counts[weights == 0].sum() == 0
    filled = weights > 0
    assert ((counts - expected)[filled] ** 2 / expected[filled]).sum() < chi2.isf(1e-7, filled.sum() - 1)


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        ({"kind": "pp", "energy": 3.0}, "7 to 14 TeV"),
        ({"kind": "muons"}, "beam.kind = 'muons'"),
        ({"kind": "pp", "colour": 1}, "fields of a beam of kind pp"),
        (
            {"kind": "histogram", "pt_edges": [0, 1], "eta_edges": [2, 3], "weights": [[float("nan")]]},
            r"weights\[0\]\[0\]",
        ),
        ({"file": "nowhere.root", "name": "h"}, "nowhere.root"),
    ],
)
def test_beams_that_cannot_be(beam, message):
    with pytest.raises(InputError, match=message):
        make_card(channels="B+->K+mumu", events=1, beam=beam)


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+ee"])
@pytest.mark.parametrize("beam", [None, "belle2", "lhcb-13tev"])
def test_a_bit_does_not_depend_on_the_request(name, beam):
    """Any part of the events, by one thread or two, has the same bits."""
    channel = get_channel(name)
    sample = generate(name, events=1000, seed=6)
    whole = momenta(channel, sample.columns, beam=beam, seed=6)
    for low, high in ((0, 1), (1, 130), (517, 1000)):
        part = {column: values[low:high] for column, values in sample.columns.items()}
        found = momenta(channel, part, beam=beam, seed=6, start=low, threads=1)
        for column, values in found.items():
            assert values.tobytes() == whole[column][low:high].tobytes(), column
