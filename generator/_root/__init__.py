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
    from .generator import statistics
    from .generator.analysis.binning import bin
    from .generator.analysis.histograms import histograms, write_histograms
    from .generator.analysis.migration import migrations
    from .generator.analysis.validate import validate
    from .generator.analysis.weights import weigh
    from .generator.figures.figure import figure
    from .generator.files.foreign import EventMap
    from .generator.files.hepmc import write_hepmc
    from .generator.files.sample import EventSample, read_events
    from .generator.files.writers import open_writer
    from .generator.fits.card import FitCard
    from .generator.fits.elsewhere import global_significance
    from .generator.fits.fit import fit
    from .generator.fits.limits import fit_limits
    from .generator.fits.profile import profile
    from .generator.run.card import RunCard, make_card, read_card
    from .generator.run.generate import generate, run
    from .generator.scans.card import ScanCard
    from .generator.scans.farm import merge, plan
    from .generator.scans.files import write_scan
    from .generator.scans.parts import scan_part
    from .generator.scans.recast import recast
    from .generator.scans.scan import scan
    from .generator.statistics.counts import CountModel
    from .generator.statistics.draws import binned_toys
    from .generator.statistics.fits import fit_counts
    from .generator.toys import bridges
    from .generator.toys.couplings import count_model
    from .generator.toys.datasets import Dataset, dataset_names, get_dataset
    from .generator.toys.events import events_of_toy
    from .generator.toys.files import read_toys, toys
    from .generator.toys.limits import limit
    from .generator.toys.run import ToysCard
    from .generator.toys.sensitivity import SensitivityCard, sensitivity
    from .kinematics.base.errors import InputError
    from .physics.channels import CHANNELS, Channel, get_channel
    from .physics.contact import Contact
    from .physics.experiment.comparison import compare
    from .physics.experiment.verdicts import constraints
    from .physics.light_scalar import LightScalar
    from .physics.light_vector import LightVector
    from .physics.models import BENCHMARKS, Heavy, Model, apply_settings, as_model, get_model
    from .physics.predict import predict
    from .physics.theory import Theory, as_theory

__version__ = "0.1.0"

_HOMES = {  # module that a name is defined in; a colon stands for the module itself
    "BENCHMARKS": "physics.models",
    "CHANNELS": "physics.channels",
    "Channel": "physics.channels",
    "Contact": "physics.contact",
    "CountModel": "generator.statistics.counts",
    "Dataset": "generator.toys.datasets",
    "EventMap": "generator.files.foreign",
    "EventSample": "generator.files.sample",
    "FitCard": "generator.fits.card",
    "Heavy": "physics.models",
    "InputError": "kinematics.base.errors",
    "LightScalar": "physics.light_scalar",
    "LightVector": "physics.light_vector",
    "Model": "physics.models",
    "RunCard": "generator.run.card",
    "ScanCard": "generator.scans.card",
    "SensitivityCard": "generator.toys.sensitivity",
    "Theory": "physics.theory",
    "ToysCard": "generator.toys.run",
    "apply_settings": "physics.models",
    "as_model": "physics.models",
    "as_theory": "physics.theory",
    "bin": "generator.analysis.binning",
    "binned_toys": "generator.statistics.draws",
    "bridges": "generator.toys.bridges:",
    "compare": "physics.experiment.comparison",
    "constraints": "physics.experiment.verdicts",
    "count_model": "generator.toys.couplings",
    "dataset_names": "generator.toys.datasets",
    "events_of_toy": "generator.toys.events",
    "figure": "generator.figures.figure",
    "fit": "generator.fits.fit",
    "fit_counts": "generator.statistics.fits",
    "fit_limits": "generator.fits.limits",
    "generate": "generator.run.generate",
    "get_channel": "physics.channels",
    "get_dataset": "generator.toys.datasets",
    "get_model": "physics.models",
    "global_significance": "generator.fits.elsewhere",
    "histograms": "generator.analysis.histograms",
    "limit": "generator.toys.limits",
    "make_card": "generator.run.card",
    "merge": "generator.scans.farm",
    "migrations": "generator.analysis.migration",
    "open_writer": "generator.files.writers",
    "plan": "generator.scans.farm",
    "predict": "physics.predict",
    "profile": "generator.fits.profile",
    "read_card": "generator.run.card",
    "read_events": "generator.files.sample",
    "read_toys": "generator.toys.files",
    "recast": "generator.scans.recast",
    "run": "generator.run.generate",
    "scan": "generator.scans.scan",
    "scan_part": "generator.scans.parts",
    "sensitivity": "generator.toys.sensitivity",
    "statistics": "generator.statistics:",
    "toys": "generator.toys.files",
    "validate": "generator.analysis.validate",
    "weigh": "generator.analysis.weights",
    "write_hepmc": "generator.files.hepmc",
    "write_histograms": "generator.analysis.histograms",
    "write_scan": "generator.scans.files",
}

__all__ = [
    "BENCHMARKS",
    "CHANNELS",
    "Channel",
    "Contact",
    "CountModel",
    "Dataset",
    "EventMap",
    "EventSample",
    "FitCard",
    "Heavy",
    "InputError",
    "LightScalar",
    "LightVector",
    "Model",
    "RunCard",
    "ScanCard",
    "SensitivityCard",
    "Theory",
    "ToysCard",
    "__version__",
    "apply_settings",
    "as_model",
    "as_theory",
    "bin",
    "binned_toys",
    "bridges",
    "compare",
    "constraints",
    "count_model",
    "dataset_names",
    "events_of_toy",
    "figure",
    "fit",
    "fit_counts",
    "fit_limits",
    "generate",
    "get_channel",
    "get_dataset",
    "get_model",
    "global_significance",
    "histograms",
    "limit",
    "make_card",
    "merge",
    "migrations",
    "open_writer",
    "plan",
    "predict",
    "profile",
    "read_card",
    "read_events",
    "read_toys",
    "recast",
    "run",
    "scan",
    "scan_part",
    "sensitivity",
    "statistics",
    "toys",
    "validate",
    "weigh",
    "write_hepmc",
    "write_histograms",
    "write_scan",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `darkpenguin --help` pays for none of them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    place, colon, _ = home.partition(":")
    module = import_module(f".{place}", __name__)
    value = module if colon else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
