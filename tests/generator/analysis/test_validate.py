"""The validator: calibrated p-values, and bends of size it must see."""

import numpy as np
import pytest
from darkpenguin import InputError, generate, get_channel, get_model, make_card, run, validate
from darkpenguin.generator.analysis.accumulator import Accumulator
from darkpenguin.generator.analysis.validate import compare, predict_channel
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.files.writers import open_writer
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.physics.channels import Channel


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu"])
def test_p_values_are_uniform(name):
    """60 files: Kolmogorov's distance of all Gaussian tests' p-values from uniform, false alarm about 1e-7.

    Tests of one file are correlated, so one test of each group is taken from each file.
    """
    from scipy.stats import kstest

    channel, model = get_channel(name), get_model("fig2")
    table, backend = channel_table(channel, model), CpuBackend("float64", 1)
    prediction = predict_channel(channel, model, n_bins=20)
    found: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(60):
        accumulator = Accumulator(prediction)
        accumulator.add(backend.generate(table, seed, 0, 50_000, channel.index))
        for test in compare(prediction, accumulator.sums):
            found.setdefault((test.group, test.name, test.flavour), []).append(test.p_value)
    worst = min(kstest(p, "uniform").pvalue for p in found.values())
    assert worst * len(found) > 1e-6


@pytest.mark.parametrize("n_events", [1, 2, 10, 300])
def test_small_files_do_not_fail_by_their_tails(n_events):
    """400 files: the smallest p-value is 1/400 within a factor of 10 or more, so 1e-6 is no accident of few events.

    Without a least number of events two of them reach 2e-6 (moments of few events are not Gaussian).
    """
    channel, model = get_channel("B0->K*0mumu"), get_model("fig2")
    table, backend = channel_table(channel, model), CpuBackend("float64", 1)
    prediction = predict_channel(channel, model, n_bins=1)
    smallest = 1.0
    for seed in range(400):
        accumulator = Accumulator(prediction)
        accumulator.add(backend.generate(table, seed, 0, n_events, channel.index))
        tests = compare(prediction, accumulator.sums)
        smallest = min(smallest, len(tests) * min(test.p_value for test in tests))
    assert smallest > 1 / 4000


def test_a_sample_in_memory_is_validated():
    sample = generate("B+->K+mumu", model="fig2", events=20_000, seed=3)
    assert validate(sample).passed
    bent = validate(sample.select(sample["q2"] > 1.0))
    assert not bent.passed
    assert "events instead of the 20000" in bent.problems[0]


def test_a_shift_is_measured_as_it_is():
    """The estimated shift of J_5 in events of a bent table is the shift: within 5 sigma, and 5 sigma from none."""
    from dataclasses import replace

    channel, model = get_channel("B0->K*0mumu"), get_model("sm")
    table = channel_table(channel, model)
    j = table.coefficients.copy()
    j[:, 6] += 0.01 * table.node_rates
    accumulator = Accumulator(predict_channel(channel, model))
    accumulator.add(CpuBackend("float64", 1).generate(replace(table, coefficients=j), 1, 0, 2_000_000, channel.index))
    tests = compare(predict_channel(channel, model), accumulator.sums)
    shift = next(t for t in tests if (t.name, t.flavour) == ("J_5 by the rate", "both"))
    assert shift.measured == pytest.approx(0.01, abs=5 * shift.error)
    assert shift.measured > 5 * shift.error


@pytest.mark.parametrize("convention", ["lhcb", "theory"])
def test_both_flavours_of_an_untagged_mode_close(convention, monkeypatch):
    """A million events of B_s -> phi mu mu; with the signs of a self-tagging decay in the prediction they do not.

    False alarm 1e-6. In the theory convention both rules have the same signs: a kaon is not told from the other.
    """
    channel, model = get_channel("Bs->phimumu"), get_model("fig2")
    table = channel_table(channel, model, convention=convention)
    prediction = predict_channel(channel, model, convention=convention)
    accumulator = Accumulator(prediction)
    accumulator.add(CpuBackend("float64", 2).generate(table, 5, 0, 1_000_000, channel.index))
    tests = compare(prediction, accumulator.sums)
    assert {test.flavour for test in tests} >= {"b", "bbar"}
    assert len(tests) * min(test.p_value for test in tests) > 1e-6
    monkeypatch.setattr(Channel, "angles_of", lambda channel, flavour: flavour)
    bent = compare(predict_channel(channel, model, convention=convention), accumulator.sums)
    smallest = len(bent) * min(test.p_value for test in bent)
    assert (smallest < 1e-100) == (convention == "lhcb")


def test_what_is_wrong_beyond_statistics_is_named(tmp_path):
    good, bad = tmp_path / "good.root", tmp_path / "bad.root"
    run(make_card(channels="B0->K*0mumu", events=5000, q2=[(1.0, 6.0)], output=str(good)))
    assert validate(good).passed
    sample = read_events(good)
    columns = {name: np.array(sample[name]) for name in sample.names}
    columns["q2"][3] = 7.0
    with open_writer(bad, {n: c.dtype for n, c in columns.items()}, sample.provenance) as writer:
        writer.extend(columns)
    verdict = validate(bad)
    assert not verdict.passed
    assert any("outside" in problem for item in verdict.channels for problem in item.problems)


def test_a_file_with_less_than_its_provenance_says(tmp_path):
    """A column gone is a file that fails; a provenance with gaps is nothing to compare with."""
    good = tmp_path / "good.root"
    run(make_card(channels="B0->K*0mumu", events=2000, output=str(good)))
    sample = read_events(good)

    def rewritten(columns, provenance):
        path, schema = tmp_path / "x.root", {name: column.dtype for name, column in columns.items()}
        with open_writer(path, schema, provenance, overwrite=True) as writer:
            writer.extend(columns)
        return path

    for name in ("cos_theta_l", "weight"):
        verdict = validate(rewritten({n: c for n, c in sample.columns.items() if n != name}, sample.provenance))
        assert not verdict.passed
        assert verdict.problems == (f"no column {name}",)
    for name in ("range", "events"):
        gap = {key: value for key, value in sample.provenance.items() if key != name}
        with pytest.raises(InputError, match=f"does not say {name}"):
            validate(rewritten(sample.columns, gap))
    entry = {key: value for key, value in sample.provenance["channels"][0].items() if key != "rates"}
    with pytest.raises(InputError, match="does not say rates"):
        validate(rewritten(sample.columns, {**sample.provenance, "channels": [entry]}))
    with pytest.raises(InputError, match="threads = 0"):
        validate(good, threads=0)
