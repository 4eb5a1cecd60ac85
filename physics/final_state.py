"""Particles of a decay chain: labels, columns of momenta, masses and PDG numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..kinematics.base.errors import InputError
from .channels import Channel
from .models import Model
from .parameters import load_parameters

AXES = ("px", "py", "pz")
_PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "charged": ("lp", "lm"),
        "chi": ("chibar", "chi"),
        "neutrino": ("nubar", "nu"),
    }
)


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
        raise InputError(
            f"light_vectors: momenta need one m_chi, and the model has {sorted(found) or 'none'} (GeV); "
            "generate the light vectors one by one, or leave the beam out"
        )
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
