import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.resonances import OFF, PHASES, resonance_rows
from darkpenguin.physics.theory import Theory, as_theory


def test_every_resonance_has_a_row_and_a_phase_in_every_preset():
    assert list(resonance_rows()) == [
        "rho",
        "omega",
        "phi",
        "J/psi",
        "psi(2S)",
        "psi(3770)",
        "psi(4040)",
        "psi(4160)",
        "psi(4415)",
    ]
    for phases in PHASES.values():
        assert set(phases) == set(resonance_rows())


def test_rows_are_sound():
    for row in resonance_rows().values():
        assert 0 < row.width < 0.2 < row.mass
        assert 0 < row.electrons < 0.1
        for known in row.decays.values():
            assert 0 < known["branching"] < 2e-3
            assert known.get("f_long", 0.0) + known.get("f_perp", 0.0) < 1
            assert ("phi_par" in known) == ("phi_perp" in known)


def test_some_are_off():
    assert set(as_theory({"nonlocal": "resonances"}).lines) == set(resonance_rows()) - OFF
    on = {"psi(4040)": {"on": True}, "J/psi": {"on": False}}
    assert "psi(4040)" in as_theory({"nonlocal": "resonances", "resonances": on}).lines
    assert Theory().lines == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"resonances": {"psi(4040)": {"phase": 1.0}}}, "theory.resonances.psi(4040).phase: psi(4040) is off; add on"),
        ({"resonances": {"J/psi": {"on": False, "phase": 1.0}}}, "J/psi.phase: J/psi is off"),
        ({"resonances": {"jpsi": {"phase": 1.0}}}, "theory.resonances.jpsi: no such resonance; did you mean J/psi?"),
        ({"resonances": {"J/psi": {"width": -1e-4}}}, "J/psi.width = -0.0001: should be greater than 0"),
        ({"resonances": {"J/psi": {"mass": 0}}}, "J/psi.mass = 0: should be greater than 0"),
        ({"resonances": {"J/psi": {"fase": 1}}}, "J/psi.fase: no such key; did you mean phase?"),
        ({"resonances": {"J/psi": {"branching": {"B+->K": 1e-3}}}}, "no such transition; did you mean B+->K+"),
        ({"resonances": {"J/psi": {"branching": {"B+->K+": 2.0}}}}, "should be less than or equal to 1"),
        (
            {"resonances": {"psi(4415)": {"on": True}}},
            "psi(4415): no branching fraction of it is known; give branching",
        ),
        ({"phases": "both"}, "theory.phases = 'both': no such set of phases"),
        ({"subtraction": -1.0}, "theory.subtraction: nonlocal = 'resonances' subtracts nothing; take 'dispersive'"),
        ({"nonlocal": "flavio", "phases": "opposite"}, "theory.phases: nonlocal = 'flavio' has no resonances"),
        (
            {"nonlocal": "flavio", "resonances": {"J/psi": {"phase": 1.0}}},
            "theory.resonances: nonlocal = 'flavio' has no resonances",
        ),
        ({"nonlocal": "dispersive", "subtraction": 1.0}, "theory.subtraction = 1.0: should be less than or equal to 0"),
        ({"nonlocal": "charm"}, "theory.nonlocal = 'charm': should be 'flavio', 'resonances' or 'dispersive'"),
    ],
)
def test_mistakes_are_named(table, message):
    with pytest.raises(InputError) as caught:
        as_theory({"nonlocal": "resonances", **table})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_theory_survives_its_own_provenance():
    theory = as_theory({"nonlocal": "dispersive", "resonances": {"psi(2S)": {"phase": 1.0}}})
    for one in (theory, Theory()):
        assert as_theory(one.model_dump(mode="json")) == one
        assert hash(one) == hash(as_theory(one.model_dump(mode="json")))
