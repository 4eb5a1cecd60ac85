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
    from .generator.events import EventSample
    from .generator.generate import generate, run
    from .generator.predict import predict
    from .generator.runcard import RunCard, make_card, read_card
    from .generator.validate import validate_file
    from .generator.writers import open_writer, read_events
    from .kinematics.errors import InputError
    from .physics.channels import CHANNELS, Channel, get_channel
    from .physics.models import BENCHMARKS, Heavy, LightVector, Model, apply_settings, get_model

__version__ = "0.1.0"

_HOMES = {
    "BENCHMARKS": "physics.models",
    "CHANNELS": "physics.channels",
    "Channel": "physics.channels",
    "EventSample": "generator.events",
    "Heavy": "physics.models",
    "InputError": "kinematics.errors",
    "LightVector": "physics.models",
    "Model": "physics.models",
    "RunCard": "generator.runcard",
    "apply_settings": "physics.models",
    "generate": "generator.generate",
    "get_channel": "physics.channels",
    "get_model": "physics.models",
    "make_card": "generator.runcard",
    "open_writer": "generator.writers",
    "predict": "generator.predict",
    "read_card": "generator.runcard",
    "read_events": "generator.writers",
    "run": "generator.generate",
    "validate_file": "generator.validate",
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
