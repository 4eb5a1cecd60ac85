"""Make ``eos_bins.json``: B -> K(*) mu mu in five bins by EOS, a second opinion on flavio's Standard Model.

    python -m venv eos && eos/bin/pip install eoshep pyyaml
    eos/bin/python tests/reference/eos_bins.py BSZ-parameters-N2.yaml           # compare with what is stored
    eos/bin/python tests/reference/eos_bins.py BSZ-parameters-N2.yaml --write    # store it

The file is the one that flavio 2.7.1 ships in ``flavio/physics/data/arXiv-2305-06301v1``, form factors of
arXiv:2305.06301 under EOS's names: both programs have the same then. Settings of EOS are BFS2004, QCD factorisation
with perturbative charm below 8.7 GeV2 (arXiv:hep-ph/0106067, hep-ph/0412400) and GP2004, the operator product
expansion above 14 GeV2 (arXiv:hep-ph/0404250); and GvDV2020 (arXiv:2011.09813), whose parameters of nonlocal charm EOS
sets to zero. Imports nothing of darkpenguin.
"""

import json
import sys
from pathlib import Path

import eos
import yaml

STORED = Path(__file__).with_suffix(".json")
BINS = ((1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (1.1, 6.0), (15.0, 19.0))
OBSERVABLES = {
    "B+->K+mumu": {"BR": "B->Kll::BR"},
    "B0->K*0mumu": {
        "BR": "B->K^*ll::BR",
        "FL": "B->K^*ll::F_L",
        "AFB": "B->K^*ll::A_FB@LHCb",
        "P5p": "B->K^*ll::P'_5",
    },
}
TAGS = {"factorisation": ("BFS2004", "GP2004"), "no nonlocal charm": ("GvDV2020", "GvDV2020")}
INPUTS = (
    "B->K^*::alpha^A1_0@BSZ2015",
    "CKM::abs(V_tb)",
    "CKM::abs(V_ts)",
    "QED::alpha_e(m_b)",
    "WET::G_Fermi",
    "b->smumu::Re{c9}",
    "b->smumu::Re{c10}",
    "life_time::B_d",
    "life_time::B_u",
)


def parameters(path):
    """EOS's parameters with the form factors of a file."""
    found = eos.Parameters.Defaults()
    for entry in yaml.safe_load(Path(path).read_text(encoding="utf-8")).values():
        for name, mean in zip(entry["observables"], entry["means"], strict=True):
            if name.startswith(("B->K::", "B->K^*::")):
                found[name].set(mean)
    return found


def table(known):
    """All observables by setting, channel and name, a list over the bins."""
    found = {}
    for setting, tags in TAGS.items():
        for channel, names in OBSERVABLES.items():
            quark = "u" if channel.startswith("B+") else "d"
            for name, long in names.items():
                row = []
                for low, high in BINS:
                    text = f"{long};l=mu,q={quark},form-factors=BSZ2015,tag={tags[low > 14]}"
                    q2 = eos.Kinematics(q2_min=low, q2_max=high)
                    row.append(eos.Observable.make(text, known, q2, eos.Options()).evaluate())
                found.setdefault(setting, {}).setdefault(channel, {})[name] = row
    return found


def main():
    """Make all of it; store it, or say how far it is from what is stored."""
    known = parameters(sys.argv[1])
    inputs = {name: known[name].evaluate() for name in INPUTS}
    made = {"eos": eos.__version__, "bins": BINS, "inputs": inputs, "values": table(known)}
    if "--write" in sys.argv:
        STORED.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return
    stored = json.loads(STORED.read_text(encoding="utf-8"))["values"]
    for setting, channels in made["values"].items():
        for channel, rows in channels.items():
            for name, row in rows.items():
                worst = max(abs(a / b - 1) for a, b in zip(row, stored[setting][channel][name], strict=True))
                print(f"{setting} {channel} {name}: largest relative difference {worst:.1e}")


if __name__ == "__main__":
    main()
