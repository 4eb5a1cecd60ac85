"""Rows about the couplings of V to leptons, and of b → s to muons alone."""

from __future__ import annotations

import math
from dataclasses import replace

from ..light_vector import LightVector
from ..parameters import load_parameters
from ..widths import lepton_width, neutrino_width
from .constraints import (
    bs_mixing_amplitude,
    bs_mumu_branching_ratio,
    delta_a_mu,
    raises_a_mu,
    trident_ratio,
    z_chiral_shift,
    z_coupling_shift,
)
from .rows import EXCLUDED, Request, Row, Verdict, below, edge, measured, unknown

_NARROW = 0.01  # width over mass below which a search for a bump is taken to see V


def magnetic_moments(request: Request) -> list[Row]:
    """Eq. (5), of the muon and of the electron."""
    known, vectors = load_parameters(), request.model.light_vectors
    rows = []
    for name, key, lepton, mass in (
        ("delta_a_mu", "delta_a_mu", "mu", None),
        ("delta_a_e", "delta_a_e", "e", known["m_e"]),
    ):
        found = request.data.limits.get(key)
        if found is None:
            rows.append(unknown(name, "(5)", "1", request.data))
            continue
        couplings = [(v, getattr(v, f"g_{lepton}_v"), getattr(v, f"g_{lepton}_a")) for v in vectors]
        shape = {} if mass is None else {"m_mu": mass}
        prediction = sum(float(delta_a_mu(v.mass, g_v, g_a, **shape)) for v, g_v, g_a in couplings)
        pull, standard = found.pull(prediction), found.pull(0.0)
        note = f"measured {found.value:.3e} +- {found.error:.1e}"
        signs = [raises_a_mu(g_v, g_a) for _, g_v, g_a in couplings if g_v or g_a]
        if signs and lepton == "mu":
            note += f"; sqrt(5)|g_A| < |g_V|: {'yes' if all(signs) else 'no'}"
        verdict: Verdict = measured(pull, standard) if signs or lepton == "mu" else "not sensitive"
        limit = edge(found, pull, 0.0)
        rows.append(
            Row(name, "(5)", prediction, limit, "1", verdict, found.source, pull, None, note, {}, 0.0, standard)
        )
    return rows


def bs_mumu(request: Request) -> list[Row]:
    """Eq. (7)."""
    found = request.data.limits.get("br_bs_mumu")
    if found is None:
        return [unknown("br_bs_mumu", "(7)", "1", request.data)]
    prediction, standard = bs_mumu_branching_ratio(request.model), bs_mumu_branching_ratio(request.model.standard)
    pull, own = found.pull(prediction), found.pull(standard)
    return [
        Row(
            "br_bs_mumu",
            "(7)",
            prediction,
            edge(found, pull, standard),
            "1",
            measured(pull, own),
            found.source,
            pull,
            note=f"{prediction / standard - 1:+.1%} against the SM's {standard:.3e}"
            f"; measured {found.value:.2e} +- {found.error:.1e}",
            details={"Standard Model": standard},
            standard=standard,
            standard_pull=own,
        )
    ]


def mixing(request: Request) -> list[Row]:
    """Bs mixing: V against the error of the measurement."""
    found = request.data.limits.get("delta_m_s")
    if found is None:
        return [unknown("bs_mixing", "text after (4)", "GeV", request.data)]
    value, error = found.numbers()
    prediction = 2 * abs(bs_mixing_amplitude(request.model))
    note = f"2|M12| of V against the error of Delta M_s; {prediction / value:.1e} of Delta M_s"
    verdict = below(prediction, error)
    return [Row("bs_mixing", "text after (4)", prediction, error, "GeV", verdict, found.source, note=note)]


def z_couplings(request: Request) -> list[Row]:
    """Eq. (8) for muons; for electrons the width of Z → ee, which goes as the square."""
    return [*_z_mumu(request), *_z_ee(request)]


def _z_mumu(request: Request) -> list[Row]:
    axial, vector = request.data.limits.get("g_a_mu"), request.data.limits.get("g_v_mu")
    if axial is None or vector is None:
        return [unknown("z_mumu_coupling", "(8)", "1", request.data)]
    (g_a, error_a), (g_v, error_v) = axial.numbers(), vector.numbers()
    shift = large = by_v = by_a = 0.0
    for v in request.model.light_vectors:
        shift += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a))
        large += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a, form="large"))
        chiral = z_chiral_shift(v.mass, v.g_mu_v, v.g_mu_a, g_v, g_a)
        by_v, by_a = by_v + float(chiral[0]), by_a + float(chiral[1])
    pull_a, pull_v = shift * g_a / error_a, shift * g_v / error_v
    worst = max(pull_a, by_a / error_a, by_v / error_v, key=abs)
    return [
        Row(
            "z_mumu_coupling",
            "(8)",
            shift,
            math.copysign(EXCLUDED * error_a / g_a, shift),
            "1",
            measured(worst, 0.0) if shift else "not sensitive",
            axial.source,
            pull_a,
            details={
                "pull of g_A": pull_a,
                "pull of g_V": pull_v,
                "pull of g_A by chirality": by_a / error_a,
                "pull of g_V by chirality": by_v / error_v,
                "large-x K_F": large,
            },
            note=(
                f"pulls of the shift: g_A {pull_a:+.2f}, g_V {pull_v:+.2f}; chirality by chirality g_A "
                f"{by_a / error_a:+.2f}, g_V {by_v / error_v:+.2f}; the largest counts; large-x K_F: {large:.3e}"
            ),
            standard=0.0,
            standard_pull=0.0,
        )
    ]


def _z_ee(request: Request) -> list[Row]:
    found = request.data.limits.get("gamma_z_ee")
    if found is None:
        return [unknown("z_ee_width", "as (8)", "GeV", request.data)]
    shift = sum(float(z_coupling_shift(v.mass, v.g_e_v, v.g_e_a)) for v in request.model.light_vectors)
    standard = Z_EE_SM
    prediction = standard * (1 + shift) ** 2
    pull, own = found.pull(prediction), found.pull(standard)
    note = f"Z -> e e, shift of the coupling {shift:.2e}; measured {found.value:.5g} +- {found.error:.1g}"
    verdict: Verdict = measured(pull, own) if shift else "not sensitive"
    limit = edge(found, pull, standard)
    return [
        Row(
            "z_ee_width", "as (8)", prediction, limit, "GeV", verdict, found.source, pull, None, note, {}, standard, own
        )
    ]


Z_EE_SM = 0.08395966
"""Width of Z → ee in the Standard Model (GeV), of flavio 2.7.1."""


def trident(request: Request) -> list[Row]:
    """Neutrino tridents, footnote 3."""
    found = request.data.limits.get("trident")
    name = "neutrino_trident"
    if found is None:
        return [unknown(name, "footnote 3", "1", request.data)]
    prediction = trident_ratio(request.model)
    pull, own = found.pull(prediction), found.pull(1.0)
    on = any(v.g_nu_mu for v in request.model.light_vectors)
    note = f"sigma/sigma_SM, measured {found.value} +- {found.error}" + ("" if on else "; no coupling to nu_mu")
    verdict: Verdict = measured(pull, own) if on else "not sensitive"
    limit = edge(found, pull, 1.0)
    return [Row(name, "footnote 3", prediction, limit, "1", verdict, found.source, pull, None, note, {}, 1.0, own)]


def _size(v: LightVector, lepton: str) -> float:
    """Vector and axial coupling in quadrature: what counts above threshold, where masses do not."""
    return math.hypot(getattr(v, f"g_{lepton}_v"), getattr(v, f"g_{lepton}_a"))


def _invisible_share(v: LightVector) -> float:
    """Branching fraction of an on-shell V to χχ and νν̄."""
    dark = v.dark_width() if v.mass > 2 * v.m_chi else 0.0
    return (dark + v.partial_widths()["nu nu"]) / v.total_width


def _muon_share(v: LightVector) -> float:
    return v.partial_widths()["mu mu"] / v.total_width


def _tau_share(mass: float) -> float:
    """Branching fraction to muons of V of L_μ - L_τ, for which the limit on four muons is."""
    known, s = load_parameters(), mass**2
    muons, taus = (float(lepton_width(s, 1.0, 0.0, known[m])) for m in ("m_mu", "m_tau"))
    return muons / (muons + taus + 2 * float(neutrino_width(s, 1.0)))


def searches(request: Request) -> list[Row]:
    """V made by leptons and seen as a bump, for each V; limits for a narrow one."""
    e = math.sqrt(4 * math.pi / 137.036)
    rows = []
    for v in request.model.light_vectors:
        four = _size(v, "mu") * math.sqrt(_muon_share(v))
        for name, prediction, scale, what in (
            ("ee_four_muons", four, math.sqrt(_tau_share(v.mass)), "g sqrt(BR(V -> mu mu)), limit of L_mu - L_tau"),
            ("ee_mumu_invisible", _size(v, "mu") * math.sqrt(_invisible_share(v)), 1.0, "g sqrt(BR(V -> invisible))"),
            ("ee_gamma_invisible", _size(v, "e") * math.sqrt(_invisible_share(v)), e, "g sqrt(BR(V -> invisible))"),
            ("na64_e", _size(v, "e") * math.sqrt(_invisible_share(v)), e, "g sqrt(BR(V -> invisible))"),
        ):
            rows.append(_search(request, v, name, prediction, scale, what))
    return rows


def _search(request: Request, v: LightVector, name: str, prediction: float, scale: float, what: str) -> Row:
    """One search: its limit at the mass of V, times what makes it one on the prediction."""
    curve = request.data.curves.get(name)
    if curve is None:
        return unknown(name, "-", "1", request.data, v.name)
    limit = curve.at(v.mass)
    source, relative = f"{curve.source} ({curve.level})", v.total_width / v.mass
    row = Row(name, "-", prediction, None, "1", "not sensitive", source, vector=v.name, note=what)
    if prediction == 0.0:
        return replace(row, note=f"{what}: no such coupling or decay")
    if limit is None:
        return replace(row, note=f"{what}: no limit at {v.mass:g} GeV")
    limit *= scale
    if relative > _NARROW:
        note = f"{what}; holds for a narrow V: width/mass = {relative:.2g} is above {_NARROW:g}, not applied"
        return replace(row, limit=limit, note=note)
    return replace(row, limit=limit, verdict=below(prediction, limit), note=f"{what}; for a narrow V")
