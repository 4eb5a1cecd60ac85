"""Whatever can be seen: a table from the type of a result to what draws it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import check_figure
from ...physics.experiment.datasets import Theory
from ...physics.experiment.verdicts import Constraints
from ...physics.models import Model, ModelLike, as_model
from ...physics.predict import Predictions
from ...physics.theory import TheoryLike, split_errors
from ..analysis.binning import BinnedValues, generated_ratios
from ..analysis.migration import Migrations
from ..analysis.validate import Verdict
from ..files.sample import EventSample
from ..fits.elsewhere import GlobalSignificance
from ..fits.fit import Fit
from ..fits.limits import FitLimits
from ..fits.profile import Profile
from ..run.generate import RunReport
from ..scans.card import ScanCard
from ..scans.recast import Recast
from ..scans.scan import ScanResult
from ..toys.files import Toys
from ..toys.limits import ExpectedLimit
from ..toys.sensitivity import Sensitivity
from . import toys as toy_figures
from .bins import draw_bins, draw_migrations
from .charm import leakage_figure, spectrum_figure
from .figure_1 import FIGURE_1_MODELS, figure_1
from .figure_2 import custom_plane, figure_2, figure_2_cards
from .fits import draw_fit, draw_profile, draw_significance
from .fits import draw_limits as draw_fit_limits
from .invisible import draw_invisible
from .limits import draw_limit, draw_limits
from .predictions import draw_predictions, draw_ratios
from .recast import draw_recast
from .samples import draw_sample
from .scans import draw_scan
from .sensitivity import draw_sensitivity, draw_statistics, draw_versus
from .style import plain_where_no_math, save_figure
from .verdict import draw_verdict

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

Views = dict[str, Callable[[], "Figure"]]
"""What a result can be seen as: what draws it, by name; the main view has the name ``""``."""


def _toys(result: Toys) -> Views:
    return {
        word: partial(toy_figures.DRAW[word], result.card, result.columns) for word in toy_figures.words(result.card)
    }


def _sensitivity(result: Sensitivity) -> Views:
    luminosity = partial(draw_sensitivity, result)
    views: Views = {"": luminosity if result.versus is None else partial(draw_versus, result)}
    if result.toys:
        views["statistics"] = partial(draw_statistics, result, result.toys[-1].luminosity)
    if result.versus is not None:
        views["luminosity"] = luminosity
    if result.limits:
        views["limit"] = partial(draw_limits, result) if result.versus else partial(draw_limit, result.limits[0])
    return views


def _model(model: Model) -> Views:
    views: Views = {"": partial(draw_ratios, model)}
    if any(one.dark for one in model.interactions.values()):
        views["invisible"] = partial(draw_invisible, model)
    return views


VIEWS: Mapping[type, Callable[[Any], Views]] = MappingProxyType(
    {
        BinnedValues: lambda found: {"": partial(draw_bins, found, found.variable, found.state)},
        Constraints: lambda found: {"": partial(draw_invisible, found.model, found)},
        EventSample: lambda found: {"": partial(draw_sample, found)},
        ExpectedLimit: lambda found: {"": partial(draw_limit, found)},
        Fit: lambda found: {"": partial(draw_fit, found)},
        FitLimits: lambda found: {"": partial(draw_fit_limits, found)},
        GlobalSignificance: lambda found: {"": partial(draw_significance, found)},
        Migrations: lambda found: {"": partial(draw_migrations, found)},
        Model: _model,
        Predictions: lambda found: {"": partial(draw_predictions, found)},
        Profile: lambda found: {"": partial(draw_profile, found)},
        Recast: lambda found: {"": partial(draw_recast, found)},
        RunReport: lambda found: {"": lambda: draw_ratios(found.plan.card.model, generated_ratios(found.files))},
        ScanResult: lambda found: {"": partial(draw_scan, found)},
        Sensitivity: _sensitivity,
        Toys: _toys,
        Verdict: lambda found: {"": partial(draw_verdict, found)},
    }
)
"""What draws a result, by its type: a new kind of result is a row here."""


def views(result: Any) -> Views:
    """What a result can be seen as, by name; ``""`` is the main view.

    >>> from darkpenguin.physics.models import get_model
    >>> list(views(get_model("fig2")))
    ['', 'invisible']

    Raises:
        InputError: nothing draws a result of this kind.
    """
    for kind, row in VIEWS.items():
        if isinstance(result, kind):
            return row(result)
    known = ", ".join(kind.__name__ for kind in VIEWS)
    raise InputError(f"figure: nothing draws {type(result).__name__}; what can be seen is 1, 2, {known}")


def figure(
    what: Any,
    view: str | None = None,
    output: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Figure:
    """Draw a result, a model, a sample of events, or a figure of the paper (1 or 2).

    Args:
        what: what a function of darkpenguin returned; a `Model`; or 1, 2, ``spectrum`` or ``leakage``.
        view: which of its figures: of toys ``bands``, ``pulls`` or ``tests``, of a sensitivity ``statistics``,
            ``luminosity`` or ``limit``, of a model ``invisible``; its main figure without it.
        output: file to write (.png, .pdf), or several; of a figure of the paper the folder for its files.
        overwrite: whether existing files may be replaced.
        **options: of a figure of the paper, see `paper_figure`: ``data``, ``model``, ``set``, ``x``, ``y``, ``tie``,
            ``points``, ``theory``, ``device``.

    Returns:
        A figure of matplotlib.

    Raises:
        InputError: something that cannot be seen, no such view, or a file that exists.

    Example:
        >>> from darkpenguin.physics.predict import predict
        >>> drawn = figure(predict("R_K+", "fig2", bins=[1.1, 3.0, 6.0]))
        >>> drawn.axes[0].get_ylabel()
        '$R_{K^+}$'
    """
    if isinstance(what, (int, str)):
        if view is not None:
            raise InputError(f"view = {view!r}: a figure of the paper has one view; leave it out")
        if output is not None and not isinstance(output, (str, os.PathLike)):
            raise InputError(f"output = {output!r}: a figure of the paper is written into one folder")
        return paper_figure(what, output, overwrite, **options)[0]
    if options:
        raise InputError(f"{', '.join(options)}: these are options of figures 1 and 2 of the paper; leave them out")
    found = views(what)
    name = next(iter(found)) if view is None else view
    if name not in found:
        raise InputError(f"view = {view!r}: no such view of {type(what).__name__}; {nearest(name, found)}")
    paths = [] if output is None else [output] if isinstance(output, (str, os.PathLike)) else list(output)
    for path in paths:
        check_figure(path, overwrite)
    drawn = found[name]()
    plain_where_no_math(drawn)
    if paths:
        save_figure(drawn, paths, overwrite)
    return drawn


def paper_figure(
    number: int | str,
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    *,
    data: str = "2017",
    model: ModelLike | Sequence[ModelLike] | None = None,
    set: str | Sequence[str] = (),
    x: str | None = None,
    y: str | None = None,
    tie: Sequence[str] | None = None,
    points: int = 400,
    theory: Theory | TheoryLike = None,
    device: str = "auto",
) -> tuple[Figure, list[Path]]:
    """Draw figure 1 or 2 of the paper, or one with charmonium; in a folder, write PNG, PDF, and its numbers as CSV.

    Args:
        number: 1 or 2; ``spectrum``, dBR/dq² in all of phase space, V beside charmonium for illustrative phases;
            ``leakage``, the J/ψ below its mass, behind a resolution.
        folder: for the files; nothing is written if None.
        overwrite: whether existing files may be replaced.
        data: a data set: its name (``2017``, what the paper had, ``current`` ...) or a file.
        model: figure 1 and spectrum: models to draw (Standard Model, C9, two V by default); figure 2: where the planes
            start from (``fig2`` by default). Benchmarks, TOML files, fields, or `Model` objects.
        set: changes of those models, such as ``light_vectors.0.mass=2.8``, one or several.
        x: figure 2: first axis of another plane, as ``KEY,MIN,MAX``.
        y: figure 2: its second axis.
        tie: figure 2: what follows an axis of that plane, as ``KEY=FACTOR*KEY``.
        points: figure 2: points an axis.
        theory: what the Standard Model of those models is taken to be, a table of the keys of a `Theory`; figure 2: in
            it as ``errors``, or alone, errors of the SM prediction: ``correlated``, ``uncorrelated`` or ``none``.
        device: figure 2: ``auto``, ``cpu`` or ``gpu``.

    Returns:
        The figure and the files.

    Raises:
        InputError: any of these that cannot be used.
    """
    several = isinstance(model, Sequence) and not isinstance(model, str)
    models: list[Any] = list(model) if several else [] if model is None else [model]  # type: ignore[arg-type]
    settings = (set,) if isinstance(set, str) else tuple(set)
    errors, told = split_errors(theory)
    if number != 2:
        for name, value in {"x": x, "y": y, "tie": tie, "theory": errors}.items():
            if value is not None:
                raise InputError(f"{name}: figure {number} has no such option; it is one of figure 2")
    if number == "spectrum":
        return spectrum_figure(models, folder, overwrite, settings, told, 2 * points)
    if number == "leakage":
        if models or settings:
            raise InputError("--model: figure leakage is of the Standard Model; leave it out")
        return leakage_figure(folder, overwrite, told)
    if number == 1:
        if settings and not models:
            raise InputError("set: of which model? Name the models of figure 1 (--model) that it changes")
        return figure_1(data, models or FIGURE_1_MODELS, folder, overwrite, settings, told)
    if number != 2:
        raise InputError(f"figure = {number}: there are 1 and 2 of the paper, spectrum and leakage")
    if len(models) > 1:
        raise InputError(f"--model: {len(models)} given; the planes of figure 2 start from one")
    if errors not in (None, "correlated", "uncorrelated", "none"):
        raise InputError(f"theory = {errors!r}: correlated, uncorrelated, none")
    if (x is None) != (y is None):
        raise InputError("--x and --y: give both axes of the plane")
    base = models[0] if models else "fig2"
    base = base if told is None else as_model(base, theory=told)
    cards: tuple[ScanCard, ...]
    if x is not None and y is not None:
        cards = (custom_plane(x, y, data, settings, errors, points, base, tie or ()),)
    elif tie:
        raise InputError("--tie: needs --x and --y; the planes of the paper have their own")
    else:
        cards = figure_2_cards(data, settings, errors, points, base)
    return figure_2(data, cards, folder, overwrite, device)
