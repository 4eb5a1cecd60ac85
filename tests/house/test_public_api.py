"""The public names, frozen: adding one is a decision, removing one breaks somebody."""

import darkpenguin

NAMES = {
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
}


def test_the_names_are_these():
    assert set(darkpenguin.__all__) == NAMES
    assert set(dir(darkpenguin)) >= NAMES


def test_every_name_can_be_used():
    for name in NAMES:
        assert getattr(darkpenguin, name) is not None
