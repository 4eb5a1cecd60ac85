"""Tables of a sensitivity: luminosities by observable and along parameters, limits along them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..statistics.hypotheses import significance
from .sensitivity import Sensitivity


def summary_rows(result: Sensitivity) -> Sequence[Sequence[str]]:
    """Rows of the table: observable, luminosity for the target, then the toys' checks."""
    rows = []
    for name, reach in result.required.items():
        toys = [t for t in result.toys if t.observable == name]
        cells = [f"{t.asimov:.2f} / {t.significance:.2f} {_MARKS[t.method]}".rstrip() for t in toys]
        rows.append([name, luminosity_text(reach, result), *cells])
    return rows


_MARKS: Mapping[str, str] = MappingProxyType({"counted": "", "gaussian": "g", "tail": "t"})


def marks(result: Sensitivity) -> str:
    """What the marks of the table mean, if it has any."""
    words = {
        "gaussian": "g: too few toys beyond, Gaussian with the toys' width",
        "tail": "t: too few toys beyond, their tail continued",
    }
    used = [words[m] for m in words if any(t.method == m for t in result.toys)]
    if result.card.alternative is not None and result.card.alternative.scan:
        used.append("the alternative floats: Asimov is local, toys are global (look-elsewhere included)")
    return "; ".join(used)


def elsewhere_lines(result: Sensitivity) -> list[str]:
    """What looking at many masses or widths costs, by toys and by the extrapolation of few."""
    return [
        f"{t.observable} at {t.luminosity:g} {result.unit}: local {math.sqrt(max(t.median_q, 0.0)):.2f} sigma, "
        f"global {t.significance:.2f} (toys), {float(significance(t.elsewhere)):.2f} (Euler characteristic)"
        for t in result.toys
        if t.elsewhere is not None
    ]


def luminosity_text(value: float, result: Sensitivity) -> str:
    """A luminosity, or the highest that was tried where that does not do."""
    return f"{value:.3g}" if math.isfinite(value) else f"> {result.farthest:.3g}"


def what_if_rows(result: Sensitivity) -> Sequence[Sequence[str]]:
    """Rows of the table of ``what_if``: as asked first, luminosity for the target of each observable."""
    rows = {"as asked": result.required, **result.what_if}
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    return [
        [label, *(luminosity_text(row[name], result) if name in row else "" for name in names)]
        for label, row in rows.items()
    ]


def versus_header(result: Sensitivity) -> list[str]:
    """Head of the table of ``versus_rows``."""
    assert result.versus is not None
    return [*result.versus.paths, *result.versus.required, *(f"limit on {path}" for path in result.versus.limits)]


def versus_rows(result: Sensitivity) -> Sequence[Sequence[str]]:
    """Rows of the second table: values of the parameters, luminosity for the target of each observable, limits."""
    assert result.versus is not None
    rows = []
    for i, point in enumerate(itertools.product(*result.versus.axes)):
        reached = [luminosity_text(float(v.flat[i]), result) for v in result.versus.required.values()]
        limits = [row[i].asymptotic.value * row[i].unit for row in result.versus.limits.values()]
        texts = [f"{value:.3g}" if np.isfinite(value) else "none" for value in limits]
        rows.append([*(f"{value:.4g}" for value in point), *reached, *texts])
    return rows


def binning_rows(result: Sensitivity) -> Sequence[Sequence[str]]:
    """Rows of the table of best bins: how many, edges, significance at the data set's luminosity."""
    return [
        [str(len(found.edges) - 1), ", ".join(f"{edge:.3g}" for edge in found.edges), f"{found.significance:.3g}"]
        for found in result.binnings
    ]
