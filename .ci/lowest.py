"""Print the lowest version that pyproject.toml allows of each dependency, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for line in [*project["dependencies"], *extras["dask"], *extras["formats"], *extras["test"]]:
    if lowest := re.match(r"([\w-]+)(?:\[.*\])?>=([\w.]+)", line):
        print("{}=={}".format(*lowest.groups()))
