"""Bridges to other fitters: workspaces of pyhf and HS3 for counts; for single events see `fits.likelihood`."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import WholeFile, check_target
from ..statistics.counts import CountModel
from .limits import ExpectedLimit

Array = npt.NDArray[np.float64]


def pyhf_workspace(null: CountModel, alternative: CountModel, counts: npt.ArrayLike) -> dict[str, Any]:
    r"""HistFactory workspace (pyhf JSON) that goes from one hypothesis (mu = 0) to another (mu = 1).

    Every bin is a channel of its own with samples ``null``, the signal of the null; ``difference``, mu times that of
    the two, which may be negative: pyhf takes that as long as the sum is positive; and ``background``. Nuisance
    parameters are ``normsys`` of the same names: with pyhf's interpolation ``code1`` they are ours exactly, with its
    default within 1e-7 for effects below 40 %. Interference makes rates quadratic in couplings, so mu is a linear path
    between two fixed points, exact at both ends, not a coupling; `hs3_workspace` has the coupling itself.

    Args:
        null: expectation at mu = 0; no free couplings.
        alternative: expectation at mu = 1, the same bins, background and nuisance parameters.
        counts: observed counts.

    Raises:
        InputError: free couplings, or bins or nuisance parameters that differ.

    Example:
        >>> space = pyhf_workspace(CountModel([[10.0]]), CountModel([[14.0]]), [12.0])
        >>> [sample["data"] for sample in space["channels"][0]["samples"]]
        [[10.0], [4.0]]
    """
    if null.parameters or alternative.parameters:
        raise InputError("couplings are free: fix them (CountModel.fix) before making a workspace")
    if null.n_bins != alternative.n_bins or null.nuisances != alternative.nuisances:
        raise InputError("null and alternative have different bins or nuisance parameters")
    for name in ("background", "effects", "background_effects"):
        if not np.array_equal(getattr(null, name), getattr(alternative, name)):
            raise InputError(f"null and alternative have different {name}: mu moves the signal alone")
    observed, channels = _observed(null, counts), []
    for b, name in enumerate(_bin_names(null)):
        known = _factors(null, b)
        nominal, moved = float(null.signal[b, 0]), float(alternative.signal[b, 0])
        mu = {"name": "mu", "type": "normfactor", "data": None}
        samples = [
            {"name": "null", "data": [nominal], "modifiers": known["signal"]},
            {"name": "difference", "data": [moved - nominal], "modifiers": [mu, *known["signal"]]},
        ]
        if known["below"] > 0:
            samples.append({"name": "background", "data": [known["below"]], "modifiers": known["background"]})
        channels.append({"name": name, "samples": samples})
    falls = [
        float((s0 + b0) / (s0 - s1))
        for s0, s1, b0 in zip(null.signal[:, 0], alternative.signal[:, 0], np.asarray(null.background), strict=True)
        if s1 < s0
    ]
    parameter = {"name": "mu", "bounds": [[0.0, min([10.0, *(0.99 * fall for fall in falls)])]], "inits": [0.0]}
    return {
        "version": "1.0.0",
        "channels": channels,
        "observations": [{"name": n, "data": [x]} for n, x in zip(_bin_names(null), observed, strict=True)],
        "measurements": [{"name": "separation", "config": {"poi": "mu", "parameters": [parameter]}}],
    }


def hs3_workspace(model: CountModel, counts: npt.ArrayLike) -> dict[str, Any]:
    r"""HS3 workspace of a model of one coupling g, every bin a HistFactory channel, exact at any coupling.

    Samples: ``none``, the signal without the coupling; ``interference``, with the normfactor g; ``square``, with two
    normfactors of that one parameter; ``background``. Nuisance parameters are ``normsys`` of interpolation ``code1``,
    the exponentials of `CountModel`, whose auxiliary measurements are zero.

    Args:
        model: of one coupling.
        counts: observed counts.

    Raises:
        InputError: not one coupling, or another number of counts.

    Example:
        >>> space = hs3_workspace(CountModel([[100.0, -30.0, 4.0]], ("g",)), [95.0])
        >>> [(sample["name"], sample["data"]["contents"]) for sample in space["distributions"][0]["samples"]]
        [('none', [100.0]), ('interference', [-30.0]), ('square', [4.0])]
    """
    if len(model.parameters) != 1:
        raise InputError(f"{len(model.parameters)} couplings are free: needs one; fix the others")
    (g,) = model.parameters
    observed, names, distributions = _observed(model, counts), _bin_names(model), []
    for b, name in enumerate(names):
        known = _factors(model, b, hs3=True)
        samples = []
        for power, sample in enumerate(("none", "interference", "square")):
            norms = [{"name": f"{g}_{k + 1}", "type": "normfactor", "parameter": g} for k in range(power)]
            samples.append((sample, float(model.signal[b, power]), [*norms, *known["signal"]]))
        samples.append(("background", known["below"], known["background"]))
        rows = [
            {"name": n, "data": {"contents": [x], "errors": [0.0]}, "modifiers": modifiers}
            for n, x, modifiers in samples
            if x != 0 or n == "none"
        ]
        distributions.append({"name": name, "type": "histfactory_dist", "axes": _axis(name), "samples": rows})
    parameters = [{"name": name, "value": 0.0} for name in (g, *model.nuisances)]
    return {
        "metadata": {"hs3_version": "0.2"},
        "distributions": distributions,
        "data": [
            {"name": f"{n}_data", "type": "binned", "contents": [x], "axes": _axis(n)}
            for n, x in zip(names, observed, strict=True)
        ],
        "likelihoods": [{"name": "counts", "distributions": names, "data": [f"{n}_data" for n in names]}],
        "parameter_points": [{"name": "default_values", "parameters": parameters}],
        "domains": [
            {"name": "all", "type": "product_domain", "axes": [_domain(name, g) for name in (g, *model.nuisances)]}
        ],
        "analyses": [
            {
                "name": "limit",
                "likelihood": "counts",
                "domains": ["all"],
                "parameters_of_interest": [g],
                "init": "default_values",
            }
        ],
    }


def _axis(name: str) -> list[dict[str, Any]]:
    """One bin; the names of axes are unique in a likelihood."""
    return [{"name": f"{name}_axis", "min": 0.0, "max": 1.0, "nbins": 1}]


def _domain(name: str, coupling: str) -> dict[str, Any]:
    low, high = (0.0, 1e6) if name == coupling else (-8.0, 8.0)
    return {"name": name, "min": low, "max": high}


def _observed(model: CountModel, counts: npt.ArrayLike) -> list[float]:
    observed = [float(n) for n in np.asarray(counts, dtype=float)]
    if len(observed) != model.n_bins:
        raise InputError(f"counts has {len(observed)} numbers: needs {model.n_bins}")
    return observed


def _bin_names(model: CountModel) -> list[str]:
    """Names of the channels: those of the bins, in letters that every program takes."""
    labels = model.bins or tuple(str(i) for i in range(model.n_bins))
    return [f"bin_{i}_{re.sub('[^A-Za-z0-9]+', '_', label).strip('_')}" for i, label in enumerate(labels)]


def _factors(model: CountModel, b: int, hs3: bool = False) -> dict[str, Any]:
    """Background of a bin, and its nuisance parameters as modifiers of signal and background."""
    found: dict[str, Any] = {"below": float(np.asarray(model.background)[b])}
    for part, rows in (("signal", model.effects), ("background", model.background_effects)):
        found[part] = []
        for name, effect in zip(model.nuisances, np.asarray(rows)[:, b].tolist(), strict=True):
            data: dict[str, Any] = {"hi": math.exp(effect), "lo": math.exp(-effect)}
            extra = {"parameter": name} if hs3 else {}
            data |= {"interpolation": "code1"} if hs3 else {}
            if effect != 0:
                found[part].append({"name": name, "type": "normsys", **extra, "data": data})
    return found


def check_workspace(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Path of a workspace that can be written.

    Raises:
        InputError: another ending, or a file that cannot be written.

    Example:
        >>> check_workspace("limit.hs3.json").name
        'limit.hs3.json'
    """
    if not str(path).endswith(".json"):
        raise InputError(f"export = {str(path)!r}: write FILE.json for pyhf, FILE.hs3.json for HS3")
    return check_target(path, overwrite=overwrite)


def write_workspace(limit: ExpectedLimit, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Write the counts of an expected limit as a file: HS3 if its name ends in .hs3.json, else pyhf's JSON.

    In that of pyhf mu = 1 is the coupling at the limit: ``pyhf cls FILE`` gives 1 - level.

    Raises:
        InputError: another ending, a file that exists, or a coupling without a limit, which pyhf's JSON cannot have.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.toys.limits import limit
        >>> found = limit("light_vectors.0.g_bs", -1e-8, observables=["R_K+"], bins=[1.1, 6.0], theory=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_workspace(found, f"{folder}/limit.json").name
        'limit.json'
    """
    target = check_workspace(path, overwrite)
    observed = limit.model.expected([0.0])
    if target.name.endswith(".hs3.json"):
        space = hs3_workspace(limit.model, observed)
    elif np.isfinite(limit.asymptotic.value):
        (name,) = limit.model.parameters
        ends = [limit.model.fix(**{name: g}) for g in (0.0, limit.asymptotic.value)]
        space = pyhf_workspace(ends[0], ends[1], observed)
    else:
        raise InputError(f"{target.name}: {limit.path} has no limit that mu = 1 could be; write FILE.hs3.json")
    with WholeFile(target, overwrite) as temporary:
        temporary.write_text(json.dumps(space, indent=1), encoding="utf-8")
    return target
