"""flavio comes in without a word, and leaves the loggers as they were."""

import os
import subprocess
import sys

SHOW = "import logging; root = logging.getLogger(); print(root.level, len(root.handlers))"


def python(script, **environment):
    done = subprocess.run(
        [sys.executable, *script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_root_logger_is_left_alone():
    found = python(["-c", f"from darkpenguin.physics import flavio_parts; {SHOW}"])
    assert (found.stdout.split(), found.stderr) == (["30", "0"], "")


def test_an_import_below_flavio_does_set_it():
    """What the above guards against; if this fails, the guard can go."""
    assert python(["-c", f"import parton.io; {SHOW}"]).stdout.split() == ["20", "1"]


def test_a_first_figure_is_quiet(tmp_path):
    """On an empty cache flavio is imported, then fonts are embedded."""
    figure = tmp_path / "figure.pdf"
    command = ["-m", "darkpenguin.generator", "predict", "R_K+", "--bins", "1.1,6", "--figure", str(figure)]
    done = python(command, DARKPENGUIN_CACHE=str(tmp_path / "cache"))
    assert figure.stat().st_size > 0
    assert "INFO" not in done.stderr
    assert "font" not in done.stderr
