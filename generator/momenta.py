"""Four-momenta of the final state, from the sampled angles: in the B frame, or in the laboratory behind a beam.

Three-momenta are columns, ``k_px`` and so on; energies follow from them and the masses (`masses`), so the mass shell
is exact. The particles are ``k``, ``pi`` (of a K*), ``lp`` and ``lm``, the positive and the negative lepton (or
``chibar`` and ``chi``, ``nubar`` and ``nu``), and ``b`` for the B itself in the laboratory. The direction of the decay
and the momentum of the B come from random words of the event's own (Philox calls from 16 on): the same in any
partition, chunk or number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kinematics.beams import HistogramBeam, ProtonBeam, UpsilonBeam
from ..kinematics.errors import InputError
from ..kinematics.frames import convention_signs
from ..physics.channels import Channel, channel_by_index
from ..physics.models import Model, nearest
from ..physics.parameters import load_parameters
from .backend import counter_words
from .counts import array_module
from .events import EventSample, to_host
from .momenta_loops import CELLS, LOOPS, PROTON, REST, UPSILON
from .tables import alias_table

Array = NDArray[np.float64]
Beam = ProtonBeam | UpsilonBeam | HistogramBeam | None
"""A source of B mesons; None is the B at rest."""

BEAMS: Mapping[str, Beam] = MappingProxyType({
    "rest": None,
    "belle2": UpsilonBeam(),
    "lhcb-7tev": ProtonBeam(7.0),
    "lhcb-8tev": ProtonBeam(8.0),
    "lhcb-13tev": ProtonBeam(13.0),
    "lhcb-13.6tev": ProtonBeam(13.6),
})
"""Where the B comes from, by name: at rest, from the Upsilon(4S), from pp within 2 < y < 4.5."""

AXES = ("px", "py", "pz")

_PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "charged": ("lp", "lm"), "chi": ("chibar", "chi"), "neutrino": ("nubar", "nu"),
})

_KINDS: Mapping[str, Callable[..., Beam]] = MappingProxyType({
    "pp": ProtonBeam, "upsilon4s": UpsilonBeam, "histogram": HistogramBeam.checked,
})


def resolve_beam(value: Any) -> str | dict[str, Any] | None:
    """A beam as a run card keeps it: a name of `BEAMS`, or a table of plain numbers with its ``kind``.

    Tables: ``{kind = "pp", energy = 13.0, rapidity = [2, 4.5]}``; ``{kind = "upsilon4s", electron = 7.0, ...}``
    (fields of `UpsilonBeam`); ``{kind = "histogram", pt_edges, eta_edges, weights, variable = "eta" | "y"}``, or
    with ``file`` and ``name`` of a two-dimensional histogram (p_T first) in a ROOT file, which is read here.

    Raises:
        InputError: no such beam, with the nearest known one, or a table that cannot be used.

    >>> resolve_beam("belle2")
    'belle2'
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        if value not in BEAMS:
            raise InputError(f"beam = {value!r}: no such beam; {nearest(str(value), BEAMS)}")
        return str(value)
    table = dict(value)
    if "file" in table:
        table |= _read_histogram(str(table.pop("file")), str(table.pop("name", "")))
    plain = {key: _plain(item) for key, item in table.items()}
    beam_of(plain)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read_histogram(path: str, name: str) -> dict[str, Any]:
    import uproot

    try:
        with uproot.open(path) as file:
            contents, *edges = file[name].to_numpy()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"beam.file = {path!r}: no histogram {name!r} can be read from it ({error})") from None
    if len(edges) != 2:
        raise InputError(f"beam.name = {name!r}: {len(edges)} dimensions; needs two, p_T and eta or y")
    return {"kind": "histogram", "pt_edges": edges[0], "eta_edges": edges[1], "weights": contents}


def beam_of(value: str | Mapping[str, Any] | Beam) -> Beam:
    """The beam that a name, or a table as in `resolve_beam`, stands for.

    >>> beam_of({"kind": "pp", "energy": 8.0}).energy
    8.0
    """
    if isinstance(value, str):
        return BEAMS[str(resolve_beam(value))]
    if not isinstance(value, Mapping):
        return value
    table = dict(value)
    kind = table.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"beam.kind = {kind!r}: one of {', '.join(_KINDS)}")
    if isinstance(table.get("rapidity"), list):
        table["rapidity"] = tuple(table["rapidity"])
    try:
        return _KINDS[kind](**table)
    except TypeError as error:
        raise InputError(f"beam: {error}; these are the fields of a beam of kind {kind}") from None


def particles(channel: Channel) -> tuple[str, ...]:
    """Particles whose momenta are columns, the B first; of the pair, that whose angle is meant comes last.

    >>> from darkpenguin.physics.channels import get_channel
    >>> particles(get_channel("B0->K*0mumu"))
    ('b', 'k', 'pi', 'lp', 'lm')
    >>> particles(get_channel("B+->K+chichi"))
    ('b', 'k', 'chibar', 'chi')
    """
    return ("b", "k", *(("pi",) if channel.spin == 1 else ()), *_PAIRS[channel.dynamics])


def momentum_columns(channel: Channel) -> tuple[str, ...]:
    """Names of the momentum columns of a channel (GeV).

    >>> from darkpenguin.physics.channels import get_channel
    >>> momentum_columns(get_channel("B+->K+ee"))[:4]
    ('b_px', 'b_py', 'b_pz', 'k_px')
    """
    return tuple(f"{particle}_{axis}" for particle in particles(channel) for axis in AXES)


def masses(channel: Channel, model: Model | None = None) -> dict[str, float]:
    """Mass of each particle (GeV); that of χ is the model's.

    Raises:
        InputError: χ without a model, or light vectors with different χ: an event does not know which of them made it.

    >>> from darkpenguin.physics.channels import get_channel
    >>> round(masses(get_channel("B0->K*0mumu"))["pi"], 5)
    0.13957
    """
    known = load_parameters()
    names = [channel.parent, *(channel.daughters or (channel.hadron,))]
    of_pair = _chi_mass(model) if channel.dynamics == "chi" else channel.lepton_mass()
    values = [*(known["m_" + name.replace("pi-", "pi+")] for name in names), of_pair, of_pair]
    return dict(zip(particles(channel), values, strict=True))


def _chi_mass(model: Model | None) -> float:
    found = {vector.m_chi for vector in model.light_vectors} if model is not None else set()
    if len(found) != 1:
        raise InputError(f"light_vectors: momenta need one m_chi, and the model has {sorted(found) or 'none'} (GeV); "
                         "generate the light vectors one by one, or leave the beam out")
    return float(found.pop())


def pdg_ids(channel: Channel, flavour: int, model: Model | None = None) -> dict[str, int]:
    """Monte Carlo number of each particle in a decay of the B (+1) or of its conjugate (-1).

    χ is dark matter of spin 1/2 (52), or of spin 0 (51) if the model says so; neutrinos of any flavour go by ν_μ's.

    >>> from darkpenguin.physics.channels import get_channel
    >>> pdg_ids(get_channel("B0->K*0mumu"), -1)
    {'b': -511, 'k': -321, 'pi': 211, 'lp': -13, 'lm': 13}
    """
    daughters = channel.daughter_pdg or (channel.hadron_pdg,)
    hadrons = [flavour * number for number in (channel.parent_pdg, *daughters)]
    pair = channel.lepton_pdg
    if channel.dynamics == "chi" and model is not None and {vector.chi for vector in model.light_vectors} == {"scalar"}:
        pair = 51
    return dict(zip(particles(channel), [*hadrons, -pair, pair], strict=True))


def momenta(
    channel: Channel,
    columns: Mapping[str, Any],
    convention: str = "lhcb",
    beam: str | Mapping[str, Any] | Beam = None,
    seed: int = 0,
    start: int = 0,
    threads: int | None = None,
    precision: str = "float64",
    *,
    at_rest: bool = False,
    model: Model | None = None,
    out: Array | None = None,
) -> dict[str, Array]:
    """Momenta of consecutive events, computed in float64 where the events are: a GPU if their columns are CuPy's.

    Args:
        channel: of all events.
        columns: q2, the angles and the flavour of the events; ``m_kpi`` if the K* has a width.
        convention: of these angles.
        beam: entry of `BEAMS`, a table as in `resolve_beam`, or a beam; None for the B frame with the kaon system
            along z, the kaon in the x-z plane.
        seed: of the random numbers; as for the events themselves.
        start: number of the first event in its channel.
        threads: CPU threads; all without it.
        precision: of the columns that are returned.
        at_rest: with no beam, turn the decay into a random direction.
        model: where χ has its mass from.
        out: array (columns, n) to be filled, instead of a new one.

    Returns:
        Columns named as by `momentum_columns` (GeV).

    Raises:
        InputError: an unknown beam or convention, or χ of unknown mass.

    >>> from darkpenguin.physics.channels import get_channel
    >>> one = {"q2": [4.0], "cos_theta_l": [0.3], "flavour": [1]}
    >>> p = momenta(get_channel("B+->K+mumu"), one)
    >>> abs(float(p["k_pz"][0] + p["lp_pz"][0] + p["lm_pz"][0])) < 1e-14
    True
    """
    from .toys import split_work

    moving = beam is not None or at_rest
    source = beam_of(beam) if beam is not None else None
    (k0, k1), stream = counter_words(seed, channel.index, start, start + len(columns["q2"]))
    mass = masses(channel, model)
    xp = array_module(columns["q2"])
    data = [xp.ascontiguousarray(xp.asarray(columns[name])) for name in ("q2", *channel.angles)]
    flavour = xp.ascontiguousarray(xp.asarray(columns["flavour"], dtype=np.int32))
    plus, minus = (np.array(convention_signs(convention, f), dtype=np.float64) for f in (1, -1))
    signs = np.stack([(plus + minus) / 2, (plus - minus) / 2], axis=1).ravel()
    m_kpi = xp.asarray([load_parameters()["m_" + channel.hadron]])
    if "m_kpi" in columns:
        m_kpi = xp.ascontiguousarray(xp.asarray(columns["m_kpi"], dtype=np.float64))
    names = momentum_columns(channel)
    if out is None:
        out = xp.empty((len(names), len(flavour)), dtype=precision)
    parents = _parents(source, mass["b"])
    numbers = np.array(list(mass.values()))
    if xp is not np:
        from .momenta_gpu import launch

        kind, *arrays = parents
        launch(channel.spin, start, stream, k0, k1, *data, flavour, m_kpi, xp.asarray(signs), xp.asarray(numbers),
               moving, kind, *map(xp.asarray, arrays), out)
        return dict(zip(names, out, strict=True))

    def work(low: int, high: int) -> None:
        part = slice(low, high)
        LOOPS[channel.spin](
            start + low, stream, k0, k1, *(column[part] for column in data), flavour[part],
            m_kpi[part] if len(m_kpi) > 1 else m_kpi, signs, numbers, moving, *parents, out[:, part])

    split_work(work, len(flavour), threads if len(flavour) > 10_000 else 1)
    return dict(zip(names, out, strict=True))


@lru_cache(maxsize=8)
def _parents(source: Beam, m_b: float) -> tuple[int, Array, Array, NDArray[np.uint64]]:
    """Kind of a beam, its constants, the cells it draws from and their alias table."""
    constants, cells, alias = np.zeros(8), np.zeros(2), np.zeros(1, dtype=np.uint64)
    kind = REST
    if isinstance(source, HistogramBeam):
        kind, cells, alias = CELLS, source.cells().ravel(), alias_table(source.probabilities())
        constants[0] = m_b if source.variable == "y" else 0.0
    elif source is not None:
        found = source.constants()
        constants[: len(found)] = found
        kind = PROTON if isinstance(source, ProtonBeam) else UPSILON
        if isinstance(source, UpsilonBeam):
            cells = source.momentum_edges(m_b)
    return kind, constants, cells, alias


def four_momenta(sample: EventSample) -> Any:
    """Awkward records of Momentum4D of a sample of one channel: see `EventSample.to_vector`."""
    import awkward
    import vector

    numbers: Any = np.unique(to_host(sample["channel"])) if "channel" in sample.columns else []
    if len(numbers) != 1:
        raise InputError(f"channel: {len(numbers)} channels in the sample; select the events of one for four-momenta")
    channel = channel_by_index(int(numbers[0]))
    columns: Mapping[str, Any] = sample.columns
    recorded = sample.provenance.get("model")
    model = Model.model_validate(recorded) if recorded is not None else None
    if f"b_{AXES[0]}" not in columns:
        columns = momenta(channel, columns, str(sample.provenance.get("convention", "lhcb")), model=model)
    return awkward.zip({
        particle: vector.zip({
            **{axis: to_host(columns[f"{particle}_{axis}"]) for axis in AXES},
            "mass": np.full(len(sample), mass),
        })
        for particle, mass in masses(channel, model).items()
    }, depth_limit=1)
