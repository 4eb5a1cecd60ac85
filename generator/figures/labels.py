"""What models are called in legends: benchmarks by what is in them, others by the name that their user gave."""

from __future__ import annotations

from ...kinematics.base.errors import printable
from ...physics.models import BENCHMARKS, Model
from ..toys.hypothesis import Hypothesis


def model_label(model: Model) -> str:
    """How a model is called in a legend.

    >>> from darkpenguin.physics.models import as_model
    >>> model_label(as_model("fig1-2.5gev"))
    '$m_V = 2.5$ GeV, $g_{bs} = -1.75 \\\\times 10^{-8}$'
    >>> model_label(as_model("sm")), model_label(as_model({"name": "mine", "heavy": {"C9_mu": -1.0}}))
    ('Standard Model', 'mine')
    """
    if model.name.partition(",")[0] not in BENCHMARKS:  # behind the comma stands what was changed
        return printable(model.name)
    parts = [interaction.legend() for interaction in model.interactions.values()]
    shifts = {k: v for k, v in model.heavy.model_dump().items() if v}
    if shifts:
        parts.append("heavy")
        parts += [f"$C_{{{k[1:].split('_')[0]}}} = {v.real:g}$" for k, v in shifts.items()]
    return ", ".join(parts) or "Standard Model"


def hypothesis_label(hypothesis: Hypothesis) -> str:
    """How a hypothesis of toys is called in a legend: as its card says, else as its model; what floats is named.

    >>> hypothesis_label(Hypothesis(model="heavy-c9", scan={"heavy.C9_mu": [-2.0, 0.0, 5]}))
    'heavy, $C_{9} = -1.1$ (heavy.C9_mu free)'
    """
    if hypothesis.label:
        return printable(hypothesis.label)
    floating = ", ".join(f"{path} free" for path in hypothesis.scan)
    name = model_label(hypothesis.base())
    return f"{name} ({floating})" if floating else name
