"""A decay mode is one row: a toy of one, in a process of its own, is generated, analysed, predicted and fitted."""

import subprocess
import sys
from pathlib import Path

import pytest
from darkpenguin.physics import modes
from darkpenguin.physics.channels import CHANNELS, combine


def test_a_mode_is_one_row(tmp_path):
    command = [sys.executable, Path(__file__).with_name("toy_channel.py"), tmp_path]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.endswith("a row is a mode\n")


def test_the_table_is_not_changed_by_it():
    assert not any(channel.transition.number == 109 for channel in CHANNELS.values())


@pytest.mark.parametrize("field", ["number", "labels"])
def test_a_number_or_a_label_that_is_taken_is_an_error(field):
    """Two modes of one number would be one channel in files; two particles of one label, one set of columns."""
    from dataclasses import replace

    row = modes.TRANSITIONS[2]
    twice = tuple(replace(particle, label="k") for particle in row.daughters)
    bent = replace(row, number=1) if field == "number" else replace(row, number=9, daughters=twice)
    others = tuple(other for other in modes.TRANSITIONS if other != row)
    assert len(combine((*others, row), modes.PAIRS)) == len(CHANNELS)
    with pytest.raises(ValueError, match="its number"):
        combine((*others, bent), modes.PAIRS)
