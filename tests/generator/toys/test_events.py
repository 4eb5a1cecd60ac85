"""A toy again as events: its signal, its background apart."""

import numpy as np
from darkpenguin.generator.toys.events import events_of_toy
from darkpenguin.generator.toys.run import ToysCard, plan_toys
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.definitions import massless
from darkpenguin.physics.moments import functions, observables


def test_an_event_toy_again_as_events():
    run = plan_toys(ToysCard(depth="events", likelihood=True))
    rows = run.rows(5, 8)
    sample = events_of_toy(run, 6)
    channel = get_channel("B0->K*0mumu")
    mine = np.asarray(sample["channel"]) == channel.index
    inside = np.digitize(np.asarray(sample["q2"])[mine], np.asarray(run.card.bins)) - 1
    signal, background = np.bincount(inside, minlength=5), np.array(sample.provenance["background"][channel.name])
    np.testing.assert_array_equal(rows["n_B0_Kst0mumu"][1], signal + background)
    assert background.sum() > 50
    f = functions("vector", *(np.asarray(sample[name])[mine] for name in channel.angles))
    means = np.stack([f[inside == b].mean(axis=0) for b in range(5)])
    found = observables(means, signal, definition=massless)
    # the shifts of theory and of the background are all between this and the column
    shift = rows["P5p"][1] - found.values[:, 8]
    theory = np.diag(run.experiment.systematic_covariance(run.experiment.angular))
    assert np.all(np.abs(shift) < 5 * np.sqrt(theory + found.covariance[:, 8, 8] * background / signal))
    assert np.all(rows["angular_fit_status"] == 0)
    pull = (rows["S5_fit"][1] - found.values[:, 3]) / rows["S5_fit_error"][1]
    assert np.all(np.abs(pull) < 3)
    assert sample.provenance["toy"] == 6


def test_a_binned_toy_again_as_events():
    run = plan_toys(ToysCard())
    rows, sample = run.rows(17, 18), events_of_toy(run, 17)
    for word, name in (("n_Bp_Kpmumu", "B+->K+mumu"), ("n_Bp_Kpee", "B+->K+ee")):
        mine = np.asarray(sample["channel"]) == get_channel(name).index
        counts = np.histogram(np.asarray(sample["q2"])[mine], run.card.bins)[0]
        background = np.array(sample.provenance["background"][name])
        np.testing.assert_array_equal(rows[word][0], counts + background)
        mean = run.experiment.background(name)
        assert np.all(np.abs(background - mean) < 6 * np.sqrt(mean))
