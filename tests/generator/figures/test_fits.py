"""The figure of a fit shows the events, the fit and the Standard Model."""

import darkpenguin as dp
import numpy as np
import pytest


def test_curves_are_the_events_and_the_rates():
    sample = dp.generate("B+->K+mumu", "fig2", events=2000, q2=[(1.1, 8.0)], seed=5)
    found = dp.fit(sample, model="fig2", float={"light_vectors.0.g_bs": (-6e-8, 6e-8)})
    top, low = dp.figure(found).axes
    curves = {line.get_label(): line.get_xydata() for line in top.lines if not line.get_label().startswith("_")}
    x, fit = curves["fit"].T
    assert np.trapezoid(fit, x) == pytest.approx(2000, rel=0.01)
    sm = curves["Standard Model"][:, 1]
    ratio = np.trapezoid(fit, x) / np.trapezoid(sm, x)
    bf = [dp.predict("BR", model, bins=[1.1, 8.0], channel="B+->K+mumu")[0].value for model in (found.model, "sm")]
    assert ratio == pytest.approx(bf[0] / bf[1], rel=1e-3)
    assert len(low.patches) == len(found.goodness[0].counts)
