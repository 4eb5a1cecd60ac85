"""-2 ln L of B+ → K+ + invisible over couplings, at the mass and width of one V: the group ``K_inv`` of scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from ...kinematics.base.arrays import FloatArray
from ...kinematics.base.errors import InputError
from ...physics.channels import LEPTONS
from ...physics.experiment.datasets import DataSet
from ...physics.experiment.likelihood import K_INV
from ...physics.experiment.spectrum import Spectrum, load_spectrum
from ...physics.light_vector import LightVector
from ...physics.models import Model
from ...physics.parameters import load_parameters
from ...physics.widths import lepton_width

_PROBE = 1e-8
_POINTS = 120  # of the curve of -2 ln L against the square root of the rate


def find_spectrum(data: DataSet) -> Spectrum:
    """Belle II's spectrum in a data set; InputError if it has none."""
    found = data.curves.get("bplus_kplus_inv")
    if found is None or found.file is None:
        raise InputError(f"groups = {K_INV!r}: the data set {data.name!r} has none of it; leave it out")
    return load_spectrum(found.file)


class SizeCurve:
    """-2 ln L against the size of the χχ of V, whose shape is that of its mass and width.

    Called with couplings by path, arrays of one shape, it has what ``Spectrum.minus_two_log`` has for each: the rate
    goes as |g_bs + g_bs'|² times what leptons leave of the width. Between points it is a cubic spline.
    ``largest`` has the couplings that are largest in absolute value.

    Raises:
        InputError: several V, or one that couples to neutrinos, whose interference changes the shape.
    """

    def __init__(self, spectrum: Spectrum, model: Model, largest: Mapping[str, Any]) -> None:
        if len(model.light_vectors) != 1 or model.light_vectors[0].g_nu_mu:
            raise InputError(f"groups = {K_INV!r}: needs a model with one light vector, without g_nu_mu; leave it out")
        (self.vector,) = model.light_vectors
        bare = dict.fromkeys((f"g_{lepton}_{key}" for lepton in LEPTONS for key in "va"), 0.0)
        probe = self.vector.model_copy(update={**bare, "g_bs": _PROBE, "g_bs_right": 0j})
        shape = spectrum.strengths(model.model_copy(update={"light_vectors": (probe,)}), neutrinos=False)
        rest = spectrum.strengths(model.model_copy(update={"light_vectors": ()}))
        sizes = [abs(self._value(largest, key)).max() for key in ("g_bs", "g_bs_right")]
        roots = np.linspace(0.0, max(sum(sizes) / _PROBE, 1e-3), _POINTS)
        self.curve = CubicSpline(roots, [spectrum.minus_two_log(rest + root**2 * shape) for root in roots])

    def _value(self, values: Mapping[str, Any], key: str) -> Any:
        found = values.get(f"light_vectors.0.{key}", getattr(self.vector, key))
        return np.asarray(found.get() if hasattr(found, "get") else found)

    def __call__(self, values: Mapping[str, Any], size: int) -> FloatArray:
        """-2 ln L of ``size`` points."""
        coupling = np.abs(self._value(values, "g_bs") + self._value(values, "g_bs_right")) / _PROBE
        found = self.curve(coupling * np.sqrt(self._share(self.vector, values)))
        return np.asarray(np.broadcast_to(found, (size,)))

    def _share(self, v: LightVector, values: Mapping[str, Any]) -> Any:
        if v.g_chi is not None:
            return 1.0
        known, s = load_parameters(), v.mass**2
        leptons: Any = 0.0
        for name in LEPTONS:
            for key, unit in (("v", (1.0, 0.0)), ("a", (0.0, 1.0))):
                width = float(lepton_width(s, *unit, known[f"m_{name}"]))
                leptons = leptons + width * self._value(values, f"g_{name}_{key}") ** 2
        return np.clip(1.0 - leptons / v.total_width, 0.0, 1.0)
