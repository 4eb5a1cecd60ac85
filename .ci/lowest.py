"""Print the lowest version that pyproject.toml allows of each dependency, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in [
    *project["dependencies"],
    *project["optional-dependencies"]["formats"],
    *project["optional-dependencies"]["test"],
]:
    if found := re.match(r"([\w-]+)(?:\[.*\])?>=([\w.]+)", requirement):
        print("{}=={}".format(*found.groups()))
