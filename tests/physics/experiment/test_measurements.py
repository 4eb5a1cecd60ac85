"""The data: what is in the file, against the publications' abstracts and against flavio's own database."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.experiment.datasets import FOLDER, data_names, load_data
from darkpenguin.physics.experiment.likelihood import GROUPS, get_group, select_measurements
from darkpenguin.physics.experiment.measurements import Entry, make_measurement, parse_value

#   observable and bin -> (central, up, down) as printed in the abstracts of arXiv:1406.6482, 1705.05802,
#   2401.07090, 2505.03483, 2604.08631 and, for the last, sqrt(0.5² + 0.5²) and sqrt(0.5² + 0.4²) of arXiv:2311.14647
ABSTRACTS = [
    ("2017", "R_K+(B+->K+mumu) [1, 6]", 0.745, np.hypot(0.090, 0.036), np.hypot(0.074, 0.036)),
    ("2017", "R_K*0(B0->K*0mumu) [0.045, 1.1]", 0.66, np.hypot(0.11, 0.03), np.hypot(0.07, 0.03)),
    ("2017", "R_K*0(B0->K*0mumu) [1.1, 6]", 0.69, np.hypot(0.11, 0.05), np.hypot(0.07, 0.05)),
    ("current", "R_K+(B+->K+mumu) [1.1, 6]", 0.78, 0.47, 0.23),
    ("current", "R_K+(B+->K+mumu) [14.3, 22.9]", 1.08, np.hypot(0.11, 0.04), np.hypot(0.09, 0.04)),
    ("current", "R_K*0(B0->K*0mumu) [14, 19.2]", 1.08, np.hypot(0.14, 0.07), np.hypot(0.12, 0.07)),
    ("current", "BR(B+->K+nunu)", 2.3e-5, np.hypot(0.5, 0.5) * 1e-5, np.hypot(0.5, 0.4) * 1e-5),
]


@pytest.mark.parametrize(("data", "label", "central", "up", "down"), ABSTRACTS)
def test_values_of_the_abstracts(data, label, central, up, down):
    found = [
        (m.central[i], m.error_up[i], m.error_down[i])
        for m in load_data(data).measurements
        for i, observable in enumerate(m.observables)
        if str(observable) == label
    ]
    assert any(np.allclose(values, (central, up, down), rtol=1e-12) for values in found), found


@pytest.mark.parametrize("data", data_names())
def test_correlations_are_correlations(data):
    for measurement in load_data(data).measurements:
        matrix = measurement.correlation
        assert np.array_equal(matrix, matrix.T)
        assert np.all(np.diag(matrix) == 1.0)
        assert np.linalg.eigvalsh(matrix)[0] > 0.0, measurement.name
        assert np.all(measurement.error_up > 0.0)
        assert np.all(measurement.error_down > 0.0)


@pytest.mark.parametrize("data", data_names())
def test_no_analysis_has_overlapping_bins_of_one_observable(data):
    for experiment_and_paper in {(m.experiment, m.arxiv) for m in load_data(data).measurements}:
        bins: dict[tuple, list] = {}
        for m in load_data(data).measurements:
            if (m.experiment, m.arxiv) == experiment_and_paper:
                for observable in m.observables:
                    # S_i and P_i' of one analysis repeat F_L: the groups of the likelihood keep the two apart
                    key = (observable.name, observable.channel, m.name.split()[-2])
                    bins.setdefault(key, []).append((observable.q2_min, observable.q2_max))
        for key, edges in bins.items():
            edges = sorted(e for e in edges if e[0] is not None)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(edges)), (key, edges)


def test_the_papers_p5_bins():
    """Footnote 4 of arXiv:1704.06188: P5' between 1 and 6 GeV² by ATLAS, CMS and LHCb."""
    bins = {
        (m.experiment, o.q2_min, o.q2_max)
        for m in load_data("2017").measurements
        for o in m.observables
        if o.name == "P5p" and o.q2_min >= 1.0 and o.q2_max <= 6.0
    }
    assert bins == {
        ("LHCb", 1.1, 2.5),
        ("LHCb", 2.5, 4.0),
        ("LHCb", 4.0, 6.0),
        ("CMS", 1.0, 2.0),
        ("CMS", 2.0, 4.3),
        ("CMS", 4.3, 6.0),
        ("ATLAS", 2.0, 4.0),
        ("ATLAS", 4.0, 6.0),
    }


#   S_1c of arXiv:2512.18053 by the lower end of the bin: HEPData ins3094698 v1, config_1
S_1C = {0.06: 0.238, 1.1: 0.587, 2.5: 0.707, 4.0: 0.710, 6.0: 0.593, 11.0: 0.432, 15.0: 0.341, 17.0: 0.388}


@pytest.mark.parametrize("data", data_names())
def test_optimised_observables_are_those_of_the_s_i(data):
    """LHCb's P_i' follow from its S_i, to rounding (within 2 % of an error) as arXiv:1512.04442 defines them.

    In 2025 each basis has a fit and a bias correction of its own (0.3 of an error), and a lepton mass, so F_L = -S_2c
    is no longer 1 - 4 S_2s: P_i' are those of S_2s and S_2c, as ours. 1 = (6 S_1s + 3 S_1c - 2 S_2s - S_2c)/4 with
    S_1s = 3 S_2s gives 4 S_2s; with 1 - F_L in its place P2 would be off by 3.3 errors in 2.5-4. Two tables of one
    publication, so a wrong digit or sign in either is seen.
    """
    measurements = {m.name: m for m in load_data(data).measurements}
    worst = 0.0
    pairs = [
        (m, measurements[n.replace(" P ", " S ")])
        for n, m in measurements.items()
        if " P " in n and n.replace(" P ", " S ") in measurements
    ]
    assert len(pairs) == {"2017": 5, "current": 9}[data]
    for optimised, plain in pairs:
        s = {o.name: plain.central[i] for i, o in enumerate(plain.observables)}
        massive = "mumu 2025" in optimised.name
        s_1c = S_1C[plain.observables[0].q2_min] if massive else s["FL"]
        transverse = 1.0 - 0.75 * s_1c - 0.25 * s["FL"]
        root = np.sqrt(s["FL"] * transverse)
        expected = {
            "FL": s["FL"],
            "P1": 2.0 * s["S3"] / transverse,
            "P2": 2.0 / 3.0 * s["AFB"] / transverse,
            "P3": -s["S9"] / transverse,
            "P4p": s["S4"] / root,
            "P5p": s["S5"] / root,
            "P6p": s["S7"] / root,
            "P8p": s["S8"] / root,
        }
        for i, o in enumerate(optimised.observables):
            allowed = (0.3 if data == "current" else 0.02) * optimised.error_up[i]
            assert optimised.central[i] == pytest.approx(expected[o.name], abs=allowed), o
            bent = expected[o.name] * transverse / (1.0 - s["FL"]) if o.name == "P2" else optimised.central[i]
            worst = max(worst, abs(optimised.central[i] - bent) / optimised.error_up[i])
    assert worst > 3.0 or data == "2017"


def test_electrons_are_the_muons_less_the_differences():
    """Q_i = P_i(mumu) - P_i(ee) of arXiv:2502.10291, 1.1-6 GeV2, whose muons are those of 2003.04831 (in flavio).

    A wrong sign or digit of an electron is seen: the bent P5' is.
    """
    import flavio

    differences = {
        "FL": 0.12,
        "P1": -0.10,
        "P2": 0.07,
        "P3": 0.22,
        "P4p": -0.07,
        "P5p": 0.05,
        "P6p": -0.05,
        "P8p": -0.28,
    }
    muons = flavio.Measurement["LHCb B->K*mumu 2020 P 1.1-6"].get_central_all()
    electrons = {m.name: m for m in load_data("current").measurements}["LHCb B->K*ee 2025 P 1.1-6"]
    for o, value in zip(electrons.observables, electrons.central, strict=True):
        muon = muons[f"<{o.name}>(B0->K*mumu)", 1.1, 6]
        assert muon - value == pytest.approx(differences[o.name], abs=0.03)
        assert o.name != "P5p" or abs(muon + value - differences[o.name]) > 0.3


def test_flavio_reads_the_files_and_agrees(tmp_path):
    """flavio reads our entries, and the entries said to be flavio's equal those of the installed flavio."""
    import flavio
    from flavio.classes import Measurement as Flavio

    database = {name: Flavio[name] for name in Flavio.instances}
    constraints = {name: list(m._constraints) for name, m in database.items()}
    everything = {m.name: m for data in data_names() for m in load_data(data).measurements}
    copied = [m for m in everything.values() if m.database == "flavio 2.7.1"]
    assert len(copied) >= 20
    flavio_names = {
        "R_K+": "<Rmue>(B+->Kll)",
        "R_K0": "<Rmue>(B0->Kll)",
        "R_K*0": "<Rmue>(B0->K*ll)",
        "R_K*+": "<Rmue>(B+->K*ll)",
    }
    charges = (("B0", "0"), ("B+", "+"))
    hadrons = {f"{b}->{m}{charge}mumu": f"{b}->{m}mumu" for b, charge in charges for m in ("K", "K*")}
    for ours in copied:
        theirs = {p: (d, n) for d, parameters in constraints[ours.name] for n, p in enumerate(parameters)}
        for i, o in enumerate(ours.observables):
            word = "dBR/dq2" if o.name == "dBR" else o.name
            label = flavio_names.get(o.name) or (f"<{word}>({hadrons[o.channel]})" if o.channel else o.name)
            key = label if o.q2_min is None else (label, o.q2_min, o.q2_max)
            distribution, n = theirs[key]
            assert np.ravel(distribution.central_value)[n if np.ndim(distribution.central_value) else 0] == (
                pytest.approx(ours.central[i], rel=1e-9, abs=0)
            )
            if hasattr(distribution, "covariance"):
                assert distribution.covariance[n][n] == pytest.approx(ours.covariance[i, i], rel=1e-9, abs=0)
            else:
                assert distribution.error_right == pytest.approx(ours.error_up[i], rel=0.05, abs=0)
                assert distribution.error_left == pytest.approx(ours.error_down[i], rel=0.05, abs=0)
        if len({id(d) for d, _ in theirs.values()}) == 1 and hasattr(distribution, "covariance"):
            assert np.allclose(distribution.covariance, ours.covariance, rtol=1e-9, atol=0)
    names = []
    for data in data_names():
        raw = yaml.safe_load((FOLDER / f"{data}.yml").read_text(encoding="utf-8"))["measurements"]
        own = json.dumps(
            {name: entry for name, entry in raw.items() if "from" not in entry}, default=str
        )  # JSON is YAML
        (tmp_path / data).write_text(own, encoding="utf-8")
        names += flavio.measurements.read_file(str(tmp_path / data))
    assert set(names) == set(everything)


def test_an_error_that_is_common_to_all_bins():
    """B+ → K+ μμ of 2014: 1.2 and 1.4e-9 of 1.92 and 2.13e-9, written out; two values move together with it."""
    today = {m.name: m for m in load_data("current").measurements}
    rates = today["LHCb B+->Kmumu BR 2014"]
    assert rates.covariance[1, 2] == pytest.approx(1.2e-9 * 1.4e-9, rel=1e-12, abs=0)
    assert rates.covariance[1, 1] == pytest.approx((1.5e-9) ** 2 + (1.2e-9) ** 2, rel=1e-12, abs=0)
    assert np.linalg.eigvalsh(rates.correlation)[0] > 0.5
    both = {
        "values": {"a_mu": "1.0 ± 0.1", "BR(B+->Knunu)": "1.0 ± 0.1"},
        "correlation": [[1, 0], [1]],
        "common": "last",
    }
    with pytest.raises(InputError, match=r"measurements.x: common: correlations are given too"):
        make_measurement("x", Entry(experiment="x", **both))


def test_no_data_count_twice():
    """What LHCb's analysis of 8.4 fb-1 replaces is gone, and no group has a number of an experiment twice."""
    today = load_data("current")
    assert not {"2003.04831", "1606.04731", "1512.04442", "2103.11769"} & {m.arxiv for m in today.measurements}
    assert {m.arxiv for m in load_data("2017").measurements} >= {"1512.04442", "1406.6482"}
    for name in [*GROUPS, "FL"]:
        seen = [
            (m.experiment, o.name, o.channel, o.q2_min, o.q2_max)
            for m in select_measurements(today, get_group(name))
            for o in m.observables
        ]
        for a, b in itertools.combinations(seen, 2):
            assert a[:3] != b[:3] or a[4] <= b[3] or b[4] <= a[3], (name, a, b)


def test_wide_bins_are_the_mean_of_the_fine_ones():
    """dB/dq2 of arXiv:2512.18053: its own 1.1-6 is 3.22 +- 0.07, its 15-19 4.45 +- 0.09 (1e-8, statistical).

    HEPData ins3094698. The wide bins are fits of their own and not in our file: a wrong digit in the fine ones is seen.
    """
    rates = {m.name: m for m in load_data("current").measurements}["LHCb B0->K*mumu BR 2025"]
    width = np.array([o.q2_max - o.q2_min for o in rates.observables])
    for low, high, value, error in ((1.1, 6.0, 3.22e-8, 0.07e-8), (15.0, 19.0, 4.45e-8, 0.09e-8)):
        inside = [low <= o.q2_min and o.q2_max <= high for o in rates.observables]
        mean = np.average(rates.central[inside], weights=width[inside])
        assert abs(mean - value) < error
        bent = np.where(rates.central == rates.central[inside][0], rates.central + 0.3e-8, rates.central)
        assert abs(np.average(bent[inside], weights=width[inside]) - value) < abs(mean - value) + 0.3e-8


def test_what_could_not_be_had_is_named():
    missing = load_data("current").missing
    assert {entry.arxiv for entry in missing.values()} >= {"2410.13748", "2212.03066", "2401.01708"}
    assert not {entry.arxiv for entry in missing.values()} & {m.arxiv for m in load_data("current").measurements}
    assert load_data("2017").missing == {}


def test_single_numbers_are_those_of_the_constraints():
    """B+ → K+ νν and a_μ also stand among the limits, as inputs of the constraints."""
    current = load_data("current")
    today = {str(o): m.central[i] for m in current.measurements for i, o in enumerate(m.observables)}
    assert current.limit("br_bplus_kplus_nunu").value == pytest.approx(today["BR(B+->K+nunu)"])
    # Standard Model of the White Paper 2025, arXiv:2505.21476: 116592033(62)e-11
    assert current.limit("delta_a_mu").value == pytest.approx(today["a_mu"] - 116592033e-11, abs=1e-15)


def test_errors_name_the_value():
    with pytest.raises(InputError, match="not a measurement"):
        parse_value("about three")


def test_flavio_stays_out():
    code = (
        "import sys; from darkpenguin.physics.experiment.datasets import load_data; load_data('2017')\n"
        "assert 'flavio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
