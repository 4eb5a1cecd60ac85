"""flavio beside a package particle that no longer has the table of 2022."""

import json
import subprocess
import sys
from pathlib import Path

import particle.data
import pytest
from darkpenguin import physics

OURS = Path(physics.__file__).with_name("particle2022.csv")
WITHOUT = """
import json, sys
from pathlib import Path
import particle.data
particle.data.basepath = Path(sys.argv[1])   # as of particle 1: no table of 2022
from darkpenguin.physics.flavio_parts import default_parameters
assert particle.data.basepath == Path(sys.argv[1])
print(json.dumps(default_parameters.get_central_all()))
"""


def test_our_table_is_that_of_particle():
    theirs = particle.data.basepath / OURS.name
    if not theirs.is_file():
        pytest.skip("this version of particle has no table of 2022: ours is the one in use")
    assert OURS.read_bytes() == theirs.read_bytes()


def test_flavio_has_the_same_parameters_without_the_table_of_particle(tmp_path):
    from darkpenguin.physics.flavio_parts import default_parameters

    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == default_parameters.get_central_all()
