"""Particles of a decay chain: labels, columns of momenta, masses and PDG numbers."""

from __future__ import annotations

from ..kinematics.base.errors import InputError
from .channels import Channel
from .mediators import DarkPair, Mediator
from .models import Model, kinds
from .modes import K_ZERO, Particle
from .parameters import Parameters, load_parameters

AXES = ("px", "py", "pz")
K_SHORT, K_LONG = 310, 130
"""Monte Carlo numbers of what becomes of a K⁰ (PDG)."""
MEDIATORS = frozenset(kind.pdg for kind in kinds().values() if issubclass(kind, Mediator))
"""Monte Carlo numbers of mediators."""


def particles(channel: Channel) -> tuple[str, ...]:
    """Particles whose momenta are columns, the B first; of the pair, that whose angle is meant comes last.

    >>> from darkpenguin.physics.channels import get_channel
    >>> particles(get_channel("B0->K*0mumu"))
    ('b', 'k', 'pi', 'lp', 'lm')
    >>> particles(get_channel("B+->K+chichi"))
    ('b', 'k', 'chibar', 'chi')
    """
    return tuple(particle.label for particle in channel.particles)


def neutral_kaon(channel: Channel) -> Particle | None:
    """The K⁰ of a final state, which a detector sees as K_S or K_L; None without one.

    >>> from darkpenguin.physics.channels import get_channel
    >>> neutral_kaon(get_channel("B+->K*+mumu")).label, neutral_kaon(get_channel("B0->K*0mumu"))
    ('k', None)
    """
    return next((particle for particle in channel.transition.hadrons if particle.pdg == K_ZERO.pdg), None)


def momentum_columns(channel: Channel) -> tuple[str, ...]:
    """Names of the momentum columns of a channel (GeV).

    >>> from darkpenguin.physics.channels import get_channel
    >>> momentum_columns(get_channel("B+->K+ee"))[:4]
    ('b_px', 'b_py', 'b_pz', 'k_px')
    """
    return tuple(f"{particle}_{axis}" for particle in particles(channel) for axis in AXES)


PHOTONS = ("gp", "gm")
"""Photons that the positive and the negative lepton radiate, where they do (``physics/radiation.py``)."""


def photon_columns(channel: Channel) -> tuple[str, ...]:
    """Names of the momentum columns of the photons of charged leptons (GeV); none without such leptons.

    >>> from darkpenguin.physics.channels import get_channel
    >>> photon_columns(get_channel("B+->K+ee"))[:4], photon_columns(get_channel("B+->K+nunu"))
    (('gp_px', 'gp_py', 'gp_pz', 'gm_px'), ())
    """
    return tuple(f"{photon}_{axis}" for photon in PHOTONS for axis in AXES) if channel.lepton is not None else ()


def mass_of(particle: Particle, parameters: Parameters | None = None, unlisted: float = 0.0) -> float:
    """Mass of a particle (GeV) among the parameters of a theory, flavio's without; ``unlisted`` if none has it.

    >>> from darkpenguin.physics.modes import PI_MINUS
    >>> round(mass_of(PI_MINUS), 5)
    0.13957
    """
    return unlisted if particle.mass is None else (parameters or load_parameters())[particle.mass]


def masses(channel: Channel, model: Model | None = None) -> dict[str, float]:
    """Mass of each particle (GeV), in the model's theory; that of χ is the model's.

    Raises:
        InputError: χ without a model, or mediators with different χ: an event does not know which of them made it.

    >>> from darkpenguin.physics.channels import get_channel
    >>> round(masses(get_channel("B0->K*0mumu"))["pi"], 5)
    0.13957
    """
    unlisted = _chi_mass(model) if channel.dynamics == "chi" else 0.0
    known = None if model is None else model.parameters
    return {particle.label: mass_of(particle, known, unlisted) for particle in channel.particles}


def column_masses(channel: Channel, model: Model | None = None) -> dict[str, float]:
    """`masses`, and those of photons: of all that may have momenta in columns.

    >>> from darkpenguin.physics.channels import get_channel
    >>> column_masses(get_channel("B+->K+ee"))["gp"]
    0.0
    """
    return masses(channel, model) | dict.fromkeys(PHOTONS, 0.0)


def _chi_mass(model: Model | None) -> float:
    found = {pair.mass for pair in _dark_pairs(model)}
    if len(found) != 1:
        raise InputError(
            f"model: momenta need one m_chi, and the model has {sorted(found) or 'none'} (GeV); "
            "generate its mediators one by one, or leave the beam out"
        )
    return float(found.pop())


def _dark_pairs(model: Model | None) -> set[DarkPair]:
    return {one.dark for one in model.interactions.values() if one.dark is not None} if model is not None else set()


def pdg_ids(channel: Channel, flavour: int, model: Model | None = None) -> dict[str, int]:
    """Monte Carlo number of each particle in a decay of the B (+1) or of its conjugate (-1), resonance included.

    Daughters that are the same in both decays keep their numbers, and so does a resonance of such daughters.
    χ is dark matter of spin 1/2 (52), or of spin 0 (51) if the model says so; neutrinos of any flavour go by ν_μ's.

    >>> from darkpenguin.physics.channels import get_channel
    >>> pdg_ids(get_channel("B0->K*0mumu"), -1)
    {'b': -511, 'kstar': -313, 'k': -321, 'pi': 211, 'lp': -13, 'lm': 13}
    """
    transition = channel.transition
    sign = flavour if transition.self_tagging else 1
    ids = {transition.parent.label: flavour * transition.parent.pdg}
    ids |= {particle.label: sign * particle.pdg for particle in (transition.hadron, *transition.hadrons)}
    ids |= {particle.label: particle.pdg for particle in channel.pair.particles}
    found = {pair.pdg for pair in _dark_pairs(model)} if channel.dynamics == "chi" else set()
    if len(found) == 1:
        number = found.pop()
        ids |= {particle.label: number if particle.pdg > 0 else -number for particle in channel.pair.particles}
    return ids
