"""What a scan leaves behind: grid, profiles, pulls, regions, summary."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.arrays import FloatArray
from ...kinematics.base.files import write_text
from .card import ScanCard
from .scan import _BLOCK, BestFit, Pull, ScanResult, model_pulls


def write_scan(
    result: ScanResult,
    folder: str | os.PathLike[str],
    overwrite: bool = False,
    at: Mapping[str, float] | None = None,
) -> list[Path]:
    """Write a scan: grid, profiles, pulls, regions in the plane of any two axes as CSV; a summary as JSON.

    Pulls are those of the Standard Model, of the best fit and of the point ``at``, whose missing axes are
    those of the best fit. Files are named after the card; each is written whole or not at all.

    Raises:
        InputError: a file exists, or a point off the axes.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.scans.scan import scan
        >>> axis = {"key": "heavy.C9_mu", "min": -2.0, "max": 0.0, "points": 3}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_scan(scan(model="sm", axes=[axis], theory="none"), folder)]
        ['scan-grid.csv', 'scan-profiles.csv', 'scan-pulls.csv', 'scan-summary.json']
    """
    card = result.card
    paths = check_outputs(card, folder, overwrite)
    best = result.best()
    pulls = {
        "Standard Model": model_pulls(result.likelihood, result.card.base_model().standard),
        "best fit": result.pulls(best.point),
    }
    if at:
        pulls["point"] = result.pulls({**best.point, **at})
    texts: dict[str, str | Iterable[str]] = {
        "grid.csv": grid_csv(result),
        "profiles.csv": profiles_csv(result),
        "pulls.csv": pulls_csv(pulls),
        "summary.json": summary_json(result, best),
    }
    wide = [axis.key for axis in card.axes if axis.points > 1]
    pairs = list(itertools.combinations(wide, 2))
    if pairs:
        texts["regions.csv"] = regions_csv([(card.name, pair, result.all_regions(pair)) for pair in pairs])
    for name, text in texts.items():
        write_text(paths[name], text, overwrite)
    return [paths[name] for name in texts]


def check_outputs(card: ScanCard, folder: str | os.PathLike[str], overwrite: bool = False) -> dict[str, Path]:
    """The files of a scan by the end of their names; InputError, before any work, if one is in the way."""
    from ...kinematics.base.files import check_target

    names = ["grid.csv", "profiles.csv", "pulls.csv", "summary.json"]
    if sum(axis.points > 1 for axis in card.axes) >= 2:
        names.append("regions.csv")
    return {name: check_target(Path(folder) / f"{card.name}-{name}", overwrite=overwrite) for name in names}


def grid_csv(result: ScanResult) -> Iterator[str]:
    """The grid as CSV, piece by piece: axes, χ² of each group, their sum."""
    import pandas as pd

    card = result.card
    flat = {f"chi2 {name}": value.ravel() for name, value in result.chi2.items()}
    for start in range(0, card.points, _BLOCK):
        index = np.unravel_index(np.arange(start, min(start + _BLOCK, card.points)), card.shape)
        columns = {axis.key: axis.values[i] for axis, i in zip(card.axes, index, strict=True)}
        columns |= {name: value[start : start + _BLOCK] for name, value in flat.items()}
        columns["chi2 all"] = np.asarray(sum(columns[name] for name in flat))
        yield str(pd.DataFrame(columns).to_csv(index=False, header=start == 0, float_format="%.8g"))


def profiles_csv(result: ScanResult) -> str:
    """χ² of the profile and the marginal likelihood along every axis, for each group and all together."""
    lines = ["axis,group,value,profile chi2,marginal"]
    for axis in result.card.axes:
        for name in (*result.card.groups, None):
            profile, marginal = result.profile([axis.key], name), result.marginal([axis.key], name)
            rows = zip(axis.values, profile, marginal, strict=True)
            start = f"{axis.key},{name or 'all'}"
            lines += [f"{start},{value:.8g},{chi2:.8g},{weight:.8g}" for value, chi2, weight in rows]
    return "\n".join(lines) + "\n"


def pulls_csv(pulls: Mapping[str, Sequence[Pull]]) -> str:
    """Pulls as CSV, one measured number a line, for each of several models by name."""
    lines = ["model,group,measurement,arXiv,observable,measured,predicted,error,pull"]
    lines += [
        f'{name},{p.group},{p.measurement},{p.arxiv},"{p.observable}",'
        f"{p.measured:.8g},{p.predicted:.8g},{p.error:.6g},{p.pull:.6g}"
        for name, found in pulls.items()
        for p in found
    ]
    return "\n".join(lines) + "\n"


def regions_csv(planes: Sequence[tuple[str, Sequence[str], Mapping[str, list[list[FloatArray]]]]]) -> str:
    """Polygons of planes, each a name, the keys of two axes, and regions by name, as CSV.

    A line is a corner: plane, axes, region, number of the polygon and of its ring (0 outer, then holes), x, y.
    """
    lines = ["panel,x axis,y axis,region,polygon,ring,x,y"]
    for panel, (x_key, y_key), regions in planes:
        for name, shapes in regions.items():
            for i, rings in enumerate(shapes):
                for j, ring in enumerate(rings):
                    start = f'{panel},{x_key},{y_key},"{name}",{i},{j}'
                    lines += [f"{start},{x:.8g},{y:.8g}" for x, y in ring]
    return "\n".join(lines) + "\n"


def summary_json(result: ScanResult, best: BestFit) -> str:
    """The card, the best fit and χ² of the Standard Model, as JSON."""
    known = result.card.data_set
    data: dict[str, Any] = {
        "card": result.card.model_dump(mode="json"),
        "data": {"name": known.name, "title": known.title, "date": known.date, "sha256": known.digest},
        "theory": result.card.theory_errors,
        "standard_model": {**result.standard, "all": result.standard_model()},
        "best_fit": {"point": dict(best.point), "chi2": {**best.groups, "all": best.chi2}},
        "versions": {name: version(name) for name in ("darkpenguin", "flavio") if _installed(name)},
    }
    for name in result.card.groups:
        own = result.best(name)
        data["best_fit"][f"of {name} alone"] = {"point": dict(own.point), "chi2": own.chi2}
    return json.dumps(data, indent=1) + "\n"


def _installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True
