"""The table of constraints on a model: prediction, what experiment allows, and the source of every number.

The equations are in ``constraints.py``, ``darkmatter.py`` and ``physics/rates.py``, the numbers of experiments in the
data sets' files, the rules of the verdicts in ``rows.py``, and the rows in ``*_rows.py``.

Not included: the limits from Drell-Yan pairs at the LHC (the paper's note added: Bishara, Haisch and Monni,
arXiv:1705.03465). They come from loops and emission of V in pp -> Z/gamma* -> mu mu, so they need nothing but
the couplings to muons, but the spectrum that they are read from has to be simulated within the acceptance of
the experiment, and no limit is public as numbers. Real emission of V in Z decays is not included either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows, json_types
from ..models import Model, ModelLike, as_model
from ..theory import TheoryLike
from .datasets import Data, DataSet, load_data
from .invisible_rows import excited_kaons, g_bs, g_bs_limit, inclusive, kaons, measured_kaon
from .lepton_rows import bs_mumu, magnetic_moments, mixing, searches, trident, z_couplings
from .muon_rows import SPECTRA, dimuon_peaks, spectra
from .rows import Request, Row, Verdict
from .vector_rows import annihilation, widths

__all__ = ["INPUTS", "NAMES", "NOT_INCLUDED", "Constraints", "Row", "Verdict", "constraints", "g_bs_limit"]

NOT_INCLUDED = (
    "Not included: limits from Drell-Yan mu mu pairs (note added of arXiv:1704.06188: arXiv:1705.03465), which "
    "are not public as numbers; Z -> mu mu V; BaBar's counts of B -> K* nu nu by q2 (arXiv:1303.7465); mono-photons at "
    "LEP, which begin at 10 GeV; B_s -> phi mu mu; later results of Belle II and NA64 on V -> invisible."
)
"""What the table says about what it leaves out."""
INPUTS = (
    "Predictions: masses, lifetimes, CKM elements, decay constants and form factors of flavio 2.7.1: B -> K of "
    "arXiv:2305.06301, B -> K* of arXiv:1811.00983; light V as in the equation named."
)
"""What the table says about the inputs of its predictions."""


@dataclass(frozen=True, eq=False)
class Constraints(Rows[Row]):
    """The constraints on a model: one row each, in the order of the paper's equations, then what it does not have."""

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
    """All constraints on a model, in the order of the paper's equations, then those that it does not have.

    Every constraint has a row in every model; those about V alone have one for each V, and an empty one without. What
    was published and could not be had is a row too, ``unknown``.

    Args:
        model: a benchmark's name, a TOML file, fields, or a `Model`.
        data: a data set: its name (``current``, ``2017``, which is what the paper used), a file, or the set itself.
        limit: replaces the experimental limit on BR(B -> K chi chi) that eqs. (3) and (4) are held against.
        dm_mass: mass of chi (GeV) in eqs. (11) and (12); by default that of the model if it can annihilate to muons,
            else m_V / 4 as an illustration.
        set: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several.
        theory: what the Standard Model is taken to be, a table of the keys of a `Theory`.

    Raises:
        InputError: any of these that cannot be used, or a V whose partial widths are more than its width.

    Example:
        >>> {row.name: row.verdict for row in constraints("fig2")}["br_b0_kstar0_chi_chi"]
        'excluded'
    """
    if limit is not None and not 0 < limit < 1:
        raise InputError(f"limit = {limit:g}: a branching ratio between 0 and 1 is needed")
    chosen, known = as_model(model, set, theory), load_data(data)
    unknown = [path for path in chosen.interactions if path.partition(".")[0] in _UNCONSTRAINED]
    if unknown:
        raise InputError(
            f"model = {chosen.name!r}: constraints know no {unknown[0].partition('.')[0]} (their loops and searches "
            "are not there); leave them out, or take predict"
        )
    for vector in chosen.light_vectors:
        vector.lepton_width()
    request = Request(chosen, known, limit, dm_mass)
    rows = [row for make in _ROWS for row in make(request)]
    there = {row.name for row in rows}
    empty = [
        Row(name, equation, None, None, unit, "not sensitive", "no light vector in the model")
        for name, equation, unit in _OF_VECTORS
        if name not in there
    ]
    ordered = sorted([*rows, *empty], key=lambda row: NAMES.index(row.name))
    missing = [
        Row(name, "-", None, None, "1", "unknown", f"arXiv:{one.arxiv}", note=f"{one.what}: {one.why}")
        for name, one in known.missing.items()
    ]
    return Constraints((*ordered, *missing), chosen, known)


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
    "bplus_kplus_inv_spectrum",
    "br_b0_kstar0_chi_chi",
    "br_bplus_kstarplus_chi_chi",
    "br_xs_inv_k",
    "br_xs_inv_kstar",
    "br_xs_inv",
    *SPECTRA,
    "b0_kstar0_dimuon",
    "bplus_kplus_dimuon",
    "ee_four_muons",
    "ee_mumu_invisible",
    "ee_gamma_invisible",
    "na64_e",
    "delta_a_e",
    "z_ee_width",
)
"""Names of the constraints, in the order of the table; what a data set says is missing comes after them."""
_UNCONSTRAINED = ("light_scalars", "contacts")
"""Lists of a model about which most of the constraints would be wrong."""
_OF_VECTORS = (
    ("width", "(2)", "GeV"),
    ("g_bs_max", "(4)", "1"),
    ("sigma_v_fermion", "(11)", "cm^3/s"),
    ("sigma_v_scalar", "(12)", "cm^3/s"),
    ("b0_kstar0_dimuon", "peak", "1"),
    ("bplus_kplus_dimuon", "peak", "1"),
    ("ee_four_muons", "-", "1"),
    ("ee_mumu_invisible", "-", "1"),
    ("ee_gamma_invisible", "-", "1"),
    ("na64_e", "-", "1"),
)
_ROWS: tuple[Callable[[Request], list[Row]], ...] = (
    widths,
    kaons,
    g_bs,
    magnetic_moments,
    bs_mumu,
    mixing,
    z_couplings,
    trident,
    annihilation,
    measured_kaon,
    excited_kaons,
    inclusive,
    spectra,
    dimuon_peaks,
    searches,
)
