"""Values of pyhs3 for an HS3 workspace, in an environment of its own: pyhs3 and darkpenguin ask for different numba.

    python -m venv other; other/bin/pip install pyhs3; other/bin/python tests/reference/hs3.py

Reads ``hs3.json`` beside it: a workspace and points of its parameters. Prints -2 ln L of pyhs3 at each, less that at
the first, and writes them into the file. pyhs3 0.4.2 made those that are stored.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pyhs3
import pytensor

FILE = Path(__file__).with_name("hs3.json")


def main() -> None:
    stored = json.loads(FILE.read_text())
    workspace = pyhs3.Workspace(**stored["workspace"])
    model = workspace.model(workspace.analyses["limit"], progress=False)
    value = model.log_prob
    inputs = {x.name: x for x in pytensor.graph.traversal.explicit_graph_inputs([value]) if x.name}
    function = pytensor.function(list(inputs.values()), value, on_unused_input="ignore")
    found = []
    for point in stored["points"]:
        known = {**model.data, **point}
        found.append(-2.0 * float(np.squeeze(function(*(np.asarray(known[name]) for name in inputs)))))
    relative = [x - found[0] for x in found]
    for point, old, new in zip(stored["points"], stored.get("pyhs3", relative), relative, strict=True):
        print(point, old, new)
    stored |= {"version": importlib.metadata.version("pyhs3"), "pyhs3": relative}
    FILE.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
