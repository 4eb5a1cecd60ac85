"""Make ``flavio_theory.json``: observables under other parameters and form factors, by flavio alone.

    python tests/reference/flavio_theory.py           # compare with the numbers that are stored
    python tests/reference/flavio_theory.py --write    # store them

Ten vectors of all of flavio's parameters, drawn as flavio draws them (``get_random_all(size=100)`` after NumPy's seed
1704, the first ten), and form-factor sets by hand: HPQCD's coefficients as in basf2's EvtbTosllNPR.cc (getScalarFF) for
B -> K (arXiv:2207.12468), GRvDV's means from the file that flavio ships for B -> K* (arXiv:2305.06301). Imports nothing
of darkpenguin.
"""

import json
import pkgutil
import re
import sys
import warnings
from pathlib import Path

import flavio
import numpy as np
import yaml

STORED = Path(__file__).with_suffix(".json")
Q2 = (0.5, 3.0, 8.0, 8.95, 12.0, 15.0, 18.5)
NAMES = {
    "B+->K+mumu": ("dBR/dq2(B+->Kmumu)",),
    "B0->K*0mumu": (
        "dBR/dq2(B0->K*mumu)",
        *(f"{name}(B0->K*mumu)" for name in ("FL", "S3", "S4", "S5", "AFB", "S7", "S8")),
    ),
}
HPQCD = {
    "f+": (0.2546162729845652, -0.7084710010870424, 0.3096901516968882),
    "f0": (0.2546162729845652, 0.211016713841977, 0.02690776720598433),
    "fT": (0.2549078414069112, -0.6549384905373116, 0.36265904141973127),
}


def observables(parameters, channel):
    """All observables of a channel at all q2."""
    wilson = flavio.WilsonCoefficients()
    return {
        name: [float(flavio.Observable[name].prediction_par(parameters.copy(), wilson, q2)) for q2 in Q2]
        for name in NAMES[channel]
    }


def vectors():
    """Parameters by the name of the case, with the implementation of B -> K form factors where it is another."""
    central = flavio.default_parameters.get_central_all()
    np.random.seed(1704)  # noqa: NPY002   # flavio draws from NumPy's global generator
    drawn = flavio.default_parameters.get_random_all(size=100)
    found = {f"draw {i}": ({name: float(column[i]) for name, column in drawn.items()}, None) for i in range(10)}
    found["Vcb=0.039, m_c=1.2"] = (central | {"Vcb": 0.039, "m_c": 1.2}, None)
    hpqcd = {f"B->K BCL a{i}_{name}": x for name, row in HPQCD.items() for i, x in enumerate(row)}
    hpqcd |= {"B->K BCL chL": 1.3036556717286227, "B->K BCL m+": 5.415766151925566, "B->K BCL m0": 5.729495108051249}
    found["hpqcd-2022"] = (central | hpqcd, "B->K BCL3 t0=0")
    text = pkgutil.get_data("flavio.physics", "data/arXiv-2305-06301v1/BSZ-parameters-N2.yaml")
    table = yaml.safe_load(text)["B->K^*::FormFactors[parametric,BSZ]@GRvDV:2023A"]
    names = [re.sub(r".*::alpha\^(.*)_(.*)@BSZ2015", r"B->K* BSZ a\2_\1", name) for name in table["observables"]]
    poles = {"B->K* BCL m0": 5.366, "B->K* BCL m1-": 5.415, "B->K* BCL m1+": 5.829}
    found["grvdv-2023"] = (central | dict(zip(names, table["means"], strict=True)) | poles, None)
    return found


def compute():
    """Everything, by case and channel."""
    result = {}
    for case, (parameters, implementation) in vectors().items():
        kept = flavio.config["implementation"]["B->K form factor"]
        flavio.config["implementation"]["B->K form factor"] = implementation or kept
        result[case] = {channel: observables(parameters, channel) for channel in NAMES}
        flavio.config["implementation"]["B->K form factor"] = kept
    return {"flavio": flavio.__version__, "q2": list(Q2), "cases": result}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = compute()
    if "--write" in sys.argv[1:]:
        STORED.write_text(json.dumps(found, indent=1) + "\n")
    stored = json.loads(STORED.read_text())["cases"]
    for case, channels in found["cases"].items():
        for channel, rows in channels.items():
            worst = max(
                np.abs(np.array(values) / np.array(stored[case][channel][name]) - 1).max()
                for name, values in rows.items()
            )
            print(f"{case:24} {channel:14} largest relative difference {worst:.1e}")
