"""A message is one line that does nothing to a terminal and shows no value of thousands of characters."""

import pickle

from darkpenguin.kinematics.base.errors import InputError, TryAgainError, one_line


def test_values_of_any_length_make_a_short_line():
    for value in ("9" * 5000, "x y " * 5000, "\n" * 5000, "\x1b[31m" * 5000, "\u202e" * 5000, "\udc80" * 5000):
        text = str(InputError(f"events = {value}: not a number"))
        assert len(text) <= 1200
        assert text.isprintable()
        assert text.startswith("events = ")
        assert text.endswith("not a number")


def test_what_is_short_stays_as_it_is():
    text = "channel = 'B⁰→K*μμ': no such channel; did you mean B0->K*0mumu?"
    assert one_line(text) == text


def test_errors_travel_between_processes():
    again = pickle.loads(pickle.dumps(TryAgainError("disk full")))
    assert isinstance(again, InputError)
    assert isinstance(again, TryAgainError)
    assert str(again) == "disk full"
