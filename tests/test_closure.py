"""Events against the quadrature of flavio's amplitudes plus V: 1.5 10^8 events a case, and bends that must show.

False-alarm rate: 1e-6 for all cases together (Bonferroni over the cases, the channels' tests and the flavours).
"""

import numpy as np
import pytest
from darkpenguin.generator.backend import CpuBackend, available_threads
from darkpenguin.generator.tables import channel_table
from darkpenguin.generator.validate import Accumulator, channel_density, compare, predict_channel
from darkpenguin.physics.angular import breakpoints, decay_rate
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model

MODELS = ("sm", "heavy-c9", "heavy-c9-c10", "fig1-2.0gev", "fig1-2.5gev", "fig1-2.8gev", "fig2")
CHANNELS = ("B0->K*0mumu", "B0->K*0ee", "B+->K+mumu", "B+->K+ee")
CASES = [(channel, model) for channel in CHANNELS for model in MODELS]
CASES += [("B+->K*+mumu", "fig2"), ("B0->K0mumu", "fig2")]
FALSE_ALARM = 1e-6 / len(CASES)
# 10^8 events show every bend; one of J_6c, the hardest to see, then lies only a little beyond the false-alarm rate
EVENTS = 150_000_000
CHUNK = 1 << 20


def p_value(prediction, sums):
    """Smallest p-value times the number of tests."""
    tests = compare(prediction, sums)
    return len(tests) * min(test.p_value for test in tests)


def bent(density, i, share):
    """The density with J_i shifted: by 2 % of itself if that is more than 1e-3 of the rate, else by the latter."""

    def bent_density(q2, flavour):
        j = np.array(density(q2, flavour))
        j[i] += 0.02 * j[i] if 0.02 * share > 1e-3 else 1e-3 * decay_rate(j)
        return j

    return bent_density


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model_name"), CASES)
def test_events_are_the_prediction_and_nothing_near_it(name, model_name):
    channel, model = get_channel(name), get_model(model_name)
    backend = CpuBackend("float32", available_threads())
    table = channel_table(channel, model)
    prediction = predict_channel(channel, model)
    assert len(prediction.edges) == 51
    # float32 rounds q2 at the edges of phase space
    accumulator = Accumulator(prediction, tolerance=1e-6)
    columns = None
    for start in range(0, EVENTS, CHUNK):
        stop = min(start + CHUNK, EVENTS)
        if columns is not None and stop - start < CHUNK:
            columns = {key: column[: stop - start] for key, column in columns.items()}
        columns = backend.generate(table, 20170419, start, stop, stream=channel.index, out=columns)
        accumulator.add(columns)
    assert (accumulator.events, accumulator.outside, accumulator.bad) == (EVENTS, 0, 0)
    assert p_value(prediction, accumulator.sums) > FALSE_ALARM

    density, points = channel_density(channel, model, "lhcb"), np.asarray(breakpoints(channel, model))
    integrals = np.abs(prediction.integrals.sum(axis=(0, 1)))
    rate = sum(prediction.rates.values())
    for i, coefficient in enumerate(channel.coefficients):
        wrong = prediction.on_bins_of(bent(density, i, integrals[i] / rate), points)
        assert p_value(wrong, accumulator.sums) < FALSE_ALARM, f"a shift of J_{coefficient} went unnoticed"
