"""Neutral kaons as K_S and K_L: shares, kinematics, lifetimes, files.

Fractions and lifetimes are the PDG's (edition 2026): B(K_S -> pi+ pi-) = 0.69195 +- 0.00051, tau_S = 0.089543 ns,
tau_L = 51.16 ns. Statistical tests ask for p > 1e-7 or for 5.5 sigma, and are shown to fail on bent numbers.
"""

import numpy as np
import pytest
from darkpenguin import InputError, generate, read_events, run
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.hepmc import write_hepmc
from darkpenguin.generator.files.hepmc_events import HepmcReader
from darkpenguin.generator.lab.kaons import PI_PI, two_pions
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.final_state import masses
from scipy.stats import binomtest, kstest
from typer.testing import CliRunner

KEYS = {"events": 20_000, "seed": 3, "beam": "lhcb-13tev"}


@pytest.fixture(scope="module")
def sample():
    return generate("B0->K0mumu", kaons="mixed", **KEYS)


def test_without_it_nothing_changes(sample):
    plain = generate("B0->K0mumu", **KEYS)
    assert sample.names[len(plain.names) :] == (
        "kaon", "k_ctau", "pip_px", "pip_py", "pip_pz", "pim_px", "pim_py", "pim_pz",
    )  # fmt: skip
    for name in plain.names:
        assert plain[name].tobytes() == sample[name].tobytes()


def test_half_are_short_and_69_per_cent_of_these_go_to_charged_pions(sample):
    short, pions = sample["kaon"] == 310, np.isfinite(sample["pip_px"])
    assert set(np.unique(sample["kaon"])) == {130, 310}
    assert not (pions & ~short).any()
    n = len(sample)
    assert binomtest(int(short.sum()), n, 0.5).pvalue > 1e-7
    assert binomtest(int(pions.sum()), n, 0.5 * 0.69195).pvalue > 1e-7
    assert binomtest(int(pions.sum()), n, 0.5 * 0.64).pvalue < 1e-7  # a bent one is seen
    for name in ("px", "py", "pz"):
        assert np.isnan(sample[f"pim_{name}"]).tolist() == (~pions).tolist()


def test_pions_are_those_of_a_scalar_at_rest(sample):
    seen = sample.select(np.isfinite(sample["pip_px"]))
    known = masses(get_channel("B0->K*0mumu"))
    k, plus, minus = (np.stack([seen[f"{p}_{a}"] for a in ("px", "py", "pz")]) for p in ("k", "pip", "pim"))
    m_k, m_pi = masses(get_channel("B0->K0mumu"))["k"], known["pi"]
    np.testing.assert_allclose(plus + minus, k, atol=1e-12 * np.abs(k).max())
    e_k, e_plus, e_minus = (np.sqrt((p**2).sum(axis=0) + m**2) for p, m in ((k, m_k), (plus, m_pi), (minus, m_pi)))
    np.testing.assert_allclose(e_plus + e_minus, e_k, rtol=1e-13)
    # boosted back: E* is m/2, the cosine to any direction is flat
    size = np.sqrt(0.25 * m_k**2 - m_pi**2)
    star = plus - k * (e_plus + 0.5 * m_k)[None] / (e_k + m_k)
    np.testing.assert_allclose(np.sqrt((star**2).sum(axis=0)), size, rtol=1e-9)
    along = (star * k).sum(axis=0) / size / np.sqrt((k**2).sum(axis=0))
    for cosine in (*(star / size), along):
        assert kstest(cosine, "uniform", args=(-1, 2)).pvalue > 1e-7
    assert kstest(np.sign(along) * np.abs(along) ** 1.4, "uniform", args=(-1, 2)).pvalue < 1e-7


def test_lengths_are_exponential(sample):
    for number, tau in ((310, 0.089543), (130, 51.16)):  # ns
        length = sample["k_ctau"][sample["kaon"] == number]
        scale = 299.792458 * tau
        assert kstest(length, "expon", args=(0, scale)).pvalue > 1e-7
        assert kstest(length, "expon", args=(0, 1.1 * scale)).pvalue < 1e-7


def test_both_flavours_channels_cuts_and_parts_know_it():
    keys = {**KEYS, "events": 3000, "kaons": {"kinds": "mixed"}}
    names = ["B+->K*+ee", "B0->K*0mumu"]
    whole = generate(names, selection={"cuts": {"e": "kaon == 310 and pt(pip) > 0.3"}}, **keys)
    charged = whole.only("B+->K*+ee")
    pt = np.hypot(charged["pip_px"], charged["pip_py"])
    assert (charged["accepted"] == ((charged["kaon"] == 310) & (pt > 0.3))).all()
    assert 0 < charged["accepted"].sum() < 1500
    assert not whole.only("B0->K*0mumu")["kaon"].any()
    parts = [generate("B+->K*+ee", range=part, **keys) for part in ((0, 1), (1, 1500), (1500, 3000))]
    for name in ("kaon", "k_ctau", "pim_pz"):
        assert np.concatenate([part[name] for part in parts]).tobytes() == charged[name].tobytes()
    single = generate("B+->K*+ee", precision="float32", **keys)
    assert single["pip_px"].dtype == np.float32
    assert (single["kaon"] == charged["kaon"]).all()


def test_a_gpu_makes_the_same(cupy):
    keys = {**KEYS, "events": 2000, "kaons": "mixed"}
    there, here = (generate("B0->K0mumu", device=device, **keys) for device in ("gpu", "cpu"))
    assert (there["kaon"] == here["kaon"]).all()
    np.testing.assert_allclose(there["pip_px"], here["pip_px"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(there["k_ctau"], here["k_ctau"], rtol=1e-12)


def test_hepmc_has_the_chain_and_the_vertex(tmp_path):
    pyhepmc = pytest.importorskip("pyhepmc")
    file = tmp_path / "x.root"
    run(["B0->K0mumu", "B+->K*+ee"], events=150, beam="lhcb-13tev", kaons="mixed", output=str(file), seed=2)
    write_hepmc(file, tmp_path / "x.hepmc")
    rows = read_events(file)
    with pyhepmc.open(tmp_path / "x.hepmc") as stream:
        for i, event in enumerate(stream):
            (kaon,) = (p for p in event.particles if p.pid in (310, 130))
            assert kaon.pid == rows["kaon"][i]
            (mother,) = kaon.production_vertex.particles_in
            assert (abs(mother.pid), mother.status) == (311, 2)
            assert all(p.status == 2 for p in event.particles if abs(p.pid) == 311)
            if np.isnan(rows["pip_px"][i]):
                assert (kaon.status, kaon.end_vertex) == (1, None)
                continue
            plus, minus = kaon.end_vertex.particles_out
            assert (kaon.status, plus.pid, minus.pid) == (2, 211, -211)
            assert plus.momentum.px == rows["pip_px"][i]
            at, p = kaon.end_vertex.position, kaon.momentum
            flight = np.sqrt(at.t**2 - at.x**2 - at.y**2 - at.z**2)
            assert flight == pytest.approx(rows["k_ctau"][i], rel=1e-6)
            assert at.z / at.t == pytest.approx(p.pz / p.e, rel=1e-12)
            total = sum(q.momentum.e for q in event.particles if q.status == 1)
            assert total == pytest.approx(event.particles[0].momentum.e, rel=1e-12)
    assert i == 299
    reader = HepmcReader(tmp_path / "x.hepmc", get_channel("B0->K0mumu"))
    (back,) = reader.chunks(1000)
    assert back["k_px"].tolist() == rows["k_px"][:150].tolist()
    text = (tmp_path / "x.hepmc").read_text().replace(" 311 ", " 310 ").replace(" -311 ", " 310 ")
    (tmp_path / "y.hepmc").write_text(text)  # as programs write it that know no K0
    (back,) = HepmcReader(tmp_path / "y.hepmc", get_channel("B0->K0mumu")).chunks(1000)
    assert back["k_pz"].tolist() == rows["k_pz"][:150].tolist()


def test_bad_input_is_one_line(tmp_path):
    for words, message in (
        (["B0->K0mumu"], "kaons: needs momenta in the laboratory; name a beam"),
        (["B0->K*0mumu", "--beam", "rest"], r"kaons = 'mixed': no neutral kaon in B0->K*0mumu; take a channel such as"),
        (["B0->K0mumu", "--beam", "rest", "--kaons", "some"], "kaons.kinds = 'some'"),
    ):
        rest = [] if "--kaons" in words else ["--kaons", "mixed"]
        output = str(tmp_path / "x.root")
        found = CliRunner().invoke(app, ["generate", "--channel", *words, *rest, "--events", "10", "--output", output])
        assert found.exit_code == 2
        assert message in " ".join(found.output.split())
    with pytest.raises(InputError, match="needs momenta"):
        generate("B0->K0mumu", events=10, kaons="mixed")


def test_two_pions_against_a_boost():
    """Along the flight: energies of a pair of a moving kaon by hand."""
    p, m, m_pi = 3.0, 0.5, 0.14
    plus, _ = two_pions([np.zeros(1), np.zeros(1), np.array([p])], m, m_pi, np.ones(1), np.zeros(1))
    gamma, star = np.hypot(p, m) / m, np.sqrt(0.25 * m**2 - m_pi**2)
    assert plus[2][0] == pytest.approx(gamma * star + p / m * 0.5 * m, rel=1e-14)
    assert pytest.approx(0.69195, abs=0.00051) == PI_PI
