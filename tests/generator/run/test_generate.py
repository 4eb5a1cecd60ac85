"""Runs: yields, parts, chunks, several channels in one file or several, and what the file says about itself."""

import numpy as np
import pytest
from darkpenguin import InputError, generate, get_channel, make_card, read_events, validate
from darkpenguin.generator.run.generate import execute, run
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.models import get_model
from darkpenguin.physics.parameters import load_parameters


def branching(name, model, q2=None):
    """Mean over the flavours of tau_B times the rate, with K* -> K pi, by quadrature."""
    channel, point = get_channel(name), get_model(model)
    low, high = q2 or channel.q2_limits()
    nodes, weights = quadrature(breakpoints(channel, point), low, high)
    rates = [weights @ decay_rate(event_density(channel, point, nodes, flavour)) for flavour in (1, -1)]
    return load_parameters()[f"tau_{channel.parent}"] * channel.branching * np.mean(rates)


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B0->K*0ee", "B+->K*+mumu", "B+->K+mumu", "B0->K0ee"])
def test_yields_are_b_mesons_times_branching_fraction(name):
    plan = plan_run(make_card(channels=name, model="fig2", b_mesons=1e12, q2=[(1.1, 6.0)]))
    expected = 1e12 * branching(name, "fig2", (1.1, 6.0))
    assert plan.parts[0].count == pytest.approx(expected, rel=3e-5, abs=0)


def test_muons_over_electrons_is_r_k():
    from darkpenguin.physics.observables import binned

    card = make_card(channels=["B+->K+mumu", "B+->K+ee"], model="fig2", b_mesons=1e13, q2=[(1.1, 6.0)])
    muons, electrons = (part.mean for part in plan_run(card).parts)
    assert muons / electrons == pytest.approx(float(np.ravel(binned("R_K+", "fig2", [(1.1, 6.0)]))[0]), rel=3e-5, abs=0)


def test_poisson_numbers_have_mean_and_variance_of_the_expectation(monkeypatch):
    """400 seeds, one table for all; both deviations within 5 sigma: false alarm 1.2e-6."""
    table = plan_run(make_card(channels="B+->K+mumu", events=1000)).parts[0].table
    monkeypatch.setattr("darkpenguin.generator.run.plan.sampling_table", lambda *_, **__: table)
    counts = np.array(
        [plan_run(make_card(channels="B+->K+mumu", events=1000, poisson=True, seed=seed)).total for seed in range(400)]
    )
    assert abs(counts.mean() - 1000) < 5 * np.sqrt(1000 / 400)
    assert abs(counts.var() / 1000 - 1) < 5 * np.sqrt(2 / 400)
    again = plan_run(make_card(channels="B+->K+mumu", events=1000, poisson=True, seed=3)).total
    assert again == counts[3]


def test_flavours_come_in_the_ratio_of_their_rates_or_alone():
    for word, value in (("b", 1), ("bbar", -1)):
        assert set(generate("B0->K*0mumu", "fig2", 500, flavour=word)["flavour"].tolist()) == {value}


def test_ranges_and_vetoes_lose_no_event():
    sample = generate("B0->K*0mumu", events=20_000, q2=[(1.0, 15.0)], veto=["jpsi", (12.0, 13.0)])
    q2 = sample["q2"]
    assert len(sample) == 20_000
    assert q2.min() >= 1.0
    assert q2.max() <= 15.0
    assert not ((q2 > 12.0) & (q2 < 13.0)).any()
    assert not ((q2 > 3.05**2) & (q2 < 3.13**2)).any()


@pytest.mark.parametrize("chunk", [1000, 4096, 100_000])
def test_the_size_of_the_chunks_changes_nothing(tmp_path, chunk):
    card = make_card(
        channels=["B0->K*0mumu", "B+->K+ee"], model="fig2", events=10_000, seed=5, output=str(tmp_path / "x.root")
    )
    execute(plan_run(card), chunk=chunk)
    found, wanted = read_events(tmp_path / "x.root"), generate(card)
    for name in wanted.names:
        assert np.array_equal(found[name], wanted[name], equal_nan=True), name
    kaons = found["channel"] == get_channel("B+->K+ee").index
    assert np.isnan(found["phi"][kaons]).all()
    assert np.isfinite(found["phi"][~kaons]).all()
    assert np.array_equal(found["event"], np.arange(20_000))


def test_a_part_in_memory_has_the_columns_of_the_whole():
    whole = generate(["B0->K*0mumu", "B+->K+ee"], events=1000, seed=3)
    for part in ((0, 900), (990, 1010), (1200, 2000)):
        found = generate(["B0->K*0mumu", "B+->K+ee"], events=1000, seed=3, range=part)
        assert found.names == whole.names
        for name in whole.names:
            assert found[name].dtype == whole[name].dtype
            assert np.array_equal(found[name], whole[name][slice(*part)], equal_nan=True), name


def test_a_file_for_each_channel(tmp_path):
    card = make_card(channels=["B0->K*0mumu", "B+->K+ee"], events=100, output=str(tmp_path / "{channel}.parquet"))
    report = run(card)
    assert len(report.files) == 2
    assert [len(read_events(path)) for path in report.files] == [100, 100]
    assert "phi" not in read_events(report.files[1]).names


def test_a_file_can_be_made_again_from_itself(tmp_path):
    first, second = tmp_path / "a.root", tmp_path / "b.root"
    run(
        make_card(
            channels="B0->K*0mumu",
            model="fig2",
            set=["light_vectors.0.mass=2.6"],
            events=1000,
            seed=11,
            q2=[(1.0, 8.0)],
            output=str(first),
        )
    )
    card = read_events(first).provenance["card"]
    run(make_card({**card, "output": str(second)}))
    ours, theirs = read_events(first), read_events(second)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours.names)


def test_nothing_to_generate_is_said():
    with pytest.raises(InputError, match="b_mesons = 1"):
        plan_run(make_card(channels="B0->K*0mumu", b_mesons=1))
    with pytest.raises(InputError, match="range = 5:200"):
        generate("B0->K*0mumu", events=100, range=(5, 200))


CHAIN = {
    "channels": ["B0->K*0mumu", "B0->K*0ee", "B+->K+mumu"],
    "model": "fig2",
    "events": 3000,
    "seed": 11,
    "kpi": "swave",
    "beam": "lhcb-13tev",
    "q2": [[0.1, 8.0]],
    "resolution": {"preset": "lhcb", "momenta": True},
    "selection": {"cuts": {"all": ["lhcb", "pt(k_reco) > 0.25"], "e": "m(lp_reco, lm_reco) < 4", "mu": "pt(lp) > 0.3"}},
    "efficiency": {"maps": {"mu": 0.8, "e": 0.3}},
}


def test_the_whole_chain_is_the_same_in_any_part(tmp_path):
    """Line shape, momenta, resolution, cuts and efficiency: any range and any chunk of a run has the same bits."""
    run(make_card(CHAIN, output=str(tmp_path / "whole.root")))
    whole = read_events(tmp_path / "whole.root")
    for low, high in ((0, 1), (2990, 3100), (5000, 9000)):
        run(make_card(CHAIN, range=(low, high), output=str(tmp_path / f"{low}.root"), threads=1))
        part = read_events(tmp_path / f"{low}.root")
        for name in part.names:
            assert part[name].tobytes() == whole[name][low:high].tobytes(), name
    plan = plan_run(make_card(CHAIN))
    for size, reuse in ((777, False), (100, True), (2000, True)):  # many chunks are made side by side, into few arrays
        chunked = [
            {name: column.copy() for name, column in chunk.items()} for chunk in plan.chunks(plan.parts[0], size, reuse)
        ]
        for name in chunked[0]:
            assert np.concatenate([chunk[name] for chunk in chunked]).tobytes() == whole[name][:3000].tobytes(), name


def test_the_whole_chain_validates_and_counts_add_up(tmp_path):
    """A flagged file is still what was generated; leaving events out leaves out those that the flag marks."""
    run(make_card(CHAIN, output=str(tmp_path / "flag.root")))
    assert validate(tmp_path / "flag.root").passed
    flagged = read_events(tmp_path / "flag.root")
    reject = {key: {**CHAIN[key], "mode": "reject"} for key in ("selection", "efficiency")}
    report = run(make_card({**CHAIN, **reject}, output=str(tmp_path / "reject.root")))
    rejected = read_events(tmp_path / "reject.root")
    kept = flagged.select(flagged["accepted"] == 1)
    assert 0.05 < len(kept) / len(flagged) < 0.6
    assert [part.events for part in report.parts] == [3000] * 3
    assert sum(part.written for part in report.parts) == len(rejected) == len(kept)
    for name in rejected.names:
        assert rejected[name].tobytes() == kept[name].tobytes(), name
    sparse = rejected.only("B0->K*0ee")
    assert (np.abs(sparse["q2_reco"] - sparse["q2"]) < 1e-12).mean() < 0.01


def test_a_total_width_below_the_partial_ones_is_said():
    """Γ(V → μμ) of fig2 is 0.79 MeV (eq. (2)'s analogue), whatever the total width is set to."""
    with pytest.warns(RuntimeWarning, match=r"light_vectors\[0\].* 0\.00079 GeV, more than the total of 0\.00025 GeV"):
        plan_run(make_card(channels="B+->K+mumu", model="fig2", set="light_vectors.0.relative_width=1e-4", events=10))
