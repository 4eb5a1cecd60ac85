"""darkpenguin: rare B decays with a light vector resonance, generated exactly.

Example:
    >>> import darkpenguin as dp
    >>> sample = dp.generate("B0->K*0mumu", model="fig2", events=1e4, seed=7)
    >>> sample.to_pandas().shape
    (10000, 8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator.analysis.validate import validate_file
    from .generator.files.sample import EventSample, read_events
    from .generator.files.writers import open_writer
    from .generator.run.card import RunCard, make_card, read_card
    from .generator.run.generate import generate, run
    from .kinematics.base.errors import InputError
    from .physics.channels import CHANNELS, Channel, get_channel
    from .physics.light_vector import LightVector
    from .physics.models import BENCHMARKS, Heavy, Model, apply_settings, get_model
    from .physics.predict import predict

__version__ = "0.1.0"

_HOMES = {
    "BENCHMARKS": "physics.models",
    "CHANNELS": "physics.channels",
    "Channel": "physics.channels",
    "EventSample": "generator.files.sample",
    "Heavy": "physics.models",
    "InputError": "kinematics.base.errors",
    "LightVector": "physics.light_vector",
    "Model": "physics.models",
    "RunCard": "generator.run.card",
    "apply_settings": "physics.models",
    "generate": "generator.run.generate",
    "get_channel": "physics.channels",
    "get_model": "physics.models",
    "make_card": "generator.run.card",
    "open_writer": "generator.files.writers",
    "predict": "physics.predict",
    "read_card": "generator.run.card",
    "read_events": "generator.files.sample",
    "run": "generator.run.generate",
    "validate_file": "generator.analysis.validate",
}

__all__ = [
    "BENCHMARKS",
    "CHANNELS",
    "Channel",
    "EventSample",
    "Heavy",
    "InputError",
    "LightVector",
    "Model",
    "RunCard",
    "__version__",
    "apply_settings",
    "generate",
    "get_channel",
    "get_model",
    "make_card",
    "open_writer",
    "predict",
    "read_card",
    "read_events",
    "run",
    "validate_file",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `darkpenguin --help` pays for none of them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
