import csv

import numpy as np
import pytest
from darkpenguin.generator.figures import charm
from darkpenguin.generator.figures.charm import CHANNELS, charm_of, leakage_figure, spectrum, spectrum_q2
from darkpenguin.generator.figures.figure import figure, paper_figure
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import as_model
from darkpenguin.physics.rates import branching_ratio
from darkpenguin.physics.resonances import PHASES


def test_the_spectrum_integrates_to_the_branching_fraction():
    channel, model = get_channel("B+->K+mumu"), as_model("sm", theory={"nonlocal": "dispersive"})
    q2 = spectrum_q2(channel, [model])
    q2 = q2[(q2 > 9.0) & (q2 < 10.0)]
    total = np.trapezoid(spectrum(channel, model, q2), q2)
    assert total == pytest.approx(branching_ratio(channel, model, (q2[0], q2[-1])), rel=0.05)  # steps of a factor two
    assert abs(q2 - 3.09690035**2).min() < 1e-6


def test_the_spectrum_is_drawn_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(charm, "PHASES", {name: PHASES[name] for name in ("both-negative", "factorisation")})
    _, paths = paper_figure("spectrum", tmp_path, model="fig2", theory={"nonlocal": "resonances"}, points=3)
    assert [path.name for path in paths] == ["spectrum.png", "spectrum.pdf", "spectrum.csv"]
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))
    assert {row["channel"] for row in rows} == set(CHANNELS)
    assert {row["model"] for row in rows} == {"sm", "fig2"}
    assert {row["phases"] for row in rows} >= {"flavio", "both-negative", "factorisation"}


def test_electrons_of_the_j_psi_leak_and_muons_do_not(tmp_path):
    _, paths = leakage_figure(tmp_path, events=4000)
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))

    def low(pair, what):
        return sum(float(row[what]) for row in rows if row["pair"] == pair and 1.0999 < float(row["q2_min"]) < 5.999)

    assert low("mumu", "j_psi") == 0.0
    assert low("ee", "j_psi") > 10 * low("ee", "rare")
    assert low("ee", "j_psi_in_window") < 0.05 * low("ee", "j_psi")  # the mass of the B sees the lost energy too


def test_options_that_a_figure_does_not_have_are_refused():
    assert charm_of({"phases": "opposite"}).nonlocal_ == "dispersive"
    with pytest.raises(InputError, match="figure spectrum has no such option"):
        paper_figure("spectrum", x="light_vectors.0.mass,1,2")
    with pytest.raises(InputError, match="figure leakage is of the Standard Model"):
        paper_figure("leakage", model="fig2")
    with pytest.raises(InputError, match="figure = spectre: there are 1 and 2 of the paper, spectrum and leakage"):
        figure("spectre")
