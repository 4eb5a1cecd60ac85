"""Files of other programs: what is read from them is what is in them, and what cannot be is refused in one line."""

import awkward
import numpy as np
import pytest
import uproot
from darkpenguin import InputError, generate, get_channel, get_model, weigh
from darkpenguin.generator.analysis.event_density import WideDensities
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.foreign import NAMES, EventMap, ForeignEvents
from darkpenguin.generator.files.hepmc import write_hepmc
from darkpenguin.physics.final_state import AXES, masses
from darkpenguin.physics.kpi import resolve_kpi
from scipy.optimize import brentq
from typer.testing import CliRunner

PARTICLES = {"k": "Kplus", "pi": "piminus", "lp": "muplus", "lm": "muminus"}


@pytest.fixture(scope="module")
def sample():
    return generate("B0->K*0mumu", "sm", 4_000, seed=8, beam="lhcb-13tev", q2=[(0.2, 18.0)], kpi="pwave")


def columns_of(sample, names="lhcb", scale=1e3):
    made = {
        f"{PARTICLES[p]}{ending}": scale * sample[f"{p}_{axis}"]
        for p in PARTICLES
        for axis, ending in zip(AXES, NAMES[names][:3], strict=True)
    }
    return {
        **made,
        "B0_TRUEID": 511 * sample["flavour"].astype(np.int32),
        "BKGCAT": np.arange(len(sample), dtype=np.int16),
    }


@pytest.fixture(scope="module")
def tuple_file(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "tuple.root"
    with uproot.recreate(path) as file:
        file["DecayTree"] = {**columns_of(sample), "jagged": awkward.Array([[1.0], []] * (len(sample) // 2))}
    return path


def a_map(**changes):
    return EventMap(
        **{"channel": "B0->K*0mumu", "momenta": PARTICLES, "unit": "MeV", "flavour": "B0_TRUEID", **changes}
    )


def test_what_was_made_is_read(sample, tuple_file):
    source = ForeignEvents(tuple_file, a_map())
    pieces = list(source.chunks(1_500))
    assert [len(piece["q2"]) for piece in pieces] == [1_500, 1_500, 1_000]
    for name in ("q2", "cos_theta_k", "cos_theta_l", "m_kpi"):
        np.testing.assert_allclose(
            np.concatenate([piece[name] for piece in pieces]), sample[name], rtol=1e-7, atol=1e-7
        )
    turn = np.concatenate([piece["phi"] for piece in pieces]) - sample["phi"]
    assert np.abs(np.angle(np.exp(1j * turn))).max() < 1e-6
    assert (np.concatenate([piece["flavour"] for piece in pieces]) == sample["flavour"]).all()
    assert "jagged" not in source.schema


@pytest.mark.parametrize("names", list(NAMES))
def test_names_and_formats(sample, names, tmp_path):
    some = sample.select(slice(0, 50))
    awkward.to_parquet(awkward.Array(columns_of(some, names, 1.0)), tmp_path / "x.parquet")
    [piece] = ForeignEvents(tmp_path / "x.parquet", a_map(unit="GeV")).chunks()
    np.testing.assert_allclose(piece["q2"], some["q2"], rtol=1e-7)
    with uproot.recreate(tmp_path / "n.root") as file:
        file.mkrntuple("t", columns_of(some, names, 1.0))
    [piece] = ForeignEvents(tmp_path / "n.root", a_map(unit="GeV")).chunks()
    np.testing.assert_allclose(piece["cos_theta_k"], some["cos_theta_k"], rtol=1e-7, atol=1e-9)


def test_weights_are_those_of_our_own_file(sample, tuple_file, tmp_path):
    """The window of the K* is all masses here: one factor on all weights; ours are without it."""
    ours = weigh(sample, "fig2")["weight_fig2"]
    found = weigh(tuple_file, "fig2", "sm", where=a_map(), output=tmp_path / "w.parquet")
    table = awkward.from_parquet(tmp_path / "w.parquet")
    np.testing.assert_allclose(np.asarray(table["weight_fig2"]), ours, rtol=1e-6)
    assert (np.asarray(table["BKGCAT"]) == np.arange(4_000)).all()
    assert found[0].events == 4_000


def test_angles_instead_of_momenta(sample, tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["t"] = {"Q2": sample["q2"], "ck": sample["cos_theta_k"], "cl": sample["cos_theta_l"], "phi": sample["phi"]}
    where = EventMap(
        "B0->K*0mumu", angles={"q2": "Q2", "cos_theta_k": "ck", "cos_theta_l": "cl", "phi": "phi"}, flavour="b"
    )
    [piece] = ForeignEvents(path, where).chunks()
    np.testing.assert_array_equal(piece["q2"], sample["q2"])
    assert (piece["flavour"] == 1).all()
    assert "phi_source" in piece
    assert weigh(path, "sm", "sm", where=where)["weight_sm"] == pytest.approx(1.0)


def test_an_unknown_flavour_is_averaged_on_request(sample, tuple_file, tmp_path):
    """All rows, or those without a sign: the mean of both densities, each at the angles that its flavour has."""
    average = weigh(tuple_file, "fig2", "sm", where=a_map(flavour="average"))["weight_fig2"]
    known = weigh(tuple_file, "fig2", "sm", where=a_map())["weight_fig2"]
    assert np.abs(average / known - 1).max() < 1.0
    assert 1e-4 < np.abs(average / known - 1).mean() < 0.2
    system = resolve_kpi("pwave")
    models = [get_model("sm"), get_model("fig2")]
    density = WideDensities(get_channel("B0->K*0mumu"), models, "lhcb", [system, system])
    turned = {"cos_theta_l": -sample["cos_theta_l"], "phi": np.pi - sample["phi"]}  # LHCb's, of the other flavour
    names, both = ("q2", "m_kpi", "cos_theta_k", "cos_theta_l", "phi"), []
    for flavour in (1, -1):
        other = sample["flavour"] != flavour
        columns = {name: np.where(other, turned.get(name, sample[name]), sample[name]) for name in names}
        columns |= {"flavour": np.full(len(sample), flavour)}
        both.append(density(columns).T)
    np.testing.assert_allclose(average, sum(both)[1] / sum(both)[0], rtol=1e-6)
    some = np.arange(len(sample)) % 3 == 0
    columns = {**columns_of(sample), "B0_TRUEID": np.where(some, 0, 511 * sample["flavour"])}
    awkward.to_parquet(awkward.Array(columns), tmp_path / "x.parquet")
    mixed = weigh(tmp_path / "x.parquet", "fig2", "sm", where=a_map(flavour="B0_TRUEID,average"))["weight_fig2"]
    np.testing.assert_allclose(mixed, np.where(some, average, known), rtol=1e-12)
    with pytest.raises(InputError, match="row 0: B0_TRUEID = 0: it has no sign"):
        weigh(tmp_path / "x.parquet", "fig2", "sm", where=a_map())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "GeV"}, r"the median mass of the B is 5\d\d\d\.\d+ GeV; say unit = MeV"),
        ({"unit": "keV"}, "allowed are GeV, MeV"),
        ({"momenta": {"k": "Kplus"}}, "no column of pi; B0->K"),
        ({"momenta": {**PARTICLES, "k": "Kminus"}}, "no momentum of k under 'Kminus'"),
        ({"momenta": {**PARTICLES, "gamma": "g"}}, r"momenta.gamma: B0->K\*0mumu has no gamma"),
        (
            {"momenta": {**PARTICLES, "k": "piminus", "pi": "Kplus"}},
            r"row \d+: the momenta of piminus, Kplus, muplus, muminus add up to.*before radiation or with the photons",
        ),
        ({"momenta": {**PARTICLES, "k": "Kplu"}}, "no momentum of k under 'Kplu'.*did you mean Kplus"),
        ({"momenta": {**PARTICLES, "k": "piminus"}}, "'piminus' stands for two of k, pi, lp, lm"),
        ({"flavour": "B0_ID"}, "no column 'B0_ID' for the flavour.*B0_TRUEID.*or average"),
        ({"flavour": "jagged"}, "no column 'jagged' for the flavour; it has not one number a row"),
        ({"flavour": "flavour"}, "none of its 14 columns of numbers is like it; or say b or bbar"),
        ({"flavour": "BKGCAT"}, "row 0: BKGCAT = 0: it has no sign.*BKGCAT,average"),
        ({"flavour": "BKGCAT,average"}, "row 2: BKGCAT = 2: neither a charge nor the PDG number"),
        ({"flavour": "B0_TRUEID,mean"}, "write a column, or COLUMN,average"),
        ({"tolerance": 0.0}, "tolerance = 0 GeV"),
        ({"tree": "Tree"}, "tree = 'Tree'.*DecayTree"),
        ({"photons": "add"}, "photons = 'add': it is of HepMC files"),
        ({"angles": {"q2": "a"}}, "not both"),
        ({"convention": "cp"}, "allowed are lhcb, theory"),
        ({"channel": "B0->K*0pipi"}, "no such channel|B0->K"),
        ({"channel": "B0->K*0tautau"}, "add up to 6"),
    ],
)
def test_bad_maps_are_refused(tuple_file, changes, message):
    with pytest.raises(InputError, match=message):
        list(ForeignEvents(tuple_file, a_map(**changes)).chunks())


def write(path, columns):
    awkward.to_parquet(awkward.Array(columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("Kplus_TRUEP_X", lambda x: np.nan, "row 7: Kplus_TRUEP_X = nan: it is not a number"),
        ("Kplus_TRUEP_X", lambda x: x + 900.0, "row 7: the momenta of Kplus, piminus, muplus, muminus add up to"),
        ("piminus_TRUEP_E", lambda x: 1.05 * x, r"row 7: piminus_TRUEP_E = \d+\.\d+: with its momentum a mass\^2 of"),
        ("B0_TRUEID", lambda x: 13, "row 7: B0_TRUEID = 13: neither a charge nor the PDG number of a B"),
    ],
)
def test_damaged_rows_are_named(sample, tmp_path, column, change, message):
    """Of momenta, of energies beside them, and of the flavour; without the damage all are read."""
    columns = columns_of(sample.select(slice(0, 20)))
    known = masses(get_channel("B0->K*0mumu"))
    for p, name in PARTICLES.items():
        p2 = sum(columns[f"{name}_TRUEP_{axis}"] ** 2 for axis in "XYZ")
        columns[f"{name}_TRUEP_E"] = np.sqrt(p2 + (1e3 * known[p]) ** 2).astype(np.float32)
    assert len(list(ForeignEvents(write(tmp_path / "x.parquet", columns), a_map()).chunks())) == 1
    columns[column] = np.where(np.arange(20) == 7, change(columns[column]), columns[column])
    with pytest.raises(InputError, match=message):
        list(ForeignEvents(write(tmp_path / "x.parquet", columns), a_map()).chunks())


@pytest.mark.parametrize(
    ("changes", "unit", "message"),
    [
        ({"q2": lambda x: 1e6 * x}, "GeV", r"the median of q2 is \S+ GeV\^2; say unit = MeV"),
        ({"m_kpi": lambda x: 1e3 * x}, "GeV", r"the median of m_kpi is \d\d\d\.\d+ GeV; say unit = MeV"),
        ({}, "MeV", r"the median of q2 is \S+ MeV\^2; say unit = GeV"),
        ({"cos_theta_l": lambda x: np.arccos(x)}, "GeV", r"row \d+: cos_theta_l = \S+: cos_theta_l is a cosine"),
        ({"phi": np.degrees}, "GeV", r"row \d+: phi = \S+: phi is in radians"),
        ({"q2": lambda x: 1e6 * x, "m_kpi": lambda x: 1e3 * x}, "MeV", None),
    ],
)
def test_angles_in_another_unit_are_named(sample, tmp_path, changes, unit, message):
    names = ("q2", "m_kpi", "cos_theta_k", "cos_theta_l", "phi")
    columns = {name: changes.get(name, lambda x: x)(sample[name][:200]) for name in names}
    where = EventMap("B0->K*0mumu", angles={name: name for name in names}, flavour="b", unit=unit)
    source = ForeignEvents(write(tmp_path / "x.parquet", columns), where)
    if message is None:
        np.testing.assert_allclose(next(source.chunks())["q2"], sample["q2"][:200], rtol=1e-12)
        return
    with pytest.raises(InputError, match=message):
        list(source.chunks())


def test_what_is_no_table_is_refused(sample, tmp_path):
    (tmp_path / "y.root").write_text("no")
    with pytest.raises(InputError, match="neither a ROOT nor a Parquet file"):
        ForeignEvents(tmp_path / "y.root", a_map())
    none = {name: column[:0] for name, column in columns_of(sample).items()}
    with pytest.raises(InputError, match=r"tree = 't': .* is no ROOT file"):
        ForeignEvents(write(tmp_path / "x.parquet", none), a_map(tree="t"))
    with pytest.raises(InputError, match="no events are in it"):
        ForeignEvents(write(tmp_path / "x.parquet", none), a_map())


def test_momenta_in_gev_are_not_taken_for_mev(sample, tmp_path):
    path = write(tmp_path / "x.parquet", columns_of(sample.select(slice(0, 50)), scale=1.0))
    with pytest.raises(InputError, match=r"the median mass of the B is \d+\.?\d* MeV; say unit = GeV"):
        list(ForeignEvents(path, a_map()).chunks())


def test_the_command_takes_a_map(tuple_file, tmp_path):
    words = ["weigh", tuple_file, "--to", "fig2", "--from", "sm", "--channel", "B0->K*0mumu", "--unit", "MeV"]
    words += ["--flavour-column", "B0_TRUEID", "--output", tmp_path / "w.root"]
    words += [word for p, name in PARTICLES.items() for word in ("--momenta", f"{p}={name}")]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    with uproot.open(tmp_path / "w.root") as file:
        assert {"weight_fig2", "q2", "BKGCAT", "Kplus_TRUEP_X"} <= set(file["events"].keys())
    nothing = CliRunner().invoke(app, [str(word) for word in (*words[:4], *words[6:])])
    assert nothing.exit_code == 2
    assert "nothing says what made" in nothing.output


def test_hepmc_is_read_as_it_is(sample, tmp_path):
    """Both flavours, from our own writer, in GeV and in MeV; no columns are named."""
    pyhepmc = pytest.importorskip("pyhepmc")
    some = sample.select(slice(0, 60))
    some.write(tmp_path / "x.root")
    write_hepmc(tmp_path / "x.root", tmp_path / "x.hepmc.gz")
    source = ForeignEvents(tmp_path / "x.hepmc.gz", EventMap("B0->K*0mumu"))
    pieces = list(source.chunks(25))
    assert [len(piece["q2"]) for piece in pieces] == [25, 25, 10]
    for name in ("q2", "cos_theta_k", "cos_theta_l", "m_kpi"):
        found = np.concatenate([piece[name] for piece in pieces])
        np.testing.assert_allclose(found, some[name], rtol=1e-6, atol=1e-6)
    assert (np.concatenate([piece["flavour"] for piece in pieces]) == some["flavour"]).all()
    with pyhepmc.open(tmp_path / "x.hepmc.gz") as old, pyhepmc.open(tmp_path / "mev.hepmc", "w") as new:
        for event in old:
            event.set_units(pyhepmc.Units.MEV, pyhepmc.Units.MM)
            new.write(event)
    [piece] = ForeignEvents(tmp_path / "mev.hepmc", EventMap("B0->K*0mumu")).chunks()
    np.testing.assert_allclose(piece["q2"], some["q2"], rtol=1e-6)
    with pytest.raises(InputError, match=r"no decay B\+->K\+mumu is in it"):
        list(ForeignEvents(tmp_path / "mev.hepmc", EventMap("B+->K+mumu")).chunks())
    found = weigh(tmp_path / "mev.hepmc", "fig2", "sm", where=EventMap("B0->K*0mumu"))
    np.testing.assert_allclose(found["weight_fig2"], weigh(some, "fig2")["weight_fig2"], rtol=1e-4)


def test_what_is_no_hepmc_or_names_nothing_is_refused(sample, tuple_file, tmp_path):
    (tmp_path / "y.hepmc").write_text("no")
    with pytest.raises(InputError, match=r"no decay B0->K\*0mumu is in it"):
        weigh(tmp_path / "y.hepmc", "fig2", "sm", where=EventMap("B0->K*0mumu"))
    with pytest.raises(InputError, match="name the columns of all particles"):
        ForeignEvents(tuple_file, EventMap("B0->K*0mumu"))


def test_photons_are_added_back(sample, tmp_path):
    """Every positive lepton radiates along itself, energy and momentum conserved: with photons all is as before."""
    pyhepmc = pytest.importorskip("pyhepmc")
    some = sample.select(slice(0, 40))
    some.write(tmp_path / "x.root")
    write_hepmc(tmp_path / "x.root", tmp_path / "x.hepmc")
    mass = get_channel("B0->K*0mumu").lepton_mass()
    with pyhepmc.open(tmp_path / "x.hepmc") as old, pyhepmc.open(tmp_path / "photons.hepmc", "w") as new:
        for number, event in enumerate(old):
            pair = {p.pid: p for p in event.particles if abs(p.pid) == 13}
            four = {pid: np.array([*p.momentum][:4], dtype=float) for pid, p in pair.items()}
            whole = sum(four.values())
            q = np.sqrt(whole[3] ** 2 - whole[:3] @ whole[:3])
            rest = boosted(four[-13], -whole[:3], whole[3])
            along = rest[:3] / np.linalg.norm(rest[:3])
            share = 0.3 * ((number * 0.37) % 1.0)

            def missing(p, q=q, share=share):
                return np.hypot(p, mass) + np.hypot((1 - share) * p, mass) + share * p - q

            p = brentq(missing, 0.0, q)
            parts = {
                13: np.append(-p * along, np.hypot(p, mass)),
                -13: np.append((1 - share) * p * along, np.hypot((1 - share) * p, mass)),
                22: np.append(share * p * along, share * p),
            }
            for pid, vector in parts.items():
                momentum = pyhepmc.FourVector(*boosted(vector, whole[:3], whole[3]))
                if pid == 22:
                    pair[13].production_vertex.add_particle_out(pyhepmc.GenParticle(momentum, 22, 1))
                else:
                    pair[pid].momentum = momentum
            new.write(event)
    [found] = ForeignEvents(tmp_path / "photons.hepmc", EventMap("B0->K*0mumu", photons="add")).chunks()
    for name in ("q2", "cos_theta_k", "cos_theta_l", "phi", "m_kpi"):
        np.testing.assert_allclose(found[name], some[name], rtol=1e-5, atol=2e-5)
    with pytest.raises(InputError, match="photons = add"):
        list(ForeignEvents(tmp_path / "photons.hepmc", EventMap("B0->K*0mumu")).chunks())
    with pytest.raises(InputError, match="photons = 'maybe'"):
        EventMap("B0->K*0mumu", photons="maybe")


def boosted(p, momentum, energy):
    """Into the frame where what rests has this momentum and energy."""
    mass = np.sqrt(energy**2 - momentum @ momentum)
    product = p[:3] @ momentum
    return np.append(p[:3] + (product / (energy + mass) + p[3]) / mass * momentum, (energy * p[3] + product) / mass)
