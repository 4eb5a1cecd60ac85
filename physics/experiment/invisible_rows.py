"""Rows about B → K(*), X_s + invisible, and the largest g_bs that they leave."""

from __future__ import annotations

from dataclasses import replace

from ..channels import get_channel
from ..models import Model
from ..rates import branching_ratio, narrow_branching_ratio, tau_branching_ratio
from .constraints import g_bs_bound
from .datasets import Data, Limit, load_data
from .rows import Request, Row, below, edge, measured, unknown
from .spectrum import Spectrum, load_spectrum
from .vector_rows import coupling_is_known

_PROBE = 1e-8  # g_bs that stands in where a model has none, to work out the bound on it
NO_COUPLING = "m_chi is above m_V/2, where the width does not fix g_chi: give g_chi"
_SHAPE = "assumes the Standard Model's shape in q2"
_EXTRA = "not used by the paper"


def known_couplings(request: Request) -> bool:
    """Whether what decays to χχ can be predicted."""
    return all(coupling_is_known(vector) for vector in request.model.light_vectors)


def belle_spectrum(request: Request) -> Spectrum | None:
    """The likelihood of Belle II's spectrum, if the data set has it."""
    found = request.data.curves.get("bplus_kplus_inv")
    return load_spectrum(found.file) if found is not None and found.file is not None else None


def _standard(channel: str, model: Model, found: Limit | None = None) -> float:
    """Branching ratio to νν̄ of the Standard Model, with the tree-level τ where an experiment includes it."""
    tau = tau_branching_ratio(get_channel(channel), model.theory) if found is not None and found.includes_tau else 0.0
    return branching_ratio(get_channel(channel), model.standard) + tau


def _number(request: Request, name: str, nunu: str) -> tuple[float, str] | None:
    """Limit on a branching ratio to χχ that stands in the data set, and its source; None if there is none."""
    found = request.data.limits.get(name)
    if found is None:
        return None
    standard = _standard(nunu, request.model, found) if found.includes_sm else 0.0
    if found.upper is not None:
        return found.upper - standard, f"{found.source} ({found.level})"
    value, error = found.numbers()
    return value + 1.645 * error - standard, found.source


def _kaon_limit(request: Request, model: Model, charged: bool) -> tuple[float, str, str] | None:
    """Limit on BR(B → K χχ) of a model, its source and a note: the user's, of the spectrum, or a number."""
    if request.limit is not None:
        return request.limit, "given by the user", ""
    spectrum = belle_spectrum(request) if charged else None
    rate = branching_ratio(get_channel("B+->K+chichi"), model) if spectrum is not None else 0.0
    if spectrum is not None and rate > 0.0:
        found = request.data.curves["bplus_kplus_inv"]
        limit = rate * spectrum.upper_limit(spectrum.strengths(model, neutrinos=False))
        return limit, f"{found.source} ({found.level})", "limit for this line shape"
    name, nunu = ("br_k_chi_chi", "B+->K+nunu") if charged else ("br_k0_chi_chi", "B0->K0nunu")
    number = _number(request, name, nunu)
    return None if number is None else (*number, _SHAPE)


def kaons(request: Request) -> list[Row]:
    """Eq. (3) of both charges."""
    rows = []
    for name, channel, charged in (
        ("br_bplus_kplus_chi_chi", "B+->K+chichi", True),
        ("br_b0_k0_chi_chi", "B0->K0chichi", False),
    ):
        if not known_couplings(request):
            rows.append(Row(name, "(3)", None, None, "1", "unknown", "no prediction", note=NO_COUPLING))
            continue
        found = _kaon_limit(request, request.model, charged)
        if found is None:
            rows.append(unknown(name, "(3)", "1", request.data))
            continue
        limit, source, note = found
        prediction = branching_ratio(get_channel(channel), request.model)
        narrow = narrow_branching_ratio(get_channel(channel), request.model)
        words = f"integrated over the line shape; narrow width: {narrow:.3e}{'; ' if note else ''}{note}"
        verdict = below(prediction, limit)
        rows.append(
            Row(name, "(3)", prediction, limit, "1", verdict, source, note=words, details={"narrow width": narrow})
        )
    return rows


def excited_kaons(request: Request) -> list[Row]:
    """B → K* χχ of both charges, which the paper leaves out: what the limits on νν̄ leave beside the Standard Model."""
    rows = []
    for name, parent, hadron, key in (
        ("br_b0_kstar0_chi_chi", "B0", "K*0", "br_kstar0_nunu"),
        ("br_bplus_kstarplus_chi_chi", "B+", "K*+", "br_kstarplus_nunu"),
    ):
        found = request.data.limits.get(key)
        if found is None or found.upper is None or not known_couplings(request):
            row = unknown(name, "as (3)", "1", request.data)
            rows.append(row if known_couplings(request) else replace(row, source="no prediction", note=NO_COUPLING))
            continue
        standard = _standard(f"{parent}->{hadron}nunu", request.model, found)
        left = found.upper - standard
        prediction = branching_ratio(get_channel(f"{parent}->{hadron}chichi"), request.model)
        source, note = f"{found.source} ({found.level})", f"{_EXTRA}; {found.upper:.2g} less the SM's nu nu; {_SHAPE}"
        details = {"nu nu of the SM": standard, "limit on nu nu": found.upper}
        rows.append(
            Row(name, "as (3)", prediction, left, "1", below(prediction, left), source, note=note, details=details)
        )
    return rows


def inclusive(request: Request) -> list[Row]:
    """B → X_s + invisible: the K, the K*, and both together as the least that all X_s can be."""
    rows = []
    for name, key, hadrons in (
        ("br_xs_inv_k", "br_xs_inv_k", (("B+", "K+"), ("B0", "K0"))),
        ("br_xs_inv_kstar", "br_xs_inv_kstar", (("B+", "K*+"), ("B0", "K*0"))),
        ("br_xs_inv", "br_xs_inv", (("B+", "K+"), ("B0", "K0"), ("B+", "K*+"), ("B0", "K*0"))),
    ):
        found = request.data.limits.get(key)
        if found is None or found.upper is None or not known_couplings(request):
            rows.append(unknown(name, "text", "1", request.data))
            continue
        total = standard = 0.0
        for parent, hadron in hadrons:  # half of the B are B+
            pairs = [get_channel(f"{parent}->{hadron}{pair}") for pair in ("nunu", "chichi")]
            total += 0.5 * sum(branching_ratio(channel, request.model) for channel in pairs)
            standard += 0.5 * _standard(f"{parent}->{hadron}nunu", request.model)
        changed = abs(total / standard - 1) > 1e-9
        rows.append(
            Row(
                name,
                "text",
                total,
                found.upper,
                "1",
                below(total, found.upper) if changed else "not sensitive",
                f"{found.source} ({found.level})",
                note=f"{_EXTRA}; nu nu and chi chi of {' '.join(hadron for _, hadron in hadrons)}"
                + (", the least that all X_s can be" if len(hadrons) > 2 else "")
                + f"; {_SHAPE}",
                standard=standard,
            )
        )
    return rows


def measured_kaon(request: Request) -> list[Row]:
    """The measured B+ → K+ + invisible: its spectrum against that of the model, and νν̄ of the Standard Model alone."""
    spectrum, rows = belle_spectrum(request), []
    name = "bplus_kplus_inv_spectrum"
    if spectrum is None or not known_couplings(request):
        rows.append(unknown(name, "(3)", "1", request.data))
    else:
        added = spectrum.strengths(request.model)
        pull, standard = spectrum.pulls(added)
        total = _total(request)
        rows.append(
            Row(
                name,
                "(3)",
                total,
                None,
                "1",
                measured(pull, standard) if added.any() else "not sensitive",
                request.data.curves["bplus_kplus_inv"].source,
                pull if added.any() else None,
                note="nu nu and chi chi; pulls along the model's own shape from the size that fits best",
                standard=_standard("B+->K+nunu", request.model),
                standard_pull=standard if added.any() else None,
            )
        )
    return [*rows, *_nunu(request)]


def _total(request: Request) -> float:
    channels = (get_channel(name) for name in ("B+->K+nunu", "B+->K+chichi"))
    return sum(branching_ratio(channel, request.model) for channel in channels)


def _nunu(request: Request) -> list[Row]:
    """The Standard Model's nu nu is the prediction of the row; the note has what the model adds to it."""
    name = "br_bplus_kplus_nunu_sm"
    found = request.data.limits.get("br_bplus_kplus_nunu")
    if found is None:
        return [unknown(name, "SM", "1", request.data)]
    prediction = _standard("B+->K+nunu", request.model, found)
    if found.upper is not None:
        row = Row(name, "SM", prediction, found.upper, "1", below(prediction, found.upper), found.source)
    else:
        pull = found.pull(prediction)
        limit = edge(found, pull, prediction)
        row = Row(name, "SM", prediction, limit, "1", measured(pull, pull), found.source, pull, standard_pull=pull)
    row = replace(row, standard=prediction)
    if not known_couplings(request):
        return [replace(row, note=NO_COUPLING)]
    tau = tau_branching_ratio(get_channel("B+->K+nunu"), request.model.theory) if found.includes_tau else 0.0
    total = _total(request) + tau
    note, details = f"nu nu + chi chi of the model: {total:.3e}", {"nu nu + chi chi": total}
    if found.upper is None:
        details["pull of nu nu + chi chi"] = found.pull(total)
        note += f" (pull {found.pull(total):+.1f}, {_SHAPE}); measured {found.value:.1e} +- {found.error:.1e}"
    return [replace(row, note=note, details=details)]


def g_bs(request: Request) -> list[Row]:
    """Eq. (4) for each V."""
    rows = []
    channel = get_channel("B+->K+chichi")
    for vector in request.model.light_vectors:
        value = abs(vector.g_bs + vector.g_bs_right)
        row = Row("g_bs_max", "(4)", value, None, "1", "not sensitive", "no bound", vector=vector.name)
        if not coupling_is_known(vector):
            rows.append(replace(row, verdict="unknown", note=NO_COUPLING))
            continue
        probe = vector.model_copy(update={"g_bs": _PROBE, "g_bs_right": 0j})
        single = request.model.model_copy(update={"light_vectors": (probe,)})
        rate, narrow = branching_ratio(channel, single), narrow_branching_ratio(channel, single)
        if rate == 0.0:
            rows.append(replace(row, note="B -> K chi chi is closed: no bound"))
            continue
        found = _kaon_limit(request, single, charged=True)
        if found is None:
            rows.append(unknown("g_bs_max", "(4)", "1", request.data, vector.name))
            continue
        limit, source, _ = found
        bound = float(g_bs_bound(rate / _PROBE**2, limit))
        details = {"eq. (4) for 1e-5": 0.7e-8 * vector.mass}
        if narrow > 0:
            details = {"narrow width": float(g_bs_bound(narrow / _PROBE**2, limit)), **details}
        numbers = "; ".join(f"{name}: {number:.3e}" for name, number in details.items())
        note = f"bound with the width of V; {numbers}"
        rows.append(replace(row, limit=bound, verdict=below(value, bound), source=source, details=details, note=note))
    return rows


def g_bs_limit(model: Model, data: Data = "current") -> float | None:
    """Eq. (4) for the first V of a model: the largest |g_bs| for B+ → K+ χχ, or None where nothing limits it.

    >>> from darkpenguin.physics.models import get_model
    >>> round(g_bs_limit(get_model("fig2"), "2017") / 1e-8, 2)
    1.93
    """
    rows = g_bs(Request(model, load_data(data)))
    return rows[0].limit if rows else None
