"""The table of constraints on a model: prediction, what experiment allows, and the source of every number.

The equations are in ``physics/constraints.py``, ``physics/rates.py`` and ``physics/darkmatter.py``, the
numbers of experiments in the data sets' files. What passes: a prediction below an upper limit at the
confidence level it was published with, or within three standard deviations of a measurement, the rule that
the paper states for (g-2) of the muon (at two, the Standard Model itself fails on B+ -> K+ nu nu), or between
the measurement and the Standard Model: no model fails for being better than that. Neutrino trident production
is taken at two, as in the paper's reference.

Not included: the limits from Drell-Yan pairs at the LHC (the paper's note added: Bishara, Haisch and Monni,
arXiv:1705.03465). They come from loops and emission of V in pp -> Z/gamma* -> mu mu, so they need nothing but
the couplings to muons, but the spectrum that they are read from has to be simulated within the acceptance of
the experiment, and no limit is public as numbers. Real emission of V in Z decays is not included either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows, json_types
from ..channels import get_channel
from ..light_vector import LightVector
from ..models import Model, ModelLike, as_model
from ..parameters import load_parameters
from ..rates import branching_ratio, narrow_branching_ratio
from ..theory import TheoryLike
from ..widths import invisible_width
from .constraints import (
    bs_mixing_amplitude,
    bs_mumu_branching_ratio,
    delta_a_mu,
    g_bs_bound,
    raises_a_mu,
    trident_ratio,
    z_chiral_shift,
    z_coupling_shift,
)
from .darkmatter import GEV2_TO_CM3_PER_S, THERMAL_SIGMA_V, freeze_out_velocity, sigma_v_fermion, sigma_v_scalar
from .datasets import Data, DataSet, Limit, load_data

NOT_INCLUDED = (
    "Not included: limits from Drell-Yan mu mu pairs (note added of arXiv:1704.06188: arXiv:1705.03465), which "
    "are not public as numbers; Z -> mu mu V."
)
"""What the table says about what it leaves out."""
INPUTS = (
    "Predictions: masses, lifetimes, CKM elements and decay constants of flavio 2.7.1, its B -> K and B -> K* form "
    "factors in the parametrisation of arXiv:1811.00983; light V as in the equation named."
)
"""What the table says about the inputs of its predictions."""
_SIGMAS = 3.0
_TRIDENT_SIGMAS = 2.0
_PROBE = 1e-8  # g_bs that stands in where a model has none, to work out the bound on it
_NO_COUPLING = "m_chi is above m_V/2, where the width does not fix g_chi: give g_chi"
_THERMAL = "thermal target, twice the maximum of arXiv:1204.3622; passes above it"


@dataclass(frozen=True)
class Row:
    """One constraint: ``limit`` is the end of the allowed range on the side of the prediction.

    ``passes`` and the numbers are None where they have no meaning; ``vector`` names the V that the row is
    about in the rows that are made for each V. ``pull`` is in standard deviations of a measurement; where
    there is none, ``ratio`` is prediction over limit. ``details`` has the numbers of the ``note``.
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
    details: Mapping[str, float] = field(default_factory=dict)
    derived = ("ratio",)

    def __post_init__(self) -> None:
        for number in (self.prediction, self.limit, self.pull, *self.details.values()):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.name}: {number} is not a number to print")

    @property
    def ratio(self) -> float | None:
        """Prediction over limit, where no pull says it."""
        if self.pull is not None or self.prediction is None or not self.limit:
            return None
        return self.prediction / self.limit


@dataclass(frozen=True)
class _Request:
    """What the rows are made from."""

    model: Model
    data: DataSet
    limit: float | None
    m_dm: float | None


@dataclass(frozen=True, eq=False)
class Constraints(Rows[Row]):
    """The constraints on a model: one row each, in the order of the paper's equations."""

    model: Model
    data: DataSet

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, the model, and the name of the data set."""
        return {"rows": json_types(self.rows), "model": json_types(self.model), "data": self.data.name}


def constraints(
    model: ModelLike = "fig2",
    data: Data = "current",
    limit: float | None = None,
    dm_mass: float | None = None,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
) -> Constraints:
    """All constraints on a model, in the order of the paper's equations.

    Every constraint has a row in every model; those about V alone have one for each V, and an empty one without.

    Args:
        model: a benchmark's name, a TOML file, fields, or a `Model`.
        data: a data set: its name (``current``, ``2017``, which is what the paper used), a file, or the set itself.
        limit: replaces the experimental limit on BR(B -> K chi chi) that eqs. (3) and (4) are held against.
        dm_mass: mass of chi (GeV) in eqs. (11) and (12); by default that of the model if it can annihilate to muons,
            else m_V / 4 as an illustration.
        set: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several.
        theory: what the Standard Model is taken to be, a table of the keys of a `Theory`.

    Raises:
        InputError: any of these that cannot be used.

    Example:
        >>> [row.name for row in constraints("fig2") if row.passes][:3]
        ['width', 'br_bplus_kplus_chi_chi', 'br_b0_k0_chi_chi']
    """
    if limit is not None and not 0 < limit < 1:
        raise InputError(f"limit = {limit:g}: a branching ratio between 0 and 1 is needed")
    chosen, known = as_model(model, set, theory), load_data(data)
    request = _Request(chosen, known, limit, dm_mass)
    rows = [row for make in _ROWS for row in make(request)]
    missing = [row for row in _NO_VECTOR if row.name not in {row.name for row in rows}]
    ordered = sorted([*rows, *missing], key=lambda row: NAMES.index(row.name))
    return Constraints(tuple(ordered), chosen, known)


def _widths(request: _Request) -> list[Row]:
    """Eq. (2): the width against that of g_chi = sqrt(4 pi); it has to hold the widths into leptons too."""
    rows = []
    for v in request.model.light_vectors:
        s, total = v.mass**2, v.total_width
        largest = float(invisible_width(s, math.sqrt(4 * math.pi), v.m_chi, v.chi))
        visible = v.partial_widths()
        chosen = 0.0 if v.g_chi is None else float(invisible_width(s, v.g_chi, v.m_chi, v.chi))
        # a width that follows from g_chi alone, as in the paper, leaves the leptons out on purpose
        free = v.width is None and v.relative_width is None
        fits = (0.0 if free else chosen) + sum(visible.values()) <= total * (1 + 1e-9)
        coupling = f"g_chi = {v.chi_coupling:.4g}" if _coupling_is_known(v) else "g_chi not fixed"
        shares = ", ".join(f"V -> {pair} {width / total:.2%}" for pair, width in visible.items() if width)
        words = [f"width/mass = {total / v.mass:.4g}", coupling, shares]
        words += [] if fits else ["the partial widths add up to more than the width"]
        passes = False if not fits else None if largest == 0.0 else total <= largest
        rows.append(
            Row(
                "width",
                "(2)",
                total,
                largest or None,
                "GeV",
                passes,
                "perturbativity, g_chi < sqrt(4 pi)",
                vector=v.name,
                note=", ".join(word for word in words if word),
                details={f"width V -> {pair}": width for pair, width in visible.items()},
            )
        )
    return rows


def _coupling_is_known(vector: LightVector) -> bool:
    """Whether g_chi is given or follows from the width: above threshold it has to be given."""
    return vector.g_chi is not None or vector.mass > 2 * vector.m_chi


def _kaon_limit(request: _Request, charged: bool) -> tuple[float, str]:
    """Limit on BR(B -> K chi chi) and its source."""
    if request.limit is not None:
        return request.limit, "given by the user"
    found = request.data.limit("br_k_chi_chi" if charged else "br_k0_chi_chi")
    standard = _standard_nunu("B+->K+nunu" if charged else "B0->K0nunu", request.model) if found.includes_sm else 0.0
    if found.upper is not None:
        return found.upper - standard, f"{found.source} ({found.level})"
    value, error = found.numbers()
    return value + 1.645 * error - standard, found.source


def _standard_nunu(channel: str, model: Model) -> float:
    return branching_ratio(get_channel(channel), model.standard)


def _kaon(request: _Request) -> list[Row]:
    """Eq. (3) of both charges. The notes have K* too, which the paper leaves out and which can be the stronger."""
    rows = []
    for name, kaon, star, charged in (
        ("br_bplus_kplus_chi_chi", "B+->K+chichi", "B+->K*+chichi", True),
        ("br_b0_k0_chi_chi", "B0->K0chichi", "B0->K*0chichi", False),
    ):
        limit, source = _kaon_limit(request, charged)
        if not all(_coupling_is_known(vector) for vector in request.model.light_vectors):
            rows.append(Row(name, "(3)", None, limit, "1", None, source, note=_NO_COUPLING))
            continue
        prediction = branching_ratio(get_channel(kaon), request.model)
        narrow = narrow_branching_ratio(get_channel(kaon), request.model)
        other = branching_ratio(get_channel(star), request.model)
        found = request.data.limit("br_kstarplus_nunu" if charged else "br_kstar0_nunu")
        assert found.upper is not None
        left = found.upper - _standard_nunu(star.replace("chichi", "nunu"), request.model)
        rows.append(
            Row(
                name,
                "(3)",
                prediction,
                limit,
                "1",
                prediction <= limit,
                source,
                note=(
                    f"integrated over the line shape; narrow width: {narrow:.3e}; {star}: {other:.3e}, "
                    f"{'above' if other > left else 'below'} the {left:.1e} that {found.source} leaves beside the SM "
                    f"({found.level})"
                ),
                details={"narrow width": narrow, star: other, f"limit on {star}": left},
            )
        )
    return rows


def _g_bs(request: _Request) -> list[Row]:
    rows = []
    limit, source = _kaon_limit(request, True)
    channel = get_channel("B+->K+chichi")
    for vector in request.model.light_vectors:
        value = abs(vector.g_bs + vector.g_bs_right)
        row = Row("g_bs_max", "(4)", value, None, "1", None, source, vector=vector.name)
        if not _coupling_is_known(vector):
            rows.append(replace(row, note=_NO_COUPLING))
            continue
        probe = vector.model_copy(update={"g_bs": _PROBE, "g_bs_right": 0j})
        single = request.model.model_copy(update={"light_vectors": (probe,)})
        rate, narrow = branching_ratio(channel, single), narrow_branching_ratio(channel, single)
        if rate == 0.0:
            rows.append(replace(row, passes=True, note="B -> K chi chi is closed: no bound"))
            continue
        bound = float(g_bs_bound(rate / _PROBE**2, limit))
        details = {"eq. (4) for 1e-5": 0.7e-8 * vector.mass}
        if narrow > 0:
            details = {"narrow width": float(g_bs_bound(narrow / _PROBE**2, limit)), **details}
        numbers = "; ".join(f"{name}: {number:.3e}" for name, number in details.items())
        rows.append(
            replace(
                row,
                limit=bound,
                passes=value <= bound * (1 + 1e-9),
                details=details,
                note=f"bound with the width of V; {numbers}",
            )
        )
    return rows


def g_bs_limit(model: Model, data: Data = "current") -> float | None:
    """Eq. (4) for the first V of a model: the largest |g_bs| for B+ → K+ χχ, or None where nothing limits it.

    >>> from darkpenguin.physics.models import get_model
    >>> round(g_bs_limit(get_model("fig2"), "2017") / 1e-8, 2)
    1.93
    """
    rows = _g_bs(_Request(model, load_data(data), None, None))
    return rows[0].limit if rows else None


def _edge(found: Limit, prediction: float, sigmas: float, standard: float | None = None) -> tuple[float, bool, float]:
    """End of the allowed range on the side of the prediction, whether it passes, and the pull.

    The range reaches to the Standard Model's prediction if that is further from the measurement.
    """
    value, error = found.numbers()
    low, high = value - sigmas * error, value + sigmas * error
    if standard is not None:
        low, high = min(low, standard), max(high, standard)
    pull = found.pull(prediction)
    return high if pull > 0 else low, low <= prediction <= high, pull


def _a_mu(request: _Request) -> list[Row]:
    found = request.data.limit("delta_a_mu")
    vectors = request.model.light_vectors
    prediction = sum(float(delta_a_mu(v.mass, v.g_mu_v, v.g_mu_a)) for v in vectors)
    limit, passes, pull = _edge(found, prediction, _SIGMAS, standard=0.0)
    note = f"measured {found.value:.3e} +- {found.error:.1e}"
    signs = [raises_a_mu(v.g_mu_v, v.g_mu_a) for v in vectors if v.g_mu_v or v.g_mu_a]
    if signs:
        note += f"; sqrt(5)|g_A| < |g_V|: {'yes' if all(signs) else 'no'}"
    return [Row("delta_a_mu", "(5)", prediction, limit, "1", passes, found.source, pull, note=note)]


def _bs_mumu(request: _Request) -> list[Row]:
    found = request.data.limit("br_bs_mumu")
    prediction, standard = bs_mumu_branching_ratio(request.model), bs_mumu_branching_ratio(request.model.standard)
    limit, passes, pull = _edge(found, prediction, _SIGMAS, standard)
    note = f"{prediction / standard - 1:+.1%} against the SM's {standard:.3e}"
    note += f"; measured {found.value:.2e} +- {found.error:.1e}"
    return [
        Row(
            "br_bs_mumu",
            "(7)",
            prediction,
            limit,
            "1",
            passes,
            found.source,
            pull,
            note=note,
            details={"Standard Model": standard},
        )
    ]


def _mixing(request: _Request) -> list[Row]:
    found = request.data.limit("delta_m_s")
    value, error = found.numbers()
    prediction = 2 * abs(bs_mixing_amplitude(request.model))
    return [
        Row(
            "bs_mixing",
            "text after (4)",
            prediction,
            error,
            "GeV",
            prediction <= error,
            found.source,
            note=f"2|M12| of V against the error of Delta M_s; {prediction / value:.1e} of Delta M_s",
        )
    ]


def _z_mumu(request: _Request) -> list[Row]:
    axial, vector = request.data.limit("g_a_mu"), request.data.limit("g_v_mu")
    (g_a, error_a), (g_v, error_v) = axial.numbers(), vector.numbers()
    shift = large = by_v = by_a = 0.0
    for v in request.model.light_vectors:
        shift += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a))
        large += float(z_coupling_shift(v.mass, v.g_mu_v, v.g_mu_a, form="large"))
        chiral = z_chiral_shift(v.mass, v.g_mu_v, v.g_mu_a, g_v, g_a)
        by_v, by_a = by_v + float(chiral[0]), by_a + float(chiral[1])
    pull_a, pull_v = shift * g_a / error_a, shift * g_v / error_v
    limit = math.copysign(_SIGMAS * error_a / g_a, shift)
    return [
        Row(
            "z_mumu_coupling",
            "(8)",
            shift,
            limit,
            "1",
            abs(pull_a) <= _SIGMAS,
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
                f"{by_a / error_a:+.2f}, g_V {by_v / error_v:+.2f}; large-x K_F: {large:.3e}"
            ),
        )
    ]


def _trident(request: _Request) -> list[Row]:
    found = request.data.limit("trident")
    prediction = trident_ratio(request.model)
    limit, passes, pull = _edge(found, prediction, _TRIDENT_SIGMAS, standard=1.0)
    on = any(v.g_nu_mu for v in request.model.light_vectors)
    note = f"sigma/sigma_SM, measured {found.value} +- {found.error}"
    note += "" if on else "; no coupling to nu_mu"
    name = "neutrino_trident"
    return [Row(name, "footnote 3", prediction, limit, "1", passes, found.source, pull, note=note)]


def _annihilation(request: _Request) -> list[Row]:
    rows = []
    m_mu, speed = load_parameters()["m_mu"], freeze_out_velocity()
    for vector in request.model.light_vectors:
        m_dm, where = _dark_mass(vector, request.m_dm, m_mu)
        for row in (
            Row("sigma_v_fermion", "(11)", None, THERMAL_SIGMA_V, "cm^3/s", None, _THERMAL, vector=vector.name),
            Row("sigma_v_scalar", "(12)", None, THERMAL_SIGMA_V, "cm^3/s", None, _THERMAL, vector=vector.name),
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
                    passes=prediction >= THERMAL_SIGMA_V if prediction else None,
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


def _nunu(request: _Request) -> list[Row]:
    """The Standard Model's nu nu is the prediction of the row; the note has what the model adds to it."""
    found = request.data.limit("br_bplus_kplus_nunu")
    channel = get_channel("B+->K+nunu")
    prediction = branching_ratio(channel, request.model.standard)
    row = Row("br_bplus_kplus_nunu_sm", "SM", prediction, found.upper, "1", None, found.source)
    if found.upper is not None:
        row = replace(row, passes=prediction <= found.upper)
    else:
        limit, passes, pull = _edge(found, prediction, _SIGMAS)
        row = replace(row, limit=limit, passes=passes, pull=pull)
    if not all(_coupling_is_known(vector) for vector in request.model.light_vectors):
        return [replace(row, note=_NO_COUPLING)]
    total = branching_ratio(channel, request.model)
    total += branching_ratio(get_channel("B+->K+chichi"), request.model)
    note, details = f"nu nu + chi chi of the model: {total:.3e}", {"nu nu + chi chi": total}
    if found.upper is None:
        details["pull of nu nu + chi chi"] = found.pull(total)
        note += f" (pull {found.pull(total):+.1f}); measured {found.value:.1e} +- {found.error:.1e}"
    return [replace(row, note=note, details=details)]


NAMES = (
    "width",
    "br_bplus_kplus_chi_chi",
    "br_b0_k0_chi_chi",
    "g_bs_max",
    "delta_a_mu",
    "br_bs_mumu",
    "bs_mixing",
    "z_mumu_coupling",
    "neutrino_trident",
    "sigma_v_fermion",
    "sigma_v_scalar",
    "br_bplus_kplus_nunu_sm",
)
"""Names of the constraints, in the order of the table."""
_NO_VECTOR = tuple(
    Row(name, equation, None, None, unit, None, "no light vector in the model")
    for name, equation, unit in (
        ("width", "(2)", "GeV"),
        ("g_bs_max", "(4)", "1"),
        ("sigma_v_fermion", "(11)", "cm^3/s"),
        ("sigma_v_scalar", "(12)", "cm^3/s"),
    )
)
_ROWS: tuple[Callable[[_Request], list[Row]], ...] = (
    _widths,
    _kaon,
    _g_bs,
    _a_mu,
    _bs_mumu,
    _mixing,
    _z_mumu,
    _trident,
    _annihilation,
    _nunu,
)
