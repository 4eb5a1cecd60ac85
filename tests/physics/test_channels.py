"""The registry of channels against the PDG numbers of the `particle` package, and its promises to files."""

import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import CHANNELS, channel_by_index, get_channel

# the numbers in the `channel` column of files that exist: they may be added to, never changed
FROZEN = {
    "B+->K+mumu": 1, "B0->K0mumu": 2, "B0->K*0mumu": 3, "B+->K*+mumu": 4,
    "B+->K+ee": 11, "B0->K0ee": 12, "B0->K*0ee": 13, "B+->K*+ee": 14,
    "B+->K+chichi": 21, "B0->K0chichi": 22, "B0->K*0chichi": 23, "B+->K*+chichi": 24,
    "B+->K+nunu": 31, "B0->K0nunu": 32, "B0->K*0nunu": 33, "B+->K*+nunu": 34,
    "Bs->phimumu": 5, "Bs->phiee": 15, "Bs->phichichi": 25, "Bs->phinunu": 35,
    "B+->K+tautau": 41, "B0->K0tautau": 42, "B0->K*0tautau": 43, "B+->K*+tautau": 44, "Bs->phitautau": 45,
}  # fmt: skip


def test_numbers_never_change():
    assert {name: CHANNELS[name].index for name in FROZEN} == FROZEN
    assert len({channel.index for channel in CHANNELS.values()}) == len(CHANNELS)
    for channel in CHANNELS.values():
        assert channel_by_index(channel.index) is channel
        assert get_channel(channel.name) is channel


@pytest.mark.parametrize("name", list(FROZEN)[:8])
def test_particles(name):
    from particle import Particle

    channel = CHANNELS[name]
    parent, hadron, lepton = (
        Particle.from_pdgid(row.pdg)
        for row in (channel.transition.parent, channel.transition.hadron, channel.pair.particles[1])
    )
    assert lepton.charge == -1
    assert parent.charge == hadron.charge
    assert parent.mass / 1000 == pytest.approx(5.28, abs=0.001)
    low, high = channel.q2_limits()
    assert low == pytest.approx(4e-6 * lepton.mass**2, rel=1e-6, abs=0)
    # flavio's K*+ is 4 MeV heavier than the PDG's
    assert high == pytest.approx(1e-6 * (parent.mass - hadron.mass) ** 2, rel=2e-3, abs=0)
    daughters = [Particle.from_pdgid(row.pdg) for row in channel.transition.daughters]
    assert len(daughters) == (2 if channel.spin else 0)
    if daughters:
        assert sum(d.charge for d in daughters) == hadron.charge
        # a K* from a b-bar holds an s-bar, so the kaon is K+ or K0; K pi with a charged pion are 2/3 of all
        assert daughters[0].pdgid in (321, 311)
        assert abs(daughters[1].charge) == 1
        assert channel.branching == pytest.approx(2 / 3)
    else:
        assert channel.branching == 1.0


def test_a_phi_is_its_own_conjugate():
    """Numbers and masses of the `particle` package; K+ K- of a phi, whichever B_s it came from."""
    from darkpenguin.physics.final_state import masses, pdg_ids
    from particle import Particle

    channel = CHANNELS["Bs->phimumu"]
    ids = {flavour: pdg_ids(channel, flavour) for flavour in (1, -1)}
    assert ids[1] == {"b": 531, "phi": 333, "km": -321, "kp": 321, "lp": -13, "lm": 13}
    assert ids[-1] == {**ids[1], "b": -531}
    for label, mass in masses(channel).items():
        assert mass == pytest.approx(Particle.from_pdgid(ids[1][label]).mass / 1000, rel=2e-5, abs=0)
    assert channel.transition.width == pytest.approx(Particle.from_pdgid(333).width / 1000, rel=1e-3, abs=0)
    assert not channel.self_tagging
    assert "width difference" in channel.remark
    assert {row.name for row in CHANNELS.values() if row.remark} == {n for n in FROZEN if n.startswith("Bs->phi")}


def test_line_shapes():
    """A K* has a width; the S wave below it is known beside charged leptons alone."""
    assert CHANNELS["B0->K*0ee"].shapes == ("narrow", "pwave", "swave")
    assert CHANNELS["B0->K*0nunu"].shapes == ("narrow", "pwave")
    assert CHANNELS["B+->K+ee"].shapes == ("narrow",)


def test_coefficients_and_angles():
    vector, scalar = get_channel("B0->K*0ee"), get_channel("B0->K0ee")
    assert vector.coefficients == ("1s", "1c", "2s", "2c", "3", "4", "5", "6s", "6c", "7", "8", "9")
    assert vector.angles == ("cos_theta_k", "cos_theta_l", "phi")
    assert (scalar.coefficients, scalar.angles) == (("a", "b", "c"), ("cos_theta_l",))


@pytest.mark.parametrize("name", ["B0->K*mumu", "b0->k*0mumu", "nonsense", "", None, 3])
def test_unknown_channel(name):
    with pytest.raises(InputError, match="no such channel"):
        get_channel(name)


def test_nearest_channel_is_named():
    with pytest.raises(InputError, match=r"did you mean B0->K\*0mumu"):
        get_channel("B0->K*0mumuu")
    with pytest.raises(InputError, match="no channel has this number"):
        channel_by_index(99)
