"""Photons of J/psi -> l+ l- in Pythia's shower, for `tests/physics/test_radiation.py`.

    pip install --only-binary :all: 'pythia8mc<8.318' numpy
    python tests/reference/pythia_radiation.py [EVENTS]      # writes pythia_radiation.json beside it, 4 minutes

A pair of the mass of the J/psi is put in by hand and showers from half its mass on; no other process is on. The shower
is another approximation than leading logarithms of structure functions: per cent of radiation lie between them.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pythia8mc

MASS = 3.0969
SETTINGS = (
    "ProcessLevel:all = off",
    "Print:quiet = on",
    "TimeShower:QEDshowerByL = on",
    "TimeShower:alphaEMorder = 0",
    "StandardModel:alphaEM0 = 0.0072973525693",
    "Random:setSeed = on",
    "Random:seed = 5",
)
LEPTONS = {"e": 11, "mu": 13}
BELOW = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Shares of the squared mass that the leptons may keep: the probability to keep less is stored."""


def showered(number, events):
    """Share of the squared mass that the leptons keep, event by event."""
    pythia = pythia8mc.Pythia("", False)
    for setting in SETTINGS:
        pythia.readString(setting)
    assert pythia.init()
    mass = pythia.particleData.m0(number)
    p = np.sqrt(MASS**2 / 4 - mass**2)
    rng, found = np.random.default_rng(3), np.empty(events)
    for i in range(events):
        cosine, angle = rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
        x, y, z = p * np.sqrt(1 - cosine**2) * np.cos(angle), p * np.sqrt(1 - cosine**2) * np.sin(angle), p * cosine
        record = pythia.event
        record.reset()
        record.append(number, 23, 0, 0, 0, 0, 0, 0, x, y, z, MASS / 2, mass, MASS / 2)
        record.append(-number, 23, 0, 0, 0, 0, 0, 0, -x, -y, -z, MASS / 2, mass, MASS / 2)
        pythia.forceTimeShower(1, 2, MASS / 2)
        total = pythia8mc.Vec4()
        for j in range(record.size()):
            if record[j].isFinal() and abs(record[j].id()) == number:
                total += record[j].p()
        found[i] = total.m2Calc() / MASS**2
    return found, mass


def main(events):
    stored = {"pythia8mc": version("pythia8mc"), "settings": SETTINGS, "mass": MASS, "events": events, "below": BELOW}
    for lepton, number in LEPTONS.items():
        x, mass = showered(number, events)
        shares = [float((x < edge).mean()) for edge in BELOW]
        errors = [float(np.sqrt(share * (1 - share) / events)) for share in shares]
        mean = [float(x.mean()), float(x.std() / np.sqrt(events))]
        stored[lepton] = {"mass": mass, "mean": mean, "shares": shares, "errors": errors}
        print(lepton, stored[lepton])
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000)
