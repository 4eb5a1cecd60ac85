"""The table of constraints on a model: prediction, what experiment allows, and the source of every number.

The equations are in ``physics/constraints.py``, ``physics/rates.py`` and ``physics/darkmatter.py``, the
numbers of experiments in ``physics/limits.yml``. What passes: a prediction below an upper limit at the
confidence level it was published with, or within three standard deviations of a measurement, the rule that
the paper states for (g-2) of the muon (at two, the Standard Model itself fails on B+ -> K+ nu nu). Neutrino
trident production is taken at two, as in the paper's reference. A model without V is not failed for being no
better than the Standard Model.

Not included: limits on V -> mu mu from Drell-Yan production (the paper's note added, arXiv:1705.03447), which
need the collider's acceptance and a coupling to light quarks that eq. (1) does not have; real emission of V
in Z decays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..kinematics.errors import InputError
from ..physics.channels import get_channel
from ..physics.constraints import (
    Data,
    Measured,
    bs_mixing_amplitude,
    bs_mumu_branching_ratio,
    delta_a_mu,
    g_bs_bound,
    measured,
    raises_a_mu,
    trident_ratio,
    z_chiral_shift,
    z_coupling_shift,
)
from ..physics.darkmatter import (
    GEV2_TO_CM3_PER_S,
    THERMAL_SIGMA_V,
    freeze_out_velocity,
    sigma_v_fermion,
    sigma_v_scalar,
)
from ..physics.models import (
    BENCHMARKS,
    LightVector,
    Model,
    apply_settings,
    get_model,
    invisible_width,
    validate,
)
from ..physics.parameters import load_parameters
from ..physics.rates import branching_ratio, narrow_branching_ratio

NOT_INCLUDED = (
    "Not included: Drell-Yan mu mu limits on V (note added of arXiv:1704.06188), which need a coupling of V "
    "to light quarks; Z -> mu mu V."
)
"""What the table says about what it leaves out."""

_SIGMAS = 3.0
_TRIDENT_SIGMAS = 2.0
_PROBE = 1e-8   # g_bs that stands in where a model has none, to work out the bound on it


@dataclass(frozen=True)
class Row:
    """One constraint: ``limit`` is the end of the allowed range on the side of the prediction.

    ``passes`` and the numbers are None where they have no meaning; ``vector`` names the V that the row is
    about in the rows that are made for each V.
    """

    name: str
    equation: str
    prediction: float | None
    limit: float | None
    unit: str
    passes: bool | None
    source: str
    pull: float | None = None
    vector: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        for number in (self.prediction, self.limit, self.pull):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.name}: {number} is not a number to print")


@dataclass(frozen=True)
class _Request:
    """What the rows are made from."""

    model: Model
    data: Data
    limit: float | None
    m_dm: float | None


def constraints_table(
    model: Model, data: Data = "current", limit: float | None = None, m_dm: float | None = None
) -> list[Row]:
    """All constraints on a model, in the order of the paper's equations.

    ``data`` "2017" is what the paper used. ``limit`` replaces the experimental limit on BR(B -> K chi chi)
    that eqs. (3) and (4) are held against. ``m_dm`` (GeV) is the mass of chi in eqs. (11) and (12); by
    default that of the model if it can annihilate to muons below the resonance, else m_V / 4 as an
    illustration.

    Every constraint has a row in every model; those about V alone have one for each V, and an empty one
    without.

    >>> from darkpenguin.physics.models import get_model
    >>> [row.name for row in constraints_table(get_model("fig2")) if row.passes][:3]
    ['width', 'br_bplus_kplus_chi_chi', 'br_b0_k0_chi_chi']
    """
    request = _Request(model, data, limit, m_dm)
    rows = [row for make in _ROWS for row in make(request)]
    missing = [row for row in _NO_VECTOR if row.name not in {row.name for row in rows}]
    return sorted([*rows, *missing], key=lambda row: NAMES.index(row.name))


def _widths(request: _Request) -> list[Row]:
    rows = []
    for vector in request.model.light_vectors:
        largest = float(invisible_width(vector.mass**2, math.sqrt(4 * math.pi), vector.m_chi, vector.chi))
        known = vector.g_chi is not None or vector.mass > 2 * vector.m_chi
        coupling = f"g_chi = {vector.chi_coupling:.4g}" if known else "g_chi not fixed"
        closed = largest == 0.0
        rows.append(Row(
            "width", "(2)", vector.total_width, None if closed else largest, "GeV",
            None if closed else vector.total_width <= largest, "perturbativity, g_chi < sqrt(4 pi)",
            vector=vector.name, note=f"width/mass = {vector.total_width / vector.mass:.4g}, {coupling}",
        ))
    return rows


def _kaon_limit(request: _Request, charged: bool) -> tuple[float, str]:
    """Limit on BR(B -> K chi chi) and its source."""
    if request.limit is not None:
        return request.limit, "given by the user"
    found = measured("br_k_chi_chi" if charged else "br_k0_chi_chi", request.data)
    if request.data == "2017" and found.upper is not None:
        return found.upper, f"{found.source} (95 % CL)"
    standard = _standard_nunu("B+->K+nunu" if charged else "B0->K0nunu")
    if found.upper is not None:
        return found.upper - standard, f"{found.source} (90 % CL)"
    value, error = _numbers(found)
    return value + 1.645 * error - standard, found.source


def _numbers(found: Measured) -> tuple[float, float]:
    """Value and error of what is a measurement, not a limit."""
    if found.value is None or found.error is None:
        raise ValueError(f"{found.source}: an upper limit where a measurement is needed")
    return found.value, found.error


def _standard_nunu(channel: str) -> float:
    return branching_ratio(get_channel(channel), get_model("sm"))


def _kaon(request: _Request) -> list[Row]:
    rows = []
    for name, channel, charged in (
        ("br_bplus_kplus_chi_chi", "B+->K+chichi", True), ("br_b0_k0_chi_chi", "B0->K0chichi", False),
    ):
        limit, source = _kaon_limit(request, charged)
        prediction = branching_ratio(get_channel(channel), _with_chi(request.model))
        narrow = narrow_branching_ratio(get_channel(channel), _with_chi(request.model))
        rows.append(Row(
            name, "(3)", prediction, limit, "1", prediction <= limit, source,
            note=f"integrated over the line shape; narrow width: {narrow:.3e}",
        ))
    return rows


def _with_chi(model: Model) -> Model:
    """The model with the V whose coupling to chi is known (above threshold g_chi is needed)."""
    known = tuple(v for v in model.light_vectors if v.g_chi is not None or v.mass > 2 * v.m_chi)
    return model.model_copy(update={"light_vectors": known})


def _g_bs(request: _Request) -> list[Row]:
    rows = []
    limit, source = _kaon_limit(request, True)
    channel = get_channel("B+->K+chichi")
    for vector in _with_chi(request.model).light_vectors:
        probe = vector.model_copy(update={"g_bs": _PROBE, "g_bs_right": 0j})
        single = request.model.model_copy(update={"light_vectors": (probe,)})
        bound = float(g_bs_bound(branching_ratio(channel, single) / _PROBE**2, limit))
        value = abs(vector.g_bs + vector.g_bs_right)
        rate = narrow_branching_ratio(channel, single)
        narrow = f"{float(g_bs_bound(rate / _PROBE**2, limit)):.3e}" if rate > 0 else "none"
        rows.append(Row(
            "g_bs_max", "(4)", value, bound, "1", value <= bound * (1 + 1e-9), source, vector=vector.name,
            note=f"bound with the width of V; narrow: {narrow}; eq. (4) for 1e-5: {0.7e-8 * vector.mass:.3e}",
        ))
    return rows


def g_bs_limit(model: Model, data: Data = "current") -> float | None:
    """Eq. (4) for the first V of a model: the largest |g_bs| for B+ → K+ χχ, or None where nothing limits it.

    >>> from darkpenguin.physics.models import get_model
    >>> round(g_bs_limit(get_model("fig2"), "2017") / 1e-8, 2)
    1.93
    """
    rows = _g_bs(_Request(model, data, None, None))
    return rows[0].limit if rows else None


def _edge(found: Measured, prediction: float, sigmas: float) -> tuple[float, bool, float]:
    """End of the allowed range on the side of the prediction, whether it passes, and the pull."""
    value, error = _numbers(found)
    pull = found.pull(prediction)
    return value + math.copysign(sigmas * error, pull), abs(pull) <= sigmas, pull


def _a_mu(request: _Request) -> list[Row]:
    found = measured("delta_a_mu", request.data)
    shifts = [float(delta_a_mu(v.mass, v.g_mu_v, v.g_mu_a)) for v in request.model.light_vectors]
    prediction = sum(shifts)
    limit, passes, pull = _edge(found, prediction, _SIGMAS)
    signs = [raises_a_mu(v.g_mu_v, v.g_mu_a) for v in request.model.light_vectors if v.g_mu_v or v.g_mu_a]
    note = f"measured {found.value:.3e} +- {found.error:.1e}"
    if signs:
        note += f"; sqrt(5)|g_A| < |g_V|: {'yes' if all(signs) else 'no'}"
    # zero, the Standard Model, is always allowed: the paper's rule is not to overshoot the measurement
    passes = passes or prediction == 0.0
    return [Row("delta_a_mu", "(5)", prediction, limit, "1", passes, found.source, pull, note=note)]


def _bs_mumu(request: _Request) -> list[Row]:
    found = measured("br_bs_mumu", request.data)
    prediction, standard = bs_mumu_branching_ratio(request.model), bs_mumu_branching_ratio(get_model("sm"))
    limit, passes, pull = _edge(found, prediction, _SIGMAS)
    note = f"{prediction / standard - 1:+.1%} against the SM's {standard:.3e}"
    note += f"; measured {found.value:.2e} +- {found.error:.1e}"
    return [Row("br_bs_mumu", "(7)", prediction, limit, "1", passes, found.source, pull, note=note)]


def _mixing(request: _Request) -> list[Row]:
    found = measured("delta_m_s", request.data)
    value, error = _numbers(found)
    prediction = 2 * abs(bs_mixing_amplitude(request.model))
    return [Row(
        "bs_mixing", "text after (4)", prediction, error, "GeV", prediction <= error, found.source,
        note=f"2|M12| of V against the error of Delta M_s; {prediction / value:.1e} of Delta M_s",
    )]


def _z_mumu(request: _Request) -> list[Row]:
    axial, vector = measured("g_a_mu", request.data), measured("g_v_mu", request.data)
    (g_a, error_a), (g_v, error_v) = _numbers(axial), _numbers(vector)
    shift = large = by_v = by_a = 0.0
    for v in request.model.light_vectors:
        shift += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a))
        large += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a, form="large"))
        chiral = z_chiral_shift(v.mass, v.g_mu_v, v.g_mu_a, g_v, g_a)
        by_v, by_a = by_v + float(chiral[0]), by_a + float(chiral[1])
    pull_a, pull_v = shift * g_a / error_a, shift * g_v / error_v
    limit = math.copysign(_SIGMAS * error_a / g_a, shift)
    return [Row(
        "z_mumu_coupling", "(8)", shift, limit, "1", abs(pull_a) <= _SIGMAS, axial.source, pull_a,
        note=(
            f"pulls of the shift: g_A {pull_a:+.2f}, g_V {pull_v:+.2f}; chirality by chirality g_A "
            f"{by_a / error_a:+.2f}, g_V {by_v / error_v:+.2f}; large-x K_F: {large:.3e}"
        ),
    )]


def _trident(request: _Request) -> list[Row]:
    found = measured("trident", request.data)
    prediction = trident_ratio(request.model)
    limit, passes, pull = _edge(found, prediction, _TRIDENT_SIGMAS)
    on = any(v.g_nu_mu for v in request.model.light_vectors)
    note = f"sigma/sigma_SM, measured {found.value} +- {found.error}"
    note += "" if on else "; no coupling to nu_mu"
    name = "neutrino_trident"
    return [Row(name, "footnote 3", prediction, limit, "1", passes, found.source, pull, note=note)]


def _annihilation(request: _Request) -> list[Row]:
    rows = []
    m_mu = load_parameters()["m_mu"]
    for vector in request.model.light_vectors:
        natural = m_mu < vector.m_chi < vector.mass / 2
        m_dm = request.m_dm or (vector.m_chi if natural else vector.mass / 4)
        if not m_mu < m_dm < vector.mass / 2:
            raise InputError(
                f"dm_mass = {m_dm:g} GeV: eqs. (11) and (12) need a mass above {m_mu:.4g} (m_mu) and below "
                f"m_V/2 = {vector.mass / 2:g} GeV; choose one in between"
            )
        where = f"m_chi = {m_dm:g} GeV" + ("" if natural or request.m_dm else " (m_V/4 for illustration)")
        for name, equation, chi in (
            ("sigma_v_fermion", "(11)", "dirac"), ("sigma_v_scalar", "(12)", "scalar"),
        ):
            g_chi = _coupling_at(vector, m_dm, chi)
            common = (m_dm, vector.mass, g_chi, vector.g_mu_v, vector.g_mu_a)
            if chi == "dirac":
                plain = float(sigma_v_fermion(*common, m_mu=m_mu))
                wide = float(sigma_v_fermion(*common, m_mu=m_mu, width=vector.total_width))
                extra = ""
            else:
                speed = freeze_out_velocity()
                plain = float(sigma_v_scalar(*common, velocity=speed, m_mu=m_mu))
                wide = float(sigma_v_scalar(*common, velocity=speed, m_mu=m_mu, width=vector.total_width))
                extra = f", rms velocity {speed:.2f}"
            prediction = plain * GEV2_TO_CM3_PER_S
            rows.append(Row(
                name, equation, prediction, THERMAL_SIGMA_V, "cm^3/s", prediction >= THERMAL_SIGMA_V,
                "thermal target, twice the maximum of arXiv:1204.3622; passes above it", vector=vector.name,
                note=(
                    f"{where}, preferred g_chi = {g_chi:.3g}{extra}; {plain:.2e} GeV^-2; "
                    f"with the width of V {wide * GEV2_TO_CM3_PER_S:.2e} cm^3/s"
                ),
            ))
    return rows


def _coupling_at(vector: LightVector, m_chi: float, chi: str) -> float:
    """g_chi of a chi of this mass and spin that gives V its width (or the model's own, if it is that chi)."""
    if vector.g_chi is not None and vector.chi == chi:
        return vector.g_chi
    update = {"m_chi": m_chi, "chi": chi, "g_chi": None, "width": vector.total_width, "relative_width": None}
    return vector.model_copy(update=update).chi_coupling


def _nunu(request: _Request) -> list[Row]:
    found = measured("br_bplus_kplus_nunu", request.data)
    channel = get_channel("B+->K+nunu")
    prediction = branching_ratio(channel, get_model("sm"))
    total = branching_ratio(channel, request.model)
    total += branching_ratio(get_channel("B+->K+chichi"), _with_chi(request.model))
    note = f"nu nu + chi chi of the model: {total:.3e}"
    name = "br_bplus_kplus_nunu_sm"
    if found.upper is not None:
        passes = prediction <= found.upper
        return [Row(name, "SM", prediction, found.upper, "1", passes, found.source, note=note)]
    limit, passes, pull = _edge(found, prediction, _SIGMAS)
    note += f" (pull {found.pull(total):+.1f}); measured {found.value:.1e} +- {found.error:.1e}"
    return [Row(name, "SM", prediction, limit, "1", passes, found.source, pull, note=note)]


NAMES = (
    "width", "br_bplus_kplus_chi_chi", "br_b0_k0_chi_chi", "g_bs_max", "delta_a_mu", "br_bs_mumu",
    "bs_mixing", "z_mumu_coupling", "neutrino_trident", "sigma_v_fermion", "sigma_v_scalar",
    "br_bplus_kplus_nunu_sm",
)
"""Names of the constraints, in the order of the table."""

_NO_VECTOR = tuple(
    Row(name, equation, None, None, unit, None, "no light vector in the model")
    for name, equation, unit in (
        ("width", "(2)", "GeV"), ("g_bs_max", "(4)", "1"),
        ("sigma_v_fermion", "(11)", "cm^3/s"), ("sigma_v_scalar", "(12)", "cm^3/s"),
    )
)

_ROWS: tuple[Callable[[_Request], list[Row]], ...] = (
    _widths, _kaon, _g_bs, _a_mu, _bs_mumu, _mixing, _z_mumu, _trident, _annihilation, _nunu,
)


def model_or_card(name: str) -> Model:
    """The model of a benchmark's name or of a run card (a TOML file or a built-in card's name).

    >>> model_or_card("fig2").name
    'fig2'
    """
    if name in BENCHMARKS:
        return get_model(name)
    from .runcard import builtin_cards, read_card

    if name not in builtin_cards() and Path(name).suffix != ".toml":
        return get_model(name)   # an error with the nearest names
    card = read_card(name)
    model = card.get("model", "sm")
    found = get_model(model) if isinstance(model, str) else validate(Model, model, "model")
    settings = card.get("set", ())
    return apply_settings(found, [settings] if isinstance(settings, str) else list(settings))


def to_json(rows: Sequence[Row]) -> str:
    """The rows as a JSON list of objects."""
    return json.dumps([asdict(row) for row in rows], indent=1, allow_nan=False)


def show(rows: Sequence[Row], title: str) -> None:
    """Print the table, the notes and sources below it, and what is not included."""
    from .console import show_table

    verdict = {True: "pass", False: "FAIL", None: "-"}
    pulls = ["-" if row.pull is None else f"{row.pull:+.2f}" for row in rows]
    show_table(
        title,
        ("constraint", "eq.", "prediction", "limit", "unit", "pull", "verdict"),
        [
            (row.name, row.equation, _number(row.prediction), _number(row.limit), row.unit, pull,
             verdict[row.passes])
            for row, pull in zip(rows, pulls, strict=True)
        ],
        left=2,
    )
    several = len({row.vector for row in rows if row.vector}) > 1
    for row in rows:
        label = f"{row.name} [{row.vector}]" if several and row.vector else row.name
        print(f"{label}: {row.note}{'; ' if row.note else ''}source: {row.source}")
    print(NOT_INCLUDED)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
