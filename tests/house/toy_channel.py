"""A mode added as one row and driven from end to end: B_s -> phi (-> K+ K-), with a number and a rate of its own.

Run by ``test_rows_channel.py`` in a process of its own, whose argument is a folder: the row takes the place of that of
this decay before anything asks for it.
"""

import sys
from pathlib import Path

from darkpenguin.physics import modes

PHI = modes.Transition(
    number=109,
    parent=modes.Particle("Bs", "b", 531, "m_Bs", "B_s^0"),
    hadron=modes.Particle("phi", "phi", 333, "m_phi", r"\phi"),
    spin=1,
    daughters=(modes.Particle("K+", "kp", 321, "m_K+"), modes.Particle("K-", "km", -321, "m_K+")),
    branching=0.25,
    self_tagging=False,
)
modes.TRANSITIONS = (*(row for row in modes.TRANSITIONS if row.name != PHI.name), PHI)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from darkpenguin import InputError, generate, make_card, predict, read_events, run  # noqa: E402
from darkpenguin.generator.analysis.binning import bin  # noqa: E402
from darkpenguin.generator.analysis.validate import validate  # noqa: E402
from darkpenguin.physics.channels import CHANNELS, channel_by_index, lepton_pairs  # noqa: E402
from darkpenguin.physics.models import apply_settings, get_model  # noqa: E402
from darkpenguin.physics.observables import binned  # noqa: E402
from darkpenguin.physics.parameters import load_parameters  # noqa: E402

BENT = "heavy.C9_mu=-1.0"
MU, E, KSTAR = "Bs->phimumu", "Bs->phiee", "B0->K*0mumu"
CUTS = ["lhcb", "pt(kp) > 0.2 and pt(km) > 0.2 and 1.01 < m(kp, km) < 1.03"]
DATA = """\
title: a toy measurement
date: 2026-01
theory: none
measurements:
  Toy phi:
    experiment: Toy
    arxiv: '0000.00000'
    values:
    - {name: <Rmue>(Bs->phill), q2min: 1.1, q2max: 6.0, value: 0.80 ± 0.05}
    - {name: <P4p>(Bs->phimumu), q2min: 1.1, q2max: 6.0, value: -0.10 ± 0.10}
"""


def registry():
    """Number, names and labels follow from the row."""
    channel = channel_by_index(109)
    assert (channel.name, CHANNELS[E].index) == (MU, 119)
    assert [particle.label for particle in channel.particles] == ["b", "kp", "km", "lp", "lm"]
    assert (CHANNELS[MU], CHANNELS[E]) in lepton_pairs(CHANNELS)


def along(sample, label):
    return sample[f"{label}_pz"]


def across(sample, label):
    return np.hypot(sample[f"{label}_px"], sample[f"{label}_py"])


def events(folder):
    """Generated behind a beam and a detector, beside a K*; written, read back, validated and binned."""
    card = make_card(
        channels=[MU, E, KSTAR],
        model="fig2",
        events=3000,
        seed=11,
        beam="lhcb-13tev",
        resolution={"preset": "lhcb", "momenta": True},
        selection=CUTS[:1],
        efficiency={"maps": {"mu": 0.8, "e": 0.3}},
        output=str(folder / "toy.root"),
    )
    run(card)
    sample = read_events(folder / "toy.root")
    toy, kstar = sample.only(MU), sample.only(KSTAR)
    assert {"kp_px", "km_pz", "km_reco_py", "m_kpi_reco"} <= set(toy.names)
    assert not {"k_px", "pi_px", "k_reco_px"} & set(toy.names)
    assert not any(name.startswith(("kp_", "km_")) for name in kstar.names)
    assert np.isnan(sample["kp_px"][sample["channel"] == CHANNELS[KSTAR].index]).all()
    assert abs(np.median(toy["m_kpi_reco"]) - load_parameters()["m_phi"]) < 0.001
    assert abs(np.median(toy["m_b_reco"]) - load_parameters()["m_Bs"]) < 0.01
    for name, kept in ((MU, 0.8), (E, 0.3)):
        one = sample.only(name)
        pz, pt = (np.array([f(one, label) for label in ("kp", "km", "lp", "lm")]) for f in (along, across))
        seen = ((np.sinh(2.0) * pt < pz) & (pz < np.sinh(5.0) * pt)).all(axis=0)
        accepted = one["accepted"] == 1
        assert not accepted[~seen].any()
        assert abs(accepted[seen].mean() - kept) < 5 * np.sqrt(kept * (1 - kept) / seen.sum())
    p = toy.to_vector()
    np.testing.assert_allclose((p.kp + p.km).mass, load_parameters()["m_phi"], rtol=1e-9)
    np.testing.assert_allclose((p.kp + p.km + p.lp + p.lm).mass, load_parameters()["m_Bs"], rtol=1e-9)
    assert validate(folder / "toy.root").passed
    found = {(row.channel, row.observable): row for row in bin(folder / "toy.root", [(1.1, 6.0)])}
    assert {("R_phi", "R_phi"), (MU, "FL"), (MU, "S4"), (KSTAR, "S5")} <= set(found)
    return folder / "toy.root"


def cuts():
    """Cuts take the labels of the row, with their masses, and refuse those of other rows."""
    sample = generate(MU, events=200, seed=1, beam="lhcb-13tev", selection=CUTS)
    assert 0 < sample["accepted"].sum() < 200
    with pytest.raises(InputError, match="particles are b, km, kp, lm, lp"):
        generate(MU, events=10, beam="lhcb-13tev", selection="pt(pi) > 1")
    with pytest.raises(InputError, match="takes kpi = 'narrow'"):
        generate(MU, events=10, kpi="pwave")
    with pytest.raises(InputError, match="2 m_B"):
        generate(MU, events=10, beam="belle2")


def hepmc(file, folder):
    """The chain of decays; a phi and its kaons are the same in the conjugate decay."""
    try:
        import pyhepmc
    except ImportError:
        return
    from darkpenguin.generator.files.hepmc import write_hepmc

    write_hepmc(file, folder / "toy.hepmc")
    with pyhepmc.open(folder / "toy.hepmc") as stream:
        found = {tuple(particle.pid for particle in event.particles) for event in stream}
    for lepton in (13, 11):
        assert {(sign * 531, 333, -lepton, lepton, 321, -321) for sign in (1, -1)} <= found
    assert len(found) == 6  # and the K* and its conjugate


def predictions():
    """R_phi and the angular observables, in bins and of one model or another."""
    [ratio] = predict("R_phi", model="sm", bins=[1.1, 6.0])
    assert abs(ratio.value - 1) < 0.01
    [p4] = predict("P4p", model="sm", bins=[4.0, 6.0], channel=MU)
    assert -0.6 < p4.value < -0.4
    with pytest.raises(InputError, match="P5p needs to know which of Bs and its conjugate decayed"):
        predict("P5p", model="sm", bins=[4.0, 6.0], channel=MU)
    [shifted] = predict("R_phi", model="fig2", bins=[1.1, 6.0])
    np.testing.assert_allclose(shifted.value, binned("R_phi", "fig2", [(1.1, 6.0)])[0])
    with pytest.raises(InputError, match="FH"):
        predict("FH", model="sm", bins=[1.1, 6.0], channel=MU)


def scans(folder):
    """A measurement of the toy mode, in flavio's words, as a constraint on a model."""
    from darkpenguin.generator.scans.card import ScanCard
    from darkpenguin.generator.scans.scan import scan

    (folder / "toy.yml").write_text(DATA, encoding="utf-8")
    axis = {"key": "heavy.C9_mu", "min": -1.0, "max": 0.0, "points": 2}
    groups = ("R_phi", "P4p")
    found = scan(ScanCard(model="sm", data=str(folder / "toy.yml"), groups=groups, theory="none", axes=(axis,)))
    ratios = np.array(
        [binned("R_phi", model, [(1.1, 6.0)])[0] for model in ("sm", apply_settings(get_model("sm"), BENT))]
    )
    p4 = binned("P4p", "sm", [(1.1, 6.0)], MU)[0]
    np.testing.assert_allclose(found.standard["P4p"], ((p4 + 0.1) / 0.1) ** 2, rtol=1e-6)
    np.testing.assert_allclose(found.chi2["R_phi"][::-1], ((ratios - 0.8) / 0.05) ** 2, rtol=1e-6)
    assert found.chi2["R_phi"][0] < found.chi2["R_phi"][1]


def toys():
    """Counts and pseudo-experiments of R_phi."""
    from darkpenguin.generator.toys.datasets import Dataset
    from darkpenguin.generator.toys.experiment import make_experiment

    window = [1.1, 6.0]
    table = {MU: {"yield": 400, "q2": window}, E: {"yield": 100, "q2": window}}
    dataset = Dataset.model_validate({"luminosity": 1.0, "channels": table, "precision": {"R_phi": 0.2}})
    experiment = make_experiment(dataset, window, ["R_phi"], theory=False)
    expected = experiment.expect([get_model("sm")])
    np.testing.assert_allclose(expected.counts[MU], 400, rtol=1e-9)
    drawn = experiment.draw(expected, seed=1, start=0, stop=400)
    assert abs(drawn.counts[MU].mean() - 400) < 5 * np.sqrt(400 / 400)
    assert np.isfinite(experiment.combined(drawn, expected)).all()


def main(folder):
    registry()
    file = events(folder)
    cuts()
    hepmc(file, folder)
    predictions()
    scans(folder)
    toys()
    print("a row is a mode")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
