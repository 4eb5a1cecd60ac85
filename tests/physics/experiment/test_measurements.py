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
from darkpenguin.physics.experiment.measurements import parse_value

#   observable and bin -> (central, up, down) as printed in the abstracts of arXiv:1406.6482, 1705.05802,
#   2401.07090 and, for the last, sqrt(0.5² + 0.5²) and sqrt(0.5² + 0.4²) of arXiv:2311.14647
ABSTRACTS = [
    ("2017", "R_K+(B+->K+mumu) [1, 6]", 0.745, np.hypot(0.090, 0.036), np.hypot(0.074, 0.036)),
    ("2017", "R_K*0(B0->K*0mumu) [0.045, 1.1]", 0.66, np.hypot(0.11, 0.03), np.hypot(0.07, 0.03)),
    ("2017", "R_K*0(B0->K*0mumu) [1.1, 6]", 0.69, np.hypot(0.11, 0.05), np.hypot(0.07, 0.05)),
    ("current", "R_K+(B+->K+mumu) [1.1, 6]", 0.78, 0.47, 0.23),
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


@pytest.mark.parametrize("data", data_names())
def test_optimised_observables_are_those_of_the_s_i(data):
    """LHCb's P_i' follow from its S_i, as arXiv:1512.04442 defines them, to rounding: within 2 % of an error.

    Two tables of one publication, so a wrong digit or sign in either is seen.
    """
    measurements = {m.name: m for m in load_data(data).measurements}
    pairs = [
        (m, measurements[n.replace(" P ", " S ")])
        for n, m in measurements.items()
        if " P " in n and n.replace(" P ", " S ") in measurements
    ]
    assert len(pairs) == 5
    for optimised, plain in pairs:
        s = {o.name: plain.central[i] for i, o in enumerate(plain.observables)}
        root, transverse = np.sqrt(s["FL"] * (1.0 - s["FL"])), 1.0 - s["FL"]
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
            assert optimised.central[i] == pytest.approx(expected[o.name], abs=0.02 * optimised.error_up[i]), o


def test_flavio_reads_the_files_and_agrees(tmp_path):
    """flavio reads our entries, and the entries said to be flavio's equal those of the installed flavio."""
    import flavio
    from flavio.classes import Measurement as Flavio

    database = {name: Flavio[name] for name in Flavio.instances}
    constraints = {name: list(m._constraints) for name, m in database.items()}
    everything = {m.name: m for data in data_names() for m in load_data(data).measurements}
    copied = [m for m in everything.values() if m.database == "flavio 2.7.1"]
    assert len(copied) > 20
    flavio_names = {
        "R_K+": "<Rmue>(B+->Kll)",
        "R_K0": "<Rmue>(B0->Kll)",
        "R_K*0": "<Rmue>(B0->K*ll)",
        "R_K*+": "<Rmue>(B+->K*ll)",
    }
    hadrons = {"B0->K*0mumu": "B0->K*mumu", "B+->K*+mumu": "B+->K*mumu"}
    for ours in copied:
        theirs = {p: (d, n) for d, parameters in constraints[ours.name] for n, p in enumerate(parameters)}
        for i, o in enumerate(ours.observables):
            label = flavio_names.get(o.name) or (f"<{o.name}>({hadrons[o.channel]})" if o.channel else o.name)
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
            assert np.allclose(distribution.covariance, ours.covariance, rtol=1e-9)
    names = []
    for data in data_names():
        raw = yaml.safe_load((FOLDER / f"{data}.yml").read_text(encoding="utf-8"))["measurements"]
        own = json.dumps({name: entry for name, entry in raw.items() if "from" not in entry})  # JSON is YAML
        (tmp_path / data).write_text(own, encoding="utf-8")
        names += flavio.measurements.read_file(str(tmp_path / data))
    assert set(names) == set(everything)


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
