"""Rows about V itself: its width, and the annihilation of what it decays to."""

from __future__ import annotations

import math
from dataclasses import replace

from ...kinematics.base.errors import InputError
from ..light_vector import LightVector
from ..parameters import load_parameters
from ..widths import invisible_width
from .darkmatter import GEV2_TO_CM3_PER_S, THERMAL_SIGMA_V, freeze_out_velocity, sigma_v_fermion, sigma_v_scalar
from .rows import Request, Row, Verdict, below

_THERMAL = "thermal target, twice the maximum of arXiv:1204.3622; passes above it"


def coupling_is_known(vector: LightVector) -> bool:
    """Whether g_chi is given or follows from the width: above threshold it has to be given."""
    return vector.g_chi is not None or vector.mass > 2 * vector.m_chi


def above(prediction: float, least: float) -> Verdict:
    """Verdict of a lower limit: ``not sensitive`` where there is nothing at all."""
    return "not sensitive" if prediction == 0.0 else "allowed" if prediction >= least else "excluded"


def widths(request: Request) -> list[Row]:
    """Eq. (2): the width against that of g_chi = sqrt(4 pi)."""
    rows = []
    for v in request.model.light_vectors:
        s, total = v.mass**2, v.total_width
        largest = float(invisible_width(s, math.sqrt(4 * math.pi), v.m_chi, v.chi))
        visible = v.partial_widths()
        coupling = f"g_chi = {v.chi_coupling:.4g}" if coupling_is_known(v) else "g_chi not fixed"
        shares = ", ".join(f"V -> {pair} {width / total:.2%}" for pair, width in visible.items() if width)
        rows.append(
            Row(
                "width",
                "(2)",
                total,
                largest or None,
                "GeV",
                below(total, largest) if largest else "not sensitive",
                "perturbativity, g_chi < sqrt(4 pi)",
                vector=v.name,
                note=", ".join(word for word in (f"width/mass = {total / v.mass:.4g}", coupling, shares) if word),
                details={f"width V -> {pair}": width for pair, width in visible.items()},
            )
        )
    return rows


def annihilation(request: Request) -> list[Row]:
    """Eqs. (11) and (12), for each V: enough annihilation into muons to leave little of chi."""
    rows = []
    m_mu, speed = load_parameters()["m_mu"], freeze_out_velocity()
    for vector in request.model.light_vectors:
        m_dm, where = _dark_mass(vector, request.m_dm, m_mu)
        for row in (
            Row(
                "sigma_v_fermion",
                "(11)",
                None,
                THERMAL_SIGMA_V,
                "cm^3/s",
                "not sensitive",
                _THERMAL,
                vector=vector.name,
            ),
            Row(
                "sigma_v_scalar", "(12)", None, THERMAL_SIGMA_V, "cm^3/s", "not sensitive", _THERMAL, vector=vector.name
            ),
        ):
            if m_dm is None:
                rows.append(replace(row, note=where))
                continue
            scalar = row.name == "sigma_v_scalar"
            g_chi = _coupling_at(vector, m_dm, "scalar" if scalar else "dirac")
            plain, wide = (
                _sigma_v(vector, m_dm, g_chi, speed if scalar else None, m_mu, width)
                for width in (0.0, vector.total_width)
            )
            prediction = plain * GEV2_TO_CM3_PER_S
            words = [f"{where}, preferred g_chi = {g_chi:.3g}"]
            words += ["above sqrt(4 pi)"] if g_chi > math.sqrt(4 * math.pi) else []
            words += [] if prediction else ["no coupling to muons"]
            words += [f"rms velocity {speed:.2f}"] if scalar else []
            rows.append(
                replace(
                    row,
                    prediction=prediction,
                    verdict=above(prediction, THERMAL_SIGMA_V),
                    note=(
                        f"{', '.join(words)}; {plain:.2e} GeV^-2; with the width of V "
                        f"{wide * GEV2_TO_CM3_PER_S:.2e} cm^3/s"
                    ),
                    details={
                        "m_chi": m_dm,
                        "g_chi": g_chi,
                        "GeV^-2": plain,
                        "with the width, GeV^-2": wide,
                        "with the width, cm^3/s": wide * GEV2_TO_CM3_PER_S,
                    },
                )
            )
    return rows


def _sigma_v(v: LightVector, m_chi: float, g_chi: float, speed: float | None, m_mu: float, width: float) -> float:
    """Eq. (11), or eq. (12) with the speed of a scalar, in GeV^-2."""
    if speed is None:
        return float(sigma_v_fermion(m_chi, v.mass, g_chi, v.g_mu_v, v.g_mu_a, m_mu, width))
    return float(sigma_v_scalar(m_chi, v.mass, g_chi, v.g_mu_v, v.g_mu_a, speed, m_mu, width))


def _dark_mass(vector: LightVector, given: float | None, m_mu: float) -> tuple[float | None, str]:
    """Mass of chi for eqs. (11) and (12) and what to say about it; InputError for a useless mass of the user's.

    Above m_V / 2 the coupling has to be the model's; at m_V / 2 the equations, which have no width, diverge.
    """
    half = vector.mass / 2
    open_ended = vector.g_chi is not None
    if given is not None:
        if not m_mu < given < math.inf or given == half or (given > half and not open_ended):
            allowed = f"above {m_mu:.4g} GeV (m_mu) and " + (
                f"not m_V/2 = {half:g} GeV"
                if open_ended
                else f"below m_V/2 = {half:g} GeV (above it g_chi has to be given)"
            )
            raise InputError(f"dm_mass = {given:g} GeV: eqs. (11) and (12) need a mass {allowed}")
        return given, f"m_chi = {given:g} GeV"
    own = vector.m_chi
    if own > m_mu and (own < half or (open_ended and own > half)):
        return own, f"m_chi = {own:g} GeV"
    if vector.mass / 4 > m_mu:
        return vector.mass / 4, f"m_chi = {vector.mass / 4:g} GeV (m_V/4 for illustration)"
    return None, f"no annihilation into muons: m_chi = {own:g} GeV; choose a mass above {m_mu:.4g} GeV"


def _coupling_at(vector: LightVector, m_chi: float, chi: str) -> float:
    """g_chi of a chi of this mass and spin that gives V its width.

    It is the model's own where the model has that chi, or where V cannot decay to it.
    """
    if vector.g_chi is not None and (vector.chi == chi or 2 * m_chi >= vector.mass):
        return vector.g_chi
    update = {"m_chi": m_chi, "chi": chi, "g_chi": None, "width": vector.total_width, "relative_width": None}
    return vector.model_copy(update=update).chi_coupling
