"""HepMC3 files, read back."""

import numpy as np
import pytest
from darkpenguin import InputError, generate, get_channel, get_model, make_card, read_events, run
from darkpenguin.generator.files.hepmc import write_hepmc
from darkpenguin.generator.files.hepmc_events import HepmcReader
from darkpenguin.generator.files.source import EventSource
from darkpenguin.kinematics.beams import UpsilonBeam
from darkpenguin.physics.models import as_model

pyhepmc = pytest.importorskip("pyhepmc")
CHANNELS = ["B0->K*0mumu", "B+->K*+ee", "B+->K+ee", "B0->K0mumu", "Bs->phiee", "B+->K+tautau"]
IDS = {  # B, K*, l+, l-, then the hadrons, for the B
    3: (511, 313, -13, 13, 321, -211),
    14: (521, 323, -11, 11, 311, 211),
    11: (521, 321, -11, 11),
    2: (511, 311, -13, 13),
    15: (531, 333, -11, 11, -321, 321),
    41: (521, 321, -15, 15),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("hepmc") / "x.root"
    run(
        make_card(
            channels=CHANNELS,
            events=150,
            beam="lhcb-13tev",
            seed=5,
            output=str(path),
            efficiency={"maps": 0.6, "mode": "flag"},
        )
    )
    return path


@pytest.mark.parametrize("name", ["x.hepmc", "x.hepmc.gz"])
def test_events_read_back(file, tmp_path, name):
    counts = write_hepmc(file, tmp_path / name)
    sample = read_events(file)
    kept = sample.select(sample["accepted"] == 1)
    assert (counts.written, counts.left_out) == (len(kept), len(sample) - len(kept))
    with (tmp_path / name).open("rb") as stream:
        assert (stream.read(2) == b"\x1f\x8b") == name.endswith(".gz")
    read = 0
    with pyhepmc.open(tmp_path / name) as stream:
        for i, event in enumerate(stream):
            read += 1
            channel, flavour = int(kept["channel"][i]), int(kept["flavour"][i])
            assert event.event_number == kept["event"][i]
            assert event.weights == [1.0]
            particles = event.particles
            ids = [particle.pid for particle in particles]
            # hadrons of the conjugate decay are conjugate; the leptons keep their order, l+ then l-
            expected = [number if abs(number) in (11, 13, 15) else flavour * number for number in IDS[channel]]
            if channel == 15:  # a phi and its kaons are their own conjugates
                expected = [flavour * 531, *IDS[channel][1:]]
            vector, status = len(expected) == 6, [2, 1, 1, 1]
            if vector:
                status = [2, 2, 1, 1, 1, 1]
            if channel in (2, 14):  # a K0 is none that is seen
                assert ids[-1] in (310, 130)
                expected, status = [*expected, ids[-1]], [*status, 1]
                status[[abs(number) for number in ids].index(311)] = 2
            assert ids == expected
            assert [particle.status for particle in particles] == status
            assert len(event.vertices) == status.count(2)
            b = particles[0]
            assert [p.pid for p in b.end_vertex.particles_out] == ids[1:4]
            if vector:
                assert [p.pid for p in particles[1].end_vertex.particles_out] == ids[4:6]
            np.testing.assert_allclose(
                [b.momentum.px, b.momentum.py, b.momentum.pz],
                [kept[f"b_{axis}"][i] for axis in ("px", "py", "pz")],
                rtol=1e-14,
            )
            final = [p.momentum for p in particles if p.status == 1]
            for axis in ("px", "py", "pz", "e"):
                total = sum(getattr(p, axis) for p in final)
                assert abs(total - getattr(b.momentum, axis)) < 1e-10 * b.momentum.e
            for p in particles:
                assert abs(p.momentum.m() - p.generated_mass) < 1e-9 * p.momentum.e**2
            lp, lm = (p.momentum for p in particles if abs(p.pid) in (11, 13, 15))
            assert abs((lp + lm).m() ** 2 - kept["q2"][i]) < 1e-9 * b.momentum.e**2
    assert read == len(kept)
    assert {t.name for t in event.run_info.tools} == {"darkpenguin"}
    assert event.run_info.weight_names == ["weight"]


def test_weights_are_written(tmp_path):
    run(
        make_card(
            channels="B+->K+mumu",
            events=50,
            beam="rest",
            output=str(tmp_path / "x.root"),
            efficiency={"maps": 0.25, "mode": "weight"},
        )
    )
    write_hepmc(tmp_path / "x.root", tmp_path / "x.hepmc")
    with pyhepmc.open(tmp_path / "x.hepmc") as stream:
        assert [event.weights for event in stream] == [[0.25]] * 50


def test_no_event_makes_a_file_without_events(tmp_path):
    run(
        make_card(
            channels="B+->K+mumu",
            events=5,
            beam="rest",
            output=str(tmp_path / "x.root"),
            efficiency={"maps": 0, "mode": "reject"},
        )
    )
    assert write_hepmc(tmp_path / "x.root", tmp_path / "x.hepmc").written == 0
    with pyhepmc.open(tmp_path / "x.hepmc") as stream:
        assert list(stream) == []


def test_mistakes_are_named_and_leave_nothing_behind(file, tmp_path, monkeypatch):
    run(make_card(channels="B+->K+mumu", events=5, output=str(tmp_path / "plain.root")))
    with pytest.raises(InputError, match=r"no momenta of B\+->K\+mumu"):
        write_hepmc(tmp_path / "plain.root", tmp_path / "x.hepmc")
    with pytest.raises(InputError, match=r"ends in \.hepmc"):
        write_hepmc(file, tmp_path / "x.txt")
    write_hepmc(file, tmp_path / "x.hepmc")
    with pytest.raises(InputError, match="exists"):
        write_hepmc(file, tmp_path / "x.hepmc")

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EventSource, "events", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_hepmc(file, tmp_path / "y.hepmc.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain.root", "x.hepmc"]


def test_the_command_and_a_missing_package(file, tmp_path, monkeypatch):
    import sys

    from darkpenguin.generator.commands.cli import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["hepmc", str(file), str(tmp_path / "x.hepmc.gz")])
    assert result.exit_code == 0
    assert "not accepted are left out" in result.output
    monkeypatch.setitem(sys.modules, "pyhepmc", None)
    with pytest.raises(InputError, match="needs the package pyhepmc"):
        write_hepmc(file, tmp_path / "z.hepmc")


def test_photons_come_last_and_add_up(tmp_path):
    """All that comes from the B has its momentum, and the leptons' decay is found again with the photons added back."""
    from darkpenguin.generator.files.hepmc_events import HepmcReader

    keys = {"beam": "lhcb-13tev", "events": 200, "theory": {"radiation": "leading-log"}}
    sample = generate("B0->K*0ee", **keys)
    counts = write_hepmc(sample, tmp_path / "x.hepmc")
    assert counts.written == 200
    photons = 0
    with pyhepmc.open(tmp_path / "x.hepmc") as stream:
        for event in stream:
            b, *others = event.particles
            ids = [particle.pid for particle in event.particles]
            assert set(ids[6:]) <= {22}
            photons += len(ids) - 6
            final = [p.momentum for p in others if p.status == 1]
            for axis in ("px", "py", "pz", "e"):
                assert abs(sum(getattr(p, axis) for p in final) - getattr(b.momentum, axis)) < 1e-9
            assert all(p.momentum.e > 1e-9 for p in event.particles[6:])
    assert photons == sum(
        (sum(sample[f"{photon}_{axis}"] ** 2 for axis in ("px", "py", "pz")) > 1e-18).sum() for photon in ("gp", "gm")
    )
    for way, exact in (("add", True), ("refuse", False)):
        [columns] = HepmcReader(tmp_path / "x.hepmc", get_channel("B0->K*0ee"), way).chunks(1000)
        pair = {axis: columns[f"lp_{axis}"] + columns[f"lm_{axis}"] for axis in ("px", "py", "pz", "e")}
        q2 = pair["e"] ** 2 - sum(pair[axis] ** 2 for axis in ("px", "py", "pz"))
        assert np.allclose(q2, sample["q2"], rtol=0, atol=1e-6) == exact
        assert np.allclose(q2, sample["q2_ll"], rtol=0, atol=1e-6) != exact


def test_the_upsilon_and_the_other_b(file, tmp_path):
    """They add up, the Υ(4S) has the beam's velocity and its mass within the beam's spread; another beam has none."""
    beam = UpsilonBeam()
    run(["B0->K*0mumu", "B+->K+ee"], model="sm", events=200, beam="belle2", seed=9, output=tmp_path / "u.root")
    write_hepmc(tmp_path / "u.root", tmp_path / "u.hepmc", upsilon=True)
    masses = []
    with pyhepmc.open(tmp_path / "u.hepmc") as stream:
        for event in stream:
            whole, other, b, *rest = event.particles
            assert (whole.pid, whole.status, other.pid, other.status, b.status) == (300553, 2, -b.pid, 1, 2)
            assert {particle.id for particle in whole.end_vertex.particles_out} == {other.id, b.id}
            assert b.end_vertex.particles_in[0].id == b.id
            assert abs(other.momentum.m() - b.momentum.m()) < 1e-5
            for axis in ("px", "py", "pz", "e"):
                assert getattr(whole.momentum, axis) == pytest.approx(
                    getattr(other.momentum, axis) + getattr(b.momentum, axis), abs=1e-9
                )
            assert whole.momentum.pz / whole.momentum.e == pytest.approx(beam.momentum[2] / 11.007, rel=1e-6)
            assert whole.momentum.px / whole.momentum.e == pytest.approx(beam.momentum[0] / 11.007, rel=1e-6)
            masses.append(whole.momentum.m())
            assert len(rest) in (3, 5)
    assert abs(np.mean(masses) - beam.mass) < 0.003
    assert 0.002 < np.std(masses) < 0.008
    with pytest.raises(InputError, match=r"beam = 'lhcb-13tev'; the Upsilon\(4S\) is that of --beam belle2"):
        write_hepmc(file, tmp_path / "no.hepmc", upsilon=True)


def test_a_b_that_lives(file, tmp_path):
    """Mean proper decay length c tau within five of its errors; along the momentum; the kaon's vertex comes on top."""
    run("B0->K*0mumu", model="sm", events=2000, beam="lhcb-13tev", seed=4, output=tmp_path / "v.root")
    write_hepmc(tmp_path / "v.root", tmp_path / "v.hepmc", vertices=True)
    lengths = []
    with pyhepmc.open(tmp_path / "v.hepmc") as stream:
        for event in stream:
            b = event.particles[0]
            place, p = b.end_vertex.position, b.momentum
            across = np.cross([place.x, place.y, place.z], [p.px, p.py, p.pz])
            assert np.linalg.norm(across) < 1e-6 * np.linalg.norm([place.x, place.y, place.z]) * p.e
            lengths.append(place.t * p.m() / p.e)
    expected = get_model("sm").parameters["tau_B0"] * 1.973269804e-13
    assert expected == pytest.approx(0.455, rel=0.01)  # 1.52 ps
    assert abs(np.mean(lengths) / expected - 1.0) < 5 / np.sqrt(len(lengths))
    assert abs(np.median(lengths) / expected - np.log(2.0)) < 5 / np.sqrt(len(lengths))
    assert abs(np.mean(lengths) / (1.2 * expected) - 1.0) > 5 / np.sqrt(len(lengths))  # a bent lifetime is seen


FLYING = {"light_vectors": [{"name": "V", "mass": 1.5, "ctau": 2.0, "g_bs": 2e-8, "g_mu_v": 5e-7}]}


def flights(path):
    """Proper decay lengths (mm) of the mediators in a file, each checked; and how many events have none."""
    lengths, none = [], 0
    with pyhepmc.open(path) as stream:
        for event in stream:
            found = [p for p in event.particles if p.pid == 55]
            [b] = [p for p in event.particles if abs(p.pid) in (511, 521) and p.end_vertex is not None]
            leptons = [p for p in event.particles if abs(p.pid) in (13, 22)]
            if not found:
                assert all(p.production_vertex.id == b.end_vertex.id for p in leptons)
                none += 1
                continue
            [v] = found
            start, end, p = v.production_vertex.position, v.end_vertex.position, v.momentum
            assert (v.status, v.production_vertex.id) == (2, b.end_vertex.id)
            assert p.m() == pytest.approx(1.5, rel=1e-5)
            assert {lepton.production_vertex.id for lepton in leptons} == {v.end_vertex.id}
            for axis in ("px", "py", "pz", "e"):
                total = sum(getattr(lepton.momentum, axis) for lepton in leptons)
                assert total == pytest.approx(getattr(p, axis), abs=1e-9)
            path = np.array([getattr(end, x) - getattr(start, x) for x in ("x", "y", "z", "t")])
            length = path[3] * p.m() / p.e
            np.testing.assert_allclose(path * p.m(), length * np.array([p.px, p.py, p.pz, p.e]), rtol=1e-6, atol=1e-6)
            lengths.append(length)
    return lengths, none


@pytest.mark.parametrize("options", [{}, {"vertices": True, "upsilon": True}])
@pytest.mark.parametrize("channel", ["B+->K+mumu", "B0->K*0mumu"])
def test_a_mediator_that_flies(channel, options, tmp_path):
    """An exponential of cτ along its momentum, by a test that fails once in 1e6 and sees a cτ of 1.2 times that."""
    from darkpenguin.physics.rates import branching_ratio
    from scipy.stats import kstest

    run(channel, model=FLYING, events=2500, beam="belle2", seed=8, output=tmp_path / "v.root")
    write_hepmc(tmp_path / "v.root", tmp_path / "v.hepmc", **options)
    lengths, none = flights(tmp_path / "v.hepmc")
    rate = {m: branching_ratio(get_channel(channel), as_model(model)) for m, model in (("V", FLYING), ("none", "sm"))}
    expected = 2500 * rate["none"] / rate["V"]
    assert len(lengths) + none == 2500
    assert abs(none - expected) < 5 * np.sqrt(expected)
    assert kstest(lengths, "expon", args=(0, 2.0)).pvalue > 1e-6
    assert kstest(lengths, "expon", args=(0, 2.4)).pvalue < 1e-6
    assert abs(np.mean(lengths) / 2.0 - 1) < 5 / np.sqrt(len(lengths))
    # whoever reads the file finds every decay, in its order
    read = HepmcReader(tmp_path / "v.hepmc", get_channel(channel))
    columns = next(iter(read.chunks(10_000)))
    np.testing.assert_allclose(columns["lm_px"], read_events(tmp_path / "v.root")["lm_px"], rtol=1e-12, atol=1e-12)


def test_its_photons_fly_with_it(tmp_path):
    run("B+->K+mumu", model=FLYING, events=300, beam="rest", seed=8, theory={"radiation": "leading-log"},
        output=tmp_path / "v.root")  # fmt: skip
    write_hepmc(tmp_path / "v.root", tmp_path / "v.hepmc")
    lengths, none = flights(tmp_path / "v.hepmc")
    assert len(lengths) > 2 * none > 0


def test_places_are_those_of_any_part(tmp_path):
    for name, keys in (("whole", {}), ("part", {"part": "2/2"})):
        run("B+->K+mumu", model=FLYING, events=400, seed=8, beam="rest", output=tmp_path / f"{name}.root", **keys)
    files = {name: next(tmp_path.glob(f"{name}*.root")) for name in ("whole", "part")}
    found = {}
    for name, file in files.items():
        write_hepmc(file, tmp_path / f"{name}.hepmc")
        found[name], _ = flights(tmp_path / f"{name}.hepmc")
    assert found["whole"][-len(found["part"]) :] == pytest.approx(found["part"], rel=1e-12)


def test_one_that_does_not_fly_is_not_in_the_record(tmp_path):
    model = {"light_vectors": [{"mass": 1.5, "width": 1e-6, "g_bs": 2e-8, "g_mu_v": 1e-4}]}
    run("B+->K+mumu", model=model, events=100, beam="rest", seed=8, output=tmp_path / "v.root")
    write_hepmc(tmp_path / "v.root", tmp_path / "v.hepmc")
    assert flights(tmp_path / "v.hepmc") == ([], 100)
