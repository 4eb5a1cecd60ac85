"""The public names and their parameters, frozen: adding one is a decision, removing one breaks somebody."""

import inspect

import darkpenguin
import pytest

RUN_KEYS = (
    "set theory channels model events b_mesons accepted poisson flavour convention kpi beam kaons resolution selection "
    "efficiency q2 veto seed range part device precision threads output format compression overwrite reduce check "
    "figures"
)
FIT_KEYS = (
    "set theory model settings free constraints nuisances rates b_mesons efficiency resolution q2 search kpi "
    "backgrounds b_mass minos"
)
SCAN_KEYS = "set name model settings axes ties data groups theory"
TOY_KEYS = (
    "set truth hypotheses dataset detector luminosity observables bins depth likelihood fit fit_model fit_starts "
    "unbinned systematics theory efficiency_error normalisation resolution_error toys seed sample"
)
SENSITIVITY_KEYS = (
    "set free truth null alternative dataset together detector observables bins luminosities curve target toys versus "
    "limit best_bins feldman_cousins systematics theory efficiency_error normalisation resolution_error seed what_if"
)
FUNCTIONS = {
    "apply_settings": "model settings",
    "as_model": "source set theory",
    "as_theory": "source",
    "bin": "events bins variable unfold",
    "compare": "models data theory",
    "constraints": "model data limit dm_mass set theory",
    "dataset_names": "",
    "events_of_toy": "run toy",
    "figure": "what view output overwrite options",
    "generate": f"channels model events library {RUN_KEYS.replace('channels model events ', '')}",
    "get_channel": "name",
    "get_dataset": "name",
    "get_model": "name",
    "histograms": "rows variable",
    "limit": "path unit model set dataset luminosity observables bins theory level toys seed feldman_cousins",
    "make_card": "base keywords",
    "merge": "files output plan partial format compression overwrite progress",
    "migrations": "events bins variable",
    "open_writer": "path schema provenance format compression overwrite threads",
    "plan": "card parts output",
    "profile": "found names points reach",
    "predict": "observables model bins q2 points channel set theory kpi errors",
    "read_card": "name",
    "read_events": "path",
    "read_toys": "path",
    "run": f"card progress dask {RUN_KEYS}",
    "scan": f"card device checkpoint progress dask {SCAN_KEYS}",
    "scan_part": "card part folder device overwrite progress dask",
    "sensitivity": f"card progress threads dask {SENSITIVITY_KEYS}",
    "toys": f"card output overwrite threads device part dask progress {TOY_KEYS}",
    "validate": "events false_alarm progress threads",
    "fit": f"events card threads device {FIT_KEYS}",
    "fit_limits": f"events card coupling versus level feldman_cousins toys seed threads {FIT_KEYS}",
    "global_significance": f"events card coupling versus toys seed threads {FIT_KEYS}",
    "weigh": "events to source set theory polynomial kpi where skip output keep part overwrite threads device progress",
    "recast": "folder model masses coefficients set theory q2_max",
    "write_hepmc": "path output overwrite upsilon vertices",
    "write_histograms": "path found overwrite",
    "write_scan": "result folder overwrite at",
    "binned_toys": "model couplings seed start stop sample systematics theta threads",
    "bridges.check_workspace": "path overwrite",
    "bridges.hs3_workspace": "model counts",
    "bridges.pyhf_workspace": "null alternative counts",
    "bridges.write_workspace": "limit path overwrite",
    "count_model": (
        "free model set dataset luminosity channels bins theory efficiency_error normalisation resolution_error"
    ),
    "fit_counts": "model counts auxiliary starts chunk tolerance max_iterations",
    "statistics.asimov_fixed": "true null",
    "statistics.bounded_ratio": "model counts auxiliary value low high",
    "statistics.cls_asymptotic": "q q_asimov",
    "statistics.cls_toys": "q_observed q_signal q_background",
    "statistics.feldman_cousins": "model counts auxiliary bounds level toys seed",
    "statistics.find_limit": "model counts auxiliary level toys seed",
    "statistics.global_p_value": "q level mean_upcrossings degrees",
    "statistics.importance_p_value": "statistic log_weights observed",
    "statistics.likelihood_ratio": "counts expectations",
    "statistics.p_value": "significance",
    "statistics.profile_ratio": "model counts auxiliary fixed",
    "statistics.scan_maximum": "models counts auxiliary null",
    "statistics.significance": "p_value",
    "statistics.tail_p_value": "null_statistic observed free least",
    "statistics.toy_p_value": "null_statistic observed",
    "statistics.upcrossings": "scan level",
    "statistics.wilks_p_value": "q degrees",
}
"""Functions and the names of their parameters, in order."""
OTHERS = {
    "BENCHMARKS",
    "CHANNELS",
    "Channel",
    "Contact",
    "CountModel",
    "EventMap",
    "Dataset",
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
    "bridges",
    "statistics",
}


def public(name):
    """What a name, or a name in one of the two modules, stands for."""
    module, _, function = name.rpartition(".")
    return getattr(getattr(darkpenguin, module), function) if module else getattr(darkpenguin, function)


def functions(module):
    """Public functions that a module defines."""
    found = vars(getattr(darkpenguin, module)).values()
    return {
        f"{module}.{one.__name__}"
        for one in found
        if inspect.isfunction(one) and PLACES[module] in one.__module__ and not one.__name__.startswith("_")
    }


PLACES = {"statistics": "generator.statistics.", "bridges": "toys.bridges"}


def test_the_names_are_these():
    within = {name for module in PLACES for name in functions(module)}
    assert set(darkpenguin.__all__) | within == OTHERS | set(FUNCTIONS)
    assert set(dir(darkpenguin)) >= set(darkpenguin.__all__)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_parameters_are_these(name):
    parameters, expected = inspect.signature(public(name)).parameters, FUNCTIONS[name].split()
    assert sorted(parameters) == sorted(expected)
    placed = [key for key, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert placed == expected[: len(placed)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_public_has_an_example_and_says_what_it_refuses(name):
    text = inspect.getdoc(public(name)) or ""
    assert ">>>" in text
    assert "InputError" in text or "statistics" in name or name in ("dataset_names", "histograms", "binned_toys")


def test_every_name_can_be_used():
    for name in OTHERS:
        assert getattr(darkpenguin, name) is not None
