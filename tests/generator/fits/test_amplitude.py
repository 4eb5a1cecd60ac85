"""Amplitudes as shapes and poles are the amplitudes."""

import numpy as np
import pytest
from darkpenguin import InputError, as_model, get_channel
from darkpenguin.generator.fits.amplitude import SHIFTS, Amplitude, shifts_of, unpacked
from darkpenguin.physics.angular import event_density
from darkpenguin.physics.models import COEFFICIENTS

Q2 = np.array([0.3, 1.2, 4.0, 6.25, 9.1, 9.5906, 12.0, 13.5, 15.0, 17.0])
CHANGES = ["light_vectors.0.g_mu_a=-0.04", "light_vectors.0.g_bs_right=1e-9", "heavy.C9_mu=-0.3+0.2j", "heavy.CS_e=0.2"]


@pytest.mark.parametrize("nonlocal_", ["flavio", "resonances", "dispersive"])
@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu", "B0->K*0ee"])
def test_shapes_and_poles_are_the_density(name, nonlocal_):
    channel, model = get_channel(name), as_model("fig2", CHANGES, {"nonlocal": nonlocal_})
    for flavour, convention in ((1, "lhcb"), (-1, "lhcb"), (1, "theory")):
        amplitude = Amplitude(channel, flavour, model.theory, shifts_of(channel, [model]), convention)
        v, forms = amplitude.point(model).at(Q2), amplitude.forms(Q2)
        found = np.einsum("aq,iqab,bq->iq", v.conj(), unpacked(forms, amplitude.size), v).real
        exact = event_density(channel, model, Q2, flavour, convention)
        assert np.all(np.abs(found - exact) < 1e-12 * np.abs(exact).max(axis=0))


def test_a_shape_that_is_left_out_is_missed():
    channel, model = get_channel("B0->K*0mumu"), as_model("fig2", CHANGES)
    names = shifts_of(channel, [model])
    assert set(names) > {"v", "a"}
    with pytest.raises(KeyError):
        Amplitude(channel, 1, model.theory, names[:-1]).point(model)


def test_all_shifts_of_models_are_known():
    assert set(COEFFICIENTS.values()) <= set(SHIFTS)


def test_a_width_that_runs_is_refused():
    channel, model = get_channel("B0->K*0mumu"), as_model("fig2", "width=running")
    with pytest.raises(InputError, match="width = running"):
        Amplitude(channel, 1, model.theory, ("v", "a", "p")).point(model)
