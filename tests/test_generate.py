"""Runs: yields, parts, chunks, several channels in one file or several, and what the file says about itself."""

import numpy as np
import pytest
from darkpenguin import InputError, generate, get_channel, make_card, read_events
from darkpenguin.generator.generate import execute, plan_run, run
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
    assert plan.parts[0].count == pytest.approx(expected, rel=3e-5)


def test_muons_over_electrons_is_r_k():
    from darkpenguin.physics.observables import binned

    card = make_card(channels=["B+->K+mumu", "B+->K+ee"], model="fig2", b_mesons=1e13, q2=[(1.1, 6.0)])
    muons, electrons = (part.mean for part in plan_run(card).parts)
    assert muons / electrons == pytest.approx(float(np.ravel(binned("R_K+", "fig2", [(1.1, 6.0)]))[0]), rel=3e-5)


def test_poisson_numbers_have_mean_and_variance_of_the_expectation(monkeypatch):
    """400 seeds, one table for all; both deviations within 5 sigma: false alarm 1.2e-6."""
    table = plan_run(make_card(channels="B+->K+mumu", events=1000)).parts[0].table
    monkeypatch.setattr("darkpenguin.generator.generate.channel_table", lambda *_, **__: table)
    counts = np.array([
        plan_run(make_card(channels="B+->K+mumu", events=1000, poisson=True, seed=seed)).total for seed in range(400)
    ])
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
    card = make_card(channels=["B0->K*0mumu", "B+->K+ee"], model="fig2", events=10_000, seed=5,
                     output=str(tmp_path / "x.root"))
    execute(plan_run(card), chunk=chunk)
    found, wanted = read_events(tmp_path / "x.root"), generate(card)
    for name in wanted.names:
        assert np.array_equal(found[name], wanted[name], equal_nan=True), name
    kaons = found["channel"] == get_channel("B+->K+ee").index
    assert np.isnan(found["phi"][kaons]).all()
    assert np.isfinite(found["phi"][~kaons]).all()
    assert np.array_equal(found["event"], np.arange(20_000))


def test_a_file_for_each_channel(tmp_path):
    card = make_card(channels=["B0->K*0mumu", "B+->K+ee"], events=100, output=str(tmp_path / "{channel}.parquet"))
    report = run(card)
    assert len(report.files) == 2
    assert [len(read_events(path)) for path in report.files] == [100, 100]
    assert "phi" not in read_events(report.files[1]).names


def test_a_file_can_be_made_again_from_itself(tmp_path):
    first, second = tmp_path / "a.root", tmp_path / "b.root"
    run(make_card(channels="B0->K*0mumu", model="fig2", set=["light_vectors.0.mass=2.6"], events=1000, seed=11,
                  q2=[(1.0, 8.0)], output=str(first)))
    card = read_events(first).provenance["card"]
    run(make_card({**card, "output": str(second)}))
    ours, theirs = read_events(first), read_events(second)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours.names)


def test_nothing_to_generate_is_said():
    with pytest.raises(InputError, match="b_mesons = 1"):
        plan_run(make_card(channels="B0->K*0mumu", b_mesons=1))
    with pytest.raises(InputError, match="range = 5:200"):
        generate("B0->K*0mumu", events=100, range=(5, 200))
