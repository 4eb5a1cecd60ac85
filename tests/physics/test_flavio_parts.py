"""flavio beside a package particle that no longer has the table of 2022."""

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

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
AFTER_A_FAILURE = """
import sys
from pathlib import Path
import particle.data
particle.data.basepath = Path(sys.argv[1])
try:
    import flavio
except FileNotFoundError:
    from darkpenguin.physics import flavio_parts
    import flavio   # the whole of it now
    print(flavio.sm_prediction("BR(Bs->mumu)"))
"""
ALTERED = """
from darkpenguin.physics.pdg_tables import pdg_tables
with pdg_tables():
    import flavio
flavio.default_parameters.set_constraint("Vcb", "0.045(1)")
flavio.config["implementation"]["B->K form factor"] = "B->K BCL3 t0=0"
flavio.config["renormalization scale"]["bpll"] = 4.2
from darkpenguin.generator.sampler.stored import sampling_table
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model
print(sampling_table(get_channel("B+->K+mumu"), get_model("sm")).total_rate)
assert flavio.config["implementation"]["B->K form factor"] == "B->K BCL3 t0=0"
assert flavio.config["renormalization scale"]["bpll"] == 4.2
assert flavio.default_parameters.get_central("Vcb") == 0.045
"""


def test_our_table_is_that_of_particle():
    theirs = resources.files("particle.data") / OURS.name
    if not theirs.is_file():
        pytest.skip("this version of particle has no table of 2022: ours is the one in use")
    assert OURS.read_bytes() == theirs.read_bytes()


def test_flavio_has_the_same_parameters_without_the_table_of_particle(tmp_path):
    from darkpenguin.physics.flavio_parts import default_parameters

    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == default_parameters.get_central_all()


def test_flavio_is_whole_after_an_import_that_failed(tmp_path):
    import flavio

    done = subprocess.run([sys.executable, "-c", AFTER_A_FAILURE, tmp_path], capture_output=True, text=True, check=True)
    assert float(done.stdout) == flavio.sm_prediction("BR(Bs->mumu)")


def test_yaml_is_read_as_without_flavio():
    """flavio lets PyYAML's loaders make ordered dictionaries, of everybody's files."""
    from darkpenguin.kinematics.base.files import parse_yaml
    from darkpenguin.physics import flavio_parts

    assert flavio_parts.config
    found = parse_yaml("a: {b: 1}")
    assert (type(found), type(found["a"])) == (dict, dict)


def test_what_somebody_makes_of_flavio_is_not_kept_for_others(tmp_path):
    """Else a script that changes flavio's own parameters would change every later run: the rate by 15 % here."""
    from darkpenguin.generator.sampler.tables import channel_table
    from darkpenguin.physics.channels import get_channel
    from darkpenguin.physics.models import get_model

    environment = {**os.environ, "DARKPENGUIN_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ALTERED], env=environment, capture_output=True, text=True, check=True)
    assert any(tmp_path.glob("parameters-*"))
    assert float(done.stdout) == channel_table(get_channel("B+->K+mumu"), get_model("sm")).total_rate
