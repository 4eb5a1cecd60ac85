"""Rows about b → s μμ: a dimuon peak of V, and the spectra in q²."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..bins import build_predictor
from ..channels import get_channel
from ..rates import two_body_rate
from .likelihood import GroupLikelihood, get_group, select_measurements, theory_likelihood
from .rows import Request, Row, Verdict, below, measured, unknown

FloatArray = NDArray[np.float64]
PEAK = 2e-3
"""Largest width (GeV) that counts as a dimuon peak: LHCb takes V as narrower than its resolution, some MeV."""
SPECTRA = ("R_K", "R_K*", "R_K_high", "R_K*_high", "dBR_K", "dBR_K*")
"""Groups of measurements that have a row."""


def dimuon_peaks(request: Request) -> list[Row]:
    """V narrower than the resolution, as a peak of the dimuon mass; for each V."""
    rows = []
    for name, parent, hadron in (
        ("b0_kstar0_dimuon", "B0", "K*0"),
        ("bplus_kplus_dimuon", "B+", "K+"),
    ):
        curve = request.data.curves.get(name)
        channel = get_channel(f"{parent}->{hadron}mumu")
        for v in request.model.light_vectors:
            if curve is None:
                rows.append(unknown(name, "peak", "1", request.data, v.name))
                continue
            made = 0.5 * sum(two_body_rate(channel, v, flavour, request.model.theory) for flavour in (-1, 1))
            share = v.partial_widths()["mu mu"] / v.total_width
            prediction = request.model.parameters[f"tau_{parent}"] * made * share
            source = f"{curve.source} ({curve.level})"
            row = Row(name, "peak", prediction, None, "1", "not sensitive", source, vector=v.name)
            limit = curve.at(v.mass, v.total_width)
            words = f"B({parent} -> {hadron} V) B(V -> mu mu), narrow V"
            if prediction == 0.0:
                rows.append(replace(row, note=f"{words}: no such decay"))
            elif v.total_width > PEAK:
                note = f"{words}; width {v.total_width:.3g} GeV, wide: see the spectrum (R and dBR)"
                rows.append(replace(row, note=note))
            elif limit is None:
                rows.append(replace(row, note=f"{words}; no limit at this mass and lifetime"))
            else:
                rows.append(replace(row, limit=limit, verdict=below(prediction, limit), note=words))
    return rows


def spectra(request: Request) -> list[Row]:
    """R and dB/dq² below the J/ψ and above the ψ(2S), by groups of measurements.

    One number decides: where the model stands on the line from the Standard Model through it, against the point of the
    line that fits best. ``pull`` is √Δχ² from there, negative where more of the model's effect would be better; for a
    single measurement that is its pull. The Standard Model's is beside it.
    """
    rows = []
    for name in SPECTRA:
        if not select_measurements(request.data, get_group(name)):
            rows.append(unknown(name, "chi2", "1", request.data))
            continue
        likelihood = theory_likelihood(request.data, [name], request.data.theory, request.model.standard)
        part = likelihood[name]
        model, standard = (
            build_predictor(part.observables, one)()[0] for one in (request.model, request.model.standard)
        )
        rows.append(_spectrum(name, part, model, standard))
    return rows


def _spectrum(name: str, part: GroupLikelihood, model: FloatArray, standard: FloatArray) -> Row:
    here, there = float(part.chi2(model)), float(part.chi2(standard))
    papers = ", ".join(dict.fromkeys(f"{m.experiment} {m.arxiv}" for m in part.measurements))
    number = len(part.observables)
    row = Row(
        name,
        "chi2",
        here,
        None,
        "1",
        "not sensitive",
        papers,
        note=f"chi2 of {number} measurement{'s' if number > 1 else ''}, SM {there:.1f}",
        details={"chi2": here, "chi2 of the SM": there, "measurements": float(number)},
        standard=there,
    )
    if np.allclose(model, standard, rtol=1e-9, atol=0):
        return replace(row, note=f"{row.note}; as the Standard Model")
    pull, own = line_pulls(part.chi2, model, standard)
    verdict: Verdict = measured(pull, own) if here > there else measured(min(abs(pull), 3.0), abs(own))
    return replace(row, verdict=verdict, pull=pull, standard_pull=own)


def line_pulls(
    chi2: Callable[[FloatArray], FloatArray], model: FloatArray, standard: FloatArray
) -> tuple[float, float]:
    """Pulls of a model and of the Standard Model from the best point of the line through their predictions.

    >>> one = lambda x: ((x - 3.0) ** 2).sum(axis=-1)
    >>> [round(pull, 3) for pull in line_pulls(one, np.array([5.0]), np.array([1.0]))]
    [2.0, -2.0]
    """
    step = model - standard

    def cost(t: float) -> float:
        return float(chi2(standard + t * step))

    # where a parabola through three points has its minimum: exact but for errors of two sides
    ends = [cost(t) for t in (-1.0, 0.0, 1.0)]
    bend = ends[0] + ends[2] - 2 * ends[1]
    guess = 0.5 * (ends[0] - ends[2]) / bend if bend > 0 else 0.5
    width = 1.0 + abs(guess)
    found = minimize_scalar(cost, bounds=(guess - width, guess + width), method="bounded", options={"xatol": 1e-6})
    best, least = min(((float(found.x), float(found.fun)), (0.0, ends[1]), (1.0, ends[2])), key=lambda pair: pair[1])

    def pull(t: float) -> float:
        return float(np.sign(t - best) * max(cost(t) - least, 0.0) ** 0.5)

    return pull(1.0), pull(0.0)
