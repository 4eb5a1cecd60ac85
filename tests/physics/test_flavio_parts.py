"""flavio comes in without a word, and leaves the loggers as they were."""

import os
import subprocess
import sys


def test_an_import_below_flavio_sets_the_root_logger():
    """What the next test guards against; if this fails, the guard can go."""
    script = "import logging, parton.io; root = logging.getLogger(); print(root.level, len(root.handlers))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.split() == ["20", "1"]


def test_a_first_figure_is_quiet(tmp_path):
    """On an empty cache flavio is imported, then fonts are embedded."""
    figure = tmp_path / "figure.pdf"
    command = ["-m", "darkpenguin.generator", "predict", "R_K+", "--bins", "1.1,6", "--figure", str(figure)]
    environment = {**os.environ, "DARKPENGUIN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert figure.stat().st_size > 0
    assert done.stderr == f"figure: {figure}\n"
