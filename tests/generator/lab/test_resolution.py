"""Resolution: tracks against their formula, radiation against Bethe and Heitler, q2 of pairs that are not seen."""

import numpy as np
import pytest
import vector
from darkpenguin import InputError, generate, get_channel
from darkpenguin.generator.lab.resolution import ResolutionStage, reconstructed_momenta
from darkpenguin.generator.lab.settings import RESOLUTIONS, ResolutionSettings
from darkpenguin.generator.lab.smearing import radiation_quantiles
from darkpenguin.generator.lab.stages import Place
from darkpenguin.kinematics.beams import UpsilonBeam
from darkpenguin.physics.final_state import masses, momentum_columns
from scipy.stats import gamma, kstest, norm

N = 40_000


def reconstruct(name, settings, beam="lhcb-13tev", events=N, seed=5, **keywords):
    sample = generate(name, "sm", events, seed=seed, beam=beam, **keywords)
    channel = get_channel(name)
    stage = ResolutionStage(ResolutionSettings.model_validate(settings))
    stage.check(channel, sample.names)
    return stage.apply(sample.columns, Place(channel, seed))


def size(columns, particle):
    return np.sqrt(sum(columns[f"{particle}_{axis}"] ** 2 for axis in ("px", "py", "pz")))


def test_nothing_changes_without_a_resolution():
    for name in ("B0->K*0mumu", "B+->K+ee"):
        found = reconstruct(name, {"momenta": True}, events=2000)
        channel = get_channel(name)
        for true, reco in zip(momentum_columns(channel)[3:], reconstructed_momenta(channel), strict=True):
            assert (found[true] == found[reco]).all()
        np.testing.assert_allclose(found["q2_reco"], found["q2"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found["m_b_reco"], masses(channel)["b"], rtol=1e-10)
    assert "m_kpi_reco" not in found


@pytest.mark.parametrize("preset", ["lhcb", "belle2"])
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("B0->K*0mumu", {"k": "hadron", "pi": "hadron", "lp": "muon", "lm": "muon"}),
        ("B+->K+mumu", {"k": "hadron", "lp": "muon", "lm": "muon"}),
    ],
)
def test_curvature_is_gaussian_with_the_width_of_the_formula(preset, name, kinds):
    """Kolmogorov-Smirnov of the pulls, and correlations between tracks below 5 sigma: false alarms below 1e-6."""
    found = reconstruct(name, {"preset": preset, "momenta": True})
    settings = ResolutionSettings(preset=preset)
    pulls = {}
    for particle, kind in kinds.items():
        track, mass = getattr(settings, kind), masses(get_channel(name))[particle]
        p = size(found, particle)
        reach = np.hypot(found[f"{particle}_px"], found[f"{particle}_py"]) if track.transverse else p
        sigma = np.sqrt(track.constant**2 * (1 + (mass / p) ** 2) + (track.slope * reach) ** 2)
        pulls[particle] = (p / size(found, f"{particle}_reco") - 1) / sigma
        assert kstest(pulls[particle], norm.cdf).pvalue > 1e-8, particle
        assert kstest(1.02 * pulls[particle] + 0.05, norm.cdf).pvalue < 1e-8  # bent: it would be seen
        cosine = sum(found[f"{particle}_{a}"] * found[f"{particle}_reco_{a}"] for a in ("px", "py", "pz"))
        assert np.allclose(cosine, p * size(found, f"{particle}_reco"))
    correlation = np.corrcoef(list(pulls.values())) - np.eye(len(pulls))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(N)


def test_radiation_is_that_of_bethe_and_heitler():
    """-ln z is Gamma distributed with shape t / ln 2."""
    found = reconstruct("B+->K+ee", {"electron": {"thickness": 0.25}, "momenta": True}, q2=[(1.1, 6)])
    z = np.concatenate([size(found, f"{x}_reco") / size(found, x) for x in ("lp", "lm")])
    for t, agrees in ((0.25, True), (0.26, False)):
        u = gamma.sf(-np.log(z[z < 1 - 1e-9]), t / np.log(2))
        lost = gamma.sf(-np.log1p(-1e-9), t / np.log(2))
        assert bool(kstest(u / lost, "uniform").pvalue > 1e-7) is agrees
    assert np.corrcoef(z[:N], z[N:])[0, 1] < 5.5 / np.sqrt(N)
    assert (found["m_b_reco"] <= masses(get_channel("B+->K+ee"))["b"] + 1e-9).all()


def test_quantiles_between_the_cells():
    u = np.linspace(0, 1, 40_001)
    coarse = radiation_quantiles(0.25)
    exact = radiation_quantiles(0.25, 40_000)
    assert np.abs(np.interp(u, np.linspace(0, 1, len(coarse)), coarse) - exact)[u > 0.01].max() < 2e-4
    assert (radiation_quantiles(0.0) == 1).all()


def test_a_recovered_photon_restores_the_electron():
    settings = {"electron": {"thickness": 0.25, "recovery": 1.0}}
    perfect = reconstruct("B+->K+ee", settings, events=5000, q2=[(1.1, 6)])
    np.testing.assert_allclose(perfect["m_b_reco"], masses(get_channel("B+->K+ee"))["b"], rtol=1e-9)
    settings["electron"]["threshold"] = 0.5  # soft photons are lost, hard ones are found: no long tail
    found = reconstruct("B+->K+ee", settings, q2=[(1.1, 6)])
    half = reconstruct("B+->K+ee", {"electron": {"thickness": 0.25, "recovery": 0.5}}, q2=[(1.1, 6)])
    assert 0 < np.mean(found["m_b_reco"] < 5.2) < 1
    assert np.mean(found["m_b_reco"] < 4.5) < 0.25 * np.mean(half["m_b_reco"] < 4.5)


def test_electrons_have_a_tail_and_muons_a_peak():
    peaks = {}
    for lepton in ("mumu", "ee"):
        m = reconstruct(f"B+->K+{lepton}", "lhcb", q2=[(1.1, 6)])["m_b_reco"]
        peaks[lepton] = np.percentile(m, [5, 50, 95])
    assert np.abs(peaks["mumu"] - 5.279).max() < 0.04
    assert peaks["ee"][0] < 5.0
    assert peaks["ee"][2] < 5.4


def test_any_part_has_the_same_bits():
    for name in ("B0->K*0ee", "B+->K+nunu"):
        visible = "ee" in name
        sample = generate(name, "sm", 1000, seed=3, beam="belle2" if visible else None)
        channel = get_channel(name)
        stage = ResolutionStage(ResolutionSettings.model_validate("belle2"))
        whole = stage.apply(sample.columns, Place(channel, 3))
        for low, high in ((0, 1), (63, 200), (501, 1000)):
            part = stage.apply({n: column[low:high] for n, column in sample.columns.items()}, Place(channel, 3))
            for column in (made.name for made in stage.makes(channel)):
                assert part[column].tobytes() == whole[column][low:high].tobytes()


def missing(q2, method, settings=None, name="B+->K+nunu", **keywords):
    table = {"missing": method} | ({"preset": settings} if settings else {})
    sample = generate(name, "sm", N, seed=3, q2=[(q2 - 0.01, q2 + 0.01)], resolution=table, **keywords)
    return sample["q2_reco"] - sample["q2"]


@pytest.mark.parametrize("name", ["B+->K+nunu", "B0->K*0nunu"])
def test_a_tagged_pair_is_as_good_as_the_tracks(name):
    assert np.abs(missing(4.0, "tagged", name=name)).max() < 1e-9
    assert np.abs(missing(4.0, "tagged", "belle2", name=name)).max() > 1e-3


def test_q2_of_a_pair_that_is_not_seen():
    """Tagged: exact but for the track. Inclusive: flat between the ends that the momentum of the B allows."""
    m_b, m_k = 5.27934, 0.493677
    e = (m_b**2 + m_k**2 - 4.0) / (2 * m_b)
    p = np.sqrt(e**2 - m_k**2)
    # in the B frame dq2 = 2 m_B dE, dE = p dp / E; the track's p and p_T are those of the laboratory, 1.5 to 3 GeV
    spread = missing(4.0, "tagged", "belle2").std() / (2 * m_b * p**2 / e)
    assert np.hypot(0.003, 0.001 * 1.5) < spread < np.hypot(0.003, 0.001 * 3.5)
    inclusive = missing(4.0, "inclusive")
    # q2_rec = s/4 + M^2 - sqrt(s) (E_B E_K + p_B p_K c) / m_B, with p_B about 0.33 GeV
    root, p_b = 10.579, 0.33
    half = root * p_b * p / m_b
    assert abs(inclusive.std() / (half / np.sqrt(3)) - 1) < 0.05
    assert abs(inclusive.mean()) < 0.15
    slow = missing(22.0, "inclusive")  # a kaon almost at rest tells nothing of the direction
    assert slow.std() < 0.3 * inclusive.std()


@pytest.mark.parametrize("kpi", ["narrow", "pwave"])
def test_momenta_and_q2_of_an_event_belong_together(kpi):
    """What is reconstructed follows from the momenta in the file, and is the same without them there."""
    keywords = {"model": "belle2-2.1gev", "events": 1000, "seed": 2, "kpi": kpi, "resolution": {"missing": "inclusive"}}
    with_momenta = generate("B0->K*0chichi", beam="belle2", **keywords)
    np.testing.assert_array_equal(with_momenta["q2_reco"], generate("B0->K*0chichi", **keywords)["q2_reco"])
    p, beam = with_momenta.to_vector(), UpsilonBeam()
    upsilon = vector.obj(px=beam.momentum[0], py=beam.momentum[1], pz=beam.momentum[2], mass=beam.mass)
    kst = p.k + p.pi
    star = kst.boostCM_of_p4(upsilon)
    expected = beam.mass**2 / 4 + kst.mass2 - beam.mass * star.E
    np.testing.assert_allclose(with_momenta["q2_reco"], expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose((p.chi + p.chibar).mass2, with_momenta["q2"], rtol=0, atol=1e-10)


def test_a_pair_that_is_not_seen_needs_the_upsilon():
    with pytest.raises(InputError, match="take beam = belle2"):
        generate("B+->K+nunu", events=10, beam="lhcb-13tev", resolution="belle2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "cms"}, "resolution.preset = 'cms'"),
        ("lhbc", "did you mean lhcb"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ValueError, match=message):  # a run card makes an InputError of it
        ResolutionSettings.model_validate(settings)


def test_every_name_says_where_its_numbers_are_from():
    """What is assumed is equal to what it is assumed to equal; a file says so too."""
    for name, one in RESOLUTIONS.items():
        assumed = one.source.startswith("assumed: that of Run 1 and 2, times 1")
        assert assumed or "arXiv:" in one.source, name
        assert assumed == (name not in ("lhcb", "belle2"))
        assert not assumed or one.tracks == RESOLUTIONS["lhcb"].tracks
    keys = {"events": 500, "seed": 3, "beam": "lhcb-13tev"}
    now, then = (generate("B+->K+ee", resolution=name, **keys) for name in ("lhcb", "lhcb-run3"))
    assert now["m_b_reco"].tobytes() == then["m_b_reco"].tobytes()
    assert then.provenance["stages"]["resolution"]["source"] == RESOLUTIONS["lhcb-run3"].source


def test_momenta_are_needed():
    channel = get_channel("B+->K+ee")
    with pytest.raises(InputError, match="name a beam"):
        ResolutionStage(ResolutionSettings(preset="lhcb")).check(channel, ("q2",))
    merged = ResolutionSettings(preset="lhcb", electron={"recovery": 0.1})
    assert (merged.electron.recovery, merged.electron.thickness) == (0.1, 0.25)


def test_a_channel_has_only_its_own_reconstructed_columns():
    """A K+ beside a K*: no mass of a pair, and no cut on one; nor a mass of the B of a pair that is not seen."""
    channels = ["B0->K*0mumu", "B+->K+mumu"]
    settings = {"events": 500, "beam": "lhcb-13tev", "resolution": {"preset": "lhcb", "momenta": True}}
    sample = generate(channels, "sm", **settings)
    for name, there in zip(channels, (True, False), strict=True):
        one = sample["channel"] == get_channel(name).index
        assert np.isfinite(sample["m_kpi_reco"][one]).all() == np.isfinite(sample["pi_reco_px"][one]).all() == there
        assert ("m_kpi_reco" in sample.only(name).names) == ("pi_reco_px" in sample.only(name).names) == there
    assert np.isnan(sample["m_kpi_reco"][sample["channel"] == 1]).all()
    for column in ("m_kpi_reco", "m(k_reco, pi_reco)"):
        with pytest.raises(InputError, match=r"no column m_kpi_reco|particles are"):
            generate(channels, "sm", selection=f"{column} < 1.0", **settings)
        generate(channels[0], "sm", selection=f"{column} < 1.0", **settings)
    unseen = generate(["B+->K+mumu", "B+->K+nunu"], "sm", events=100, beam="belle2", resolution="belle2")
    assert np.isnan(unseen["m_b_reco"][unseen["channel"] == get_channel("B+->K+nunu").index]).all()
