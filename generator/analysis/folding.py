r"""A model's prediction in reconstructed bins of q2, from a response: efficiency and migration by true bin.

.. math:: n_r = N_B\,\tau_B \sum_t \epsilon_t\, m_{tr} \int_t \tfrac12(\Gamma + \bar\Gamma)\,dq^2,

with N_B the B mesons of each charge, half of them conjugates, as in a run card. A response is measured with events of
one model, within whose bins it is spread as that model is: make true bins as narrow as other models differ. With muons
and electrons, two channels make R: the ratio of what is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from ...physics.binning import BinsLike
from ...physics.channels import Channel, get_channel, lepton_pairs
from ...physics.models import Model, ModelLike, as_model
from ...physics.theory import TheoryLike
from ..files.sample import EventsLike, open_events
from .migration import Migration, migrations
from .validate import card_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Response:
    """What becomes of the decays of a channel.

    Attributes:
        channel: name of the channel.
        true: edges of the bins of true q2 (GeV^2), (n + 1,).
        efficiency: probability that a decay of a true bin is found, (n,).
        migration: probability of a reconstructed bin for one that is found, (n, m); rows add up to one at most.
        error: relative statistical error of the response in each reconstructed bin, (m,).
        reconstructed: edges of the reconstructed bins of q2 (GeV^2), (m + 1,); empty where they are not known.

    Raises:
        InputError: shapes that do not fit, or numbers that are no probabilities.
    """

    channel: str
    true: Array
    efficiency: Array
    migration: Array
    error: Array
    reconstructed: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.true) - 1
        if np.shape(self.efficiency) != (n,) or np.shape(self.migration)[0] != n:
            raise InputError(f"response: {n} true bins, efficiency {np.shape(self.efficiency)} and migration of other")
        if self.reconstructed and len(self.reconstructed) != np.shape(self.migration)[1] + 1:
            bins = np.shape(self.migration)[1]
            raise InputError(f"response.reconstructed: {bins} bins have {bins + 1} edges")
        if np.any(np.diff(self.true) <= 0) or np.any(np.diff(self.reconstructed) <= 0):
            raise InputError("response.true, response.reconstructed: edges must rise")
        for name, values in (("efficiency", self.efficiency), ("migration", np.sum(self.migration, axis=1))):
            if not np.all((values >= 0) & (values <= 1 + 1e-9)):
                raise InputError(
                    f"response.{name}: probabilities lie in 0 to 1; here {np.min(values):g}-{np.max(values):g}"
                )

    def expected(self, model: ModelLike, b_mesons: float) -> Array:
        """Decays found in each reconstructed bin from ``b_mesons`` B, half of them conjugates, (m,)."""
        chosen, channel = as_model(model), get_channel(self.channel)
        lifetime = chosen.parameters[f"tau_{channel.parent}"]
        decays = 0.5 * b_mesons * lifetime * channel.branching * rates(channel, chosen, self.true)
        return np.asarray((decays * self.efficiency) @ self.migration)

    def pyhf_channel(self, model: ModelLike, b_mesons: float, name: str = "") -> dict[str, Any]:
        """The same as a channel of a pyhf workspace: a signal with the strength ``mu`` and the response's errors.

        >>> shape = np.array([1.0, 6.0]), np.array([0.2]), np.array([[0.9]]), np.array([0.01])
        >>> response = Response("B+->K+mumu", *shape)
        >>> channel = response.pyhf_channel("sm", 1e9)
        >>> channel["name"], round(channel["samples"][0]["data"][0])
        ('B+->K+mumu', 32)
        """
        word, data = name or self.channel, self.expected(model, b_mesons)
        modifiers = [
            {"name": "mu", "type": "normfactor", "data": None},
            {"name": f"response {word}", "type": "staterror", "data": (data * self.error).tolist()},
        ]
        return {"name": word, "samples": [{"name": "signal", "data": data.tolist(), "modifiers": modifiers}]}


def response_of(migration: Migration) -> Response:
    """The response that events behind our own detector show, see `migrations`; reconstructed bins are its true ones.

    Below and above its edges are two more true bins, to the ends of phase space, and no reconstructed ones.

    >>> one = Migration("B+->K+mumu", (1.0, 6.0), np.full(3, 10.0), np.diag([5.0, 8.0, 5.0]), np.diag([5.0, 8.0, 5.0]))
    >>> response_of(one).migration.tolist()
    [[0.0], [1.0], [0.0]]
    """
    low, high = get_channel(migration.channel).q2_limits()
    edges, inside = np.array(migration.edges), slice(1, -1)
    if not low < edges[0] < edges[-1] < high:
        raise InputError(f"migration: edges {edges[0]:g} to {edges[-1]:g} GeV^2: they must lie inside phase space")
    found, variance = migration.counts.sum(axis=0)[inside], migration.variances.sum(axis=0)[inside]
    error = np.divide(np.sqrt(variance), found, out=np.zeros_like(found), where=found > 0)
    true = np.concatenate([[low], edges, [high]])
    shares = migration.normalised[:, inside]
    return Response(migration.channel, true, migration.efficiency, shares, error, tuple(map(float, edges)))


def response_from(
    channel: str, true: ArrayLike, generated: ArrayLike, found: ArrayLike, reconstructed: Sequence[float] = ()
) -> Response:
    """The response in two histograms: generated decays (n,), and those found by true and reconstructed bin (n, m).

    >>> response_from("B+->K+mumu", [1.0, 6.0], [1000.0], [[250.0, 150.0]]).efficiency.tolist()
    [0.4]
    """
    get_channel(channel)
    made, kept = np.asarray(generated, dtype=float), np.atleast_2d(np.asarray(found, dtype=float))
    if made.ndim != 1 or kept.shape[0] != len(made) or len(np.atleast_1d(true)) != len(made) + 1:
        raise InputError(
            f"response: generated {made.shape}, found {kept.shape} and true {np.shape(true)}: "
            "shapes (n,), (n, m) and (n + 1,) fit"
        )
    total, seen = kept.sum(axis=1), kept.sum(axis=0)
    efficiency = np.divide(total, made, out=np.zeros_like(total), where=made > 0)
    migration = np.divide(kept, total[:, None], out=np.zeros_like(kept), where=total[:, None] > 0)
    error = np.divide(1.0, np.sqrt(seen), out=np.zeros_like(seen), where=seen > 0)
    edges = tuple(float(edge) for edge in reconstructed)
    return Response(channel, np.asarray(true, dtype=float), efficiency, migration, error, edges)


def rates(channel: Channel, model: Model, edges: Array) -> Array:
    """Rates (GeV) of both flavours together in bins of q2 (GeV^2), (n,).

    >>> from darkpenguin.physics.models import get_model
    >>> rates(get_channel("B+->K+mumu"), get_model("sm"), np.array([1.0, 6.0, 8.0])).shape
    (2,)
    """
    points = breakpoints(channel, model)
    q2, weights = quadrature(np.union1d(points, edges), max(edges[0], points[0]), min(edges[-1], points[-1]))
    rate = sum(decay_rate(angular_coefficients(channel, model, q2, flavour)) for flavour in (-1, 1))
    place = np.clip(np.searchsorted(edges, q2) - 1, 0, len(edges) - 2)
    return np.asarray(np.bincount(place, rate * weights, len(edges) - 1))


@dataclass(frozen=True)
class FoldedBin:
    """What a model predicts in a reconstructed bin.

    Attributes:
        channel: name of the channel, or of the ratio of muons and electrons.
        low, high: of reconstructed q2 (GeV^2); the number of the bin and the next where edges are not known.
        expected: decays that are found, or their ratio.
        error: statistical error of the response.
    """

    channel: str
    low: float
    high: float
    expected: float
    error: float


@dataclass(frozen=True, eq=False)
class Folded(Rows[FoldedBin]):
    """A model's prediction in reconstructed bins: a row a bin of a channel, and of every ratio.

    Attributes:
        model: name.
        b_mesons: B mesons of each charge, half of them conjugates.
        workspace: the same for pyhf: a channel each, observations as expected, ``mu`` the strength of the signal.
    """

    model: str
    b_mesons: float
    workspace: dict[str, Any]


def fold(
    events: EventsLike | Sequence[Response],
    model: ModelLike = "sm",
    b_mesons: float = 1e9,
    bins: BinsLike = "lhcb",
    *,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
) -> Folded:
    """Predict what a detector finds of a model in bins of reconstructed q2, from its response.

    Args:
        events: of all of phase space behind our detector, all that failed it in it too: a file, or a sample in memory;
            or a JSON file of two histograms, see `read_responses`; or responses.
        model: a benchmark's name, a TOML file, fields, or a `Model`.
        b_mesons: B mesons of each charge, half of them conjugates.
        bins: of reconstructed q2, for events: as in `bin`.
        set: changes of the model.
        theory: what the Standard Model is taken to be.

    Raises:
        InputError: events that are not all, of all of phase space, or histograms that do not fit.

    Example:
        >>> one = response_from("B+->K+mumu", [1.1, 6.0], [100.0], [[30.0, 10.0]], [1.1, 3.0, 6.0])
        >>> found = fold([one], "fig2", 1e9)
        >>> [(row.channel, row.low, round(row.expected)) for row in found]
        [('B+->K+mumu', 1.1, 43), ('B+->K+mumu', 3.0, 14)]
    """
    if not (np.isfinite(b_mesons) and b_mesons > 0.0):
        raise InputError(f"b_mesons = {b_mesons:g}: it must be above zero")
    chosen = as_model(model, set, theory)
    responses = _responses(events, bins)
    known = {one.channel: one for one in responses}
    if len(known) < len(responses):
        raise InputError("responses: a channel is there twice")
    counts = {name: one.expected(chosen, b_mesons) for name, one in known.items()}
    rows = [row for name, one in known.items() for row in _rows(name, one, counts[name], one.error * counts[name])]
    for muons, electrons in lepton_pairs(counts):
        one, two = known[muons.name], known[electrons.name]
        if one.reconstructed == two.reconstructed and len(one.error) == len(two.error):
            below = counts[electrons.name]
            ratio = np.divide(counts[muons.name], below, out=np.full_like(below, np.nan), where=below > 0)
            rows += _rows(muons.ratio, one, ratio, ratio * np.hypot(one.error, two.error))
    return Folded(tuple(rows), chosen.name, float(b_mesons), _workspace(responses, chosen, b_mesons))


def read_responses(path: str | os.PathLike[str]) -> tuple[Response, ...]:
    """Responses in a JSON file: a table, or a list of tables, of two histograms of a channel.

    Keys are those of `response_from`: ``channel``, ``true`` (n + 1 edges), ``generated`` (n), ``found`` (n by m), and
    ``reconstructed`` (m + 1 edges) if they are known.

    Raises:
        InputError: a file that is none.

    >>> read_responses("nowhere.json")
    Traceback (most recent call last):
        ...
    darkpenguin.kinematics.base.errors.InputError: file = 'nowhere.json': there is no such file
    """
    where = f"file = {os.fspath(path)!r}"
    if not Path(path).is_file():
        raise InputError(f"{where}: there is no such file")
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{where}: no JSON ({error})") from None
    keys, found = ("channel", "true", "generated", "found", "reconstructed"), []
    for k, table in enumerate(read if isinstance(read, list) else [read]):
        if not isinstance(table, Mapping):
            raise InputError(f"{where}: entry {k} is no table of {', '.join(keys)}")
        for key in table:
            if key not in keys:
                raise InputError(f"{where}: entry {k}: {key}: {nearest(str(key), keys)}")
        for key in keys[:4]:
            if key not in table:
                raise InputError(f"{where}: entry {k} has no {key}")
        try:
            found.append(response_from(**table))
        except InputError as error:
            raise InputError(f"{where}: entry {k}: {error}") from None
        except (ValueError, TypeError):
            raise InputError(f"{where}: entry {k}: true, generated and found are tables of numbers") from None
    return tuple(found)


def _responses(events: EventsLike | Sequence[Response], bins: BinsLike) -> tuple[Response, ...]:
    if isinstance(events, (str, os.PathLike)) and os.fspath(events).endswith(".json"):
        return read_responses(events)
    if isinstance(events, Sequence) and events and all(isinstance(one, Response) for one in events):
        return tuple(one for one in events if isinstance(one, Response))
    files: Any = events
    file = open_events(files)
    card = card_of(file)
    if card.q2 or card.veto:
        raise InputError(f"file = {str(file.path)!r}: it has not all of q2; generate it without q2 and veto")
    if card.altered:
        raise InputError(
            f"{card.altered}: {str(file.path)!r} has not all events, each once; generate it in the mode flag"
        )
    found = tuple(response_of(one) for one in migrations(files, bins))
    if not found:
        raise InputError(f"bins = {bins!r}: none is of a channel in {str(file.path)!r}")
    return found


def _rows(name: str, one: Response, values: Array, errors: Array) -> list[FoldedBin]:
    edges = one.reconstructed or tuple(float(k) for k in range(len(values) + 1))
    columns = zip(pairwise(edges), values.tolist(), errors.tolist(), strict=True)
    return [FoldedBin(name, low, high, value, error) for (low, high), value, error in columns]


def _workspace(responses: Sequence[Response], model: Model, b_mesons: float) -> dict[str, Any]:
    """A workspace of pyhf, in the layout of its schema 1.0.0."""
    channels = [one.pyhf_channel(model, b_mesons) for one in responses]
    return {
        "version": "1.0.0",
        "channels": channels,
        "observations": [{"name": one["name"], "data": one["samples"][0]["data"]} for one in channels],
        "measurements": [{"name": "strength", "config": {"poi": "mu", "parameters": []}}],
    }
