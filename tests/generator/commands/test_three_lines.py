"""All that the command line can do, from ``import darkpenguin as dp`` alone; results as JSON, tables and figures."""

import json

import darkpenguin as dp
import pytest

SCAN = {"model": "sm", "theory": "none", "axes": [{"key": "heavy.C9_mu", "min": -2.0, "max": 0.0, "points": 5}]}
PLANE = {
    **SCAN,
    "model": "fig2",
    "axes": [
        {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 9},
        {"key": "light_vectors.0.g_bs", "min": -4e-8, "max": 4e-9, "points": 9},
    ],
}
TOYS = {"truth": "heavy-c9", "hypotheses": ["sm", "heavy-c9"], "observables": ["R_K+"], "toys": 20, "fit": {}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("three") / "x.root"
    return dp.run(
        ["B+->K+mumu", "B+->K+ee"], events=2000, model="fig2", beam="rest", resolution="lhcb", output=str(file)
    )


def file_of(report):
    return report.files[0]


RESULTS = {
    "run": lambda report: report,
    "sample": lambda report: dp.read_events(file_of(report)),
    "predict": lambda _: dp.predict(["P5p", "R_K+"], "fig2", bins=[1.1, 6.0], set="light_vectors.0.mass=2.8"),
    "curve": lambda _: dp.predict("P5p", {"heavy": {"C9_mu": -1.1}}, q2=(1.0, 6.0), points=5),
    "validate": lambda report: dp.validate(file_of(report)),
    "bin": lambda report: dp.bin(file_of(report), [1.1, 3.0, 6.0]),
    "migrations": lambda report: dp.migrations(file_of(report), [1.1, 3.0, 6.0]),
    "constraints": lambda _: dp.constraints("belle2-2.1gev-mu"),
    "scan": lambda _: dp.scan(SCAN),
    "plane": lambda _: dp.scan(PLANE),
    "toys": lambda _: dp.toys(TOYS),
    "sensitivity": lambda _: dp.sensitivity(observables=["R_K+"], toys=50),
    "limit": lambda _: dp.limit("light_vectors.0.g_bs", -1e-8, observables=["R_K+"], theory=False),
    "model": lambda _: dp.as_model("fig2"),
}
ONLY_SEEN = ("sample", "model")


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_json_a_table_and_a_figure(report, name, tmp_path):
    result = RESULTS[name](report)
    if name not in ONLY_SEEN:
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False))
        table = result.to_pandas()
        assert len(table) >= 1
        assert all(isinstance(column, str) for column in table.columns)
    drawn = dp.figure(result, output=tmp_path / "seen.png")
    assert drawn.axes
    assert (tmp_path / "seen.png").stat().st_size > 5000


def test_views_of_a_result_have_names(tmp_path):
    toys = dp.toys(TOYS)
    for view in ("bands", "pulls", "tests"):
        assert dp.figure(toys, view).axes
    with pytest.raises(dp.InputError, match="did you mean pulls"):
        dp.figure(toys, "pull")
    with pytest.raises(dp.InputError, match=r"x\.root: there are 1 and 2 of the paper"):
        dp.figure("x.root")
    with pytest.raises(dp.InputError, match="there are 1 and 2 of the paper"):
        dp.figure(3)
    with pytest.raises(dp.InputError, match="options of figures 1 and 2"):
        dp.figure(toys, points=3)


def test_cards_are_files_names_dictionaries_or_keywords(tmp_path):
    card = tmp_path / "card.toml"
    card.write_text('channels = ["B+->K+mumu"]\nevents = 50\nseed = 3\n')
    by_file, by_keys = dp.generate(card), dp.generate("B+->K+mumu", events=50, seed=3)
    by_table = dp.generate({"channels": "B+->K+mumu", "events": 50}, seed=3)
    assert by_file["q2"].tolist() == by_keys["q2"].tolist() == by_table["q2"].tolist()
    assert dp.RunCard.make("demo", events=10).events == 10
    for kind in (dp.RunCard, dp.ScanCard, dp.ToysCard, dp.SensitivityCard):
        path = tmp_path / "example.toml"
        path.write_text(kind.example(), encoding="utf-8")
        assert kind.make(path) == kind.make("example")


def test_files_of_results(report, tmp_path):
    assert dp.write_scan(dp.scan(SCAN), tmp_path)
    assert dp.write_hepmc(file_of(report), tmp_path / "x.hepmc").written == 4000
    assert dp.write_histograms(tmp_path / "h.root", dp.bin(file_of(report))).exists()
    made = dp.toys(TOYS, tmp_path / "toys.root")
    assert dp.read_toys(tmp_path / "toys.root").to_pandas().equals(made.to_pandas())
    assert len(dp.events_of_toy(TOYS, 3)) > 0
    assert dp.read_events(dp.generate("B+->K+mumu", events=10).write(tmp_path / "s.parquet")).provenance["seed"] == 1


def test_statistics_and_bridges():
    counts = dp.count_model(
        {"g": {"light_vectors.0.g_bs": -1e-8}}, "fig1-2.5gev", channels=["B+->K+mumu"], theory=False
    )
    fit = dp.fit_counts(counts, dp.binned_toys(counts, [1.0], seed=1, stop=3).counts)
    assert fit.values.shape == (3, len(counts.parameters) + len(counts.nuisances))
    null, other = (dp.count_model({}, name, channels=["B+->K+mumu"], theory=False) for name in ("sm", "fig1-2.5gev"))
    assert dp.bridges.pyhf_workspace(null, other, null.expected([]))["version"] == "1.0.0"
    assert dp.statistics.significance(0.5) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dp.generate("B+->K+mumu", evnts=3), "evnts: no such key in a run card; did you mean events"),
        (lambda: dp.scan(SCAN, axis=[]), "axis: no such key; did you mean axes"),
        (
            lambda: dp.scan({"axes": [{"kye": "heavy.C9_mu", "min": 0, "max": 1}]}),
            r"axes\[0\].kye: no such key",
        ),
        (lambda: dp.toys(truth={"modle": "sm"}), "truth.modle: no such key; did you mean model"),
        (
            lambda: dp.toys(hypotheses=[{"model": "sm", "scann": {}}]),
            r"hypotheses\[0\].scann: no such key",
        ),
        (lambda: dp.toys(detector={"resolutoin": 0.1}), "detector.resolutoin: no such key; did you mean resolution"),
        (
            lambda: dp.toys(dataset={"luminosity": 1, "channels": {"B+->K+mumu": {"yeild": 3, "q2": [1, 6]}}}),
            "yeild: no such key; did you mean yield",
        ),
        (lambda: dp.sensitivity(luminosity=3.0), "luminosity: no such key; did you mean luminosities"),
        (lambda: dp.sensitivity(set="light_vectors.0.mas=1"), "light_vectors.0.mas: no such key; did you mean mass"),
        (lambda: dp.toys(truth="fig3"), "truth.model = 'fig3': no such model; did you mean fig2"),
        (lambda: dp.predict("R_K+", "fig3"), "did you mean fig2"),
        (lambda: dp.constraints("fig2", set="light_vector.0.mass=3"), "did you mean light_vectors"),
        (lambda: dp.limit("light_vectors.0.g_bs", 0.0), "needs a number other than zero"),
    ],
)
def test_mistakes_name_the_nearest(call, words):
    with pytest.raises(dp.InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
