"""One toy of a run again as events, by its number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.cards import CardSource
from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import available_threads
from ...physics.binning import find_bins, intervals_of
from ...physics.channels import get_channel
from ..files.sample import EventSample
from ..sampler.backend import CpuBackend
from ..sampler.calls import TOY_SHARES, TOY_THINNING
from ..sampler.rng import event_uniforms
from ..statistics.draws import EVENTS, SHIFT, stream_word
from .detector import event_numbers
from .moments import toy_columns
from .run import Columns, ToyRun, ToysCard, plan_toys

_PORTION = 1 << 14
"""Events made at a time where a binned toy is made again."""


def events_of_toy(run: ToyRun | ToysCard | CardSource, toy: int) -> EventSample:
    """The signal of one toy as events, by its number; ``provenance["background"]`` is what its counts have on top.

    Of an event toy these are its own events: behind a detector all that were generated, with the reconstructed q2 and
    ``accepted``. Of a binned toy they are signal events that fill its counts in every bin and channel less the
    background, a binomial share of them; its moments were drawn without events, so those of the events differ from them
    by their statistical error. So do those of an event toy by what the background adds to it.

    Args:
        run: a card of toys as in `toys`, or what `plan_toys` made of one.
        toy: number of the toy, from 0.

    Raises:
        InputError: a card that cannot be used, or a negative number.

    Example:
        >>> sample = events_of_toy({"truth": "heavy-c9", "hypotheses": ["sm"], "observables": ["R_K+"], "fit": {}}, 3)
        >>> sample.names[:2]
        ('q2', 'cos_theta_k')
    """
    if toy < 0:
        raise InputError(f"events-of = {toy}: toys are numbered from 0")
    run = run if isinstance(run, ToyRun) else plan_toys(ToysCard.make(run))
    card, experiment = run.card, run.experiment
    backend = CpuBackend("float64", available_threads())
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    backgrounds: dict[str, list[int]] = {}
    detected = not all(detector.perfect for detector in run.detectors.values())
    numbers, where = run.event_numbers(toy, toy + 1)[0], run.where(toy, toy + 1)
    drawn = experiment.draw(run.truth, systematics=card.systematics.toys, **where)
    apart = run.event_backgrounds(drawn.theta, where)
    factors, grown = (
        experiment.split(experiment.factors(drawn.theta, effects)) for effects in (None, experiment.nuisances.tilts)
    )
    detected |= any(run.keep(name, factors[name]) is not None for name in experiment.channels)
    for i, name in enumerate(experiment.channels):
        channel = get_channel(name)
        stream = stream_word(card.sample, EVENTS, channel.index)
        if card.depth == "events":
            columns = toy_columns(backend, run.tables[name], toy, int(numbers[i]), seed=card.seed, stream=stream)
            columns |= _found(run, name, toy << SHIFT, columns, stream)
            backgrounds[name] = apart[name][0].tolist()
            keep = run.keep(name, factors[name])
            if keep is not None:
                edges = intervals_of(card.bins)[0]
                place = np.searchsorted(edges, columns["q2_reco"], side="right") - 1
                events = event_numbers(toy << SHIFT, int(numbers[i]))
                u = event_uniforms(events, card.seed, stream, TOY_THINNING.first)[0]
                columns["accepted"] = columns["accepted"] * (u < keep[0][np.clip(place, 0, keep.shape[1] - 1)])
        else:
            signal = run.truth.counts[name][0] * factors[name][0]
            background = experiment.background(name) * grown[name][0]
            key: npt.NDArray[np.uint64] = np.array(
                [card.seed, TOY_SHARES.first + (toy << 24) + (card.sample << 8) + channel.index], dtype=np.uint64
            )
            share = np.random.Generator(np.random.Philox(key=key))
            counts = drawn.counts[name][0].astype(np.int64)
            wanted = share.binomial(counts, signal / (signal + background))
            backgrounds[name] = (counts - wanted).tolist()
            columns = _fill_bins(run, name, toy, wanted, stream)
        size = len(columns["q2"])
        extra = {"channel": np.full(size, channel.index, np.int32), "weight": np.ones(size)}
        names = ["q2", "cos_theta_k", "cos_theta_l", "phi", "flavour", "channel", "weight"]
        for key_name in names + (["q2_reco", "accepted"] if detected else []):
            value = columns.get(key_name, extra.get(key_name))
            parts.setdefault(key_name, []).append(np.full(size, np.nan) if value is None else value)
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    joined["event"] = np.arange(len(joined["q2"]), dtype=np.uint64)
    told = {"what": "events of a toy", "toy": toy, "convention": "lhcb", "background": backgrounds}
    return EventSample(joined, {**run.provenance(), **told})


def _found(run: ToyRun, name: str, first: int, columns: Mapping[str, Any], stream: int) -> Columns:
    """Reconstructed q2 of events and whether they are found."""
    reco = run.detectors[name].observe(columns, event_numbers(first, len(columns["q2"])), run.card.seed, stream)
    return {"q2_reco": reco, "accepted": np.isfinite(reco).astype(np.int32)}


def _fill_bins(run: ToyRun, name: str, toy: int, wanted: npt.NDArray[np.int64], stream: int) -> Columns:
    """The first events of a toy's stream that fill each bin with as many as are wanted, in order."""
    backend = CpuBackend("float64", available_threads())
    first, left, parts = toy << SHIFT, wanted.copy(), []
    while left.sum() > 0:
        if first >= (toy + 1) << SHIFT:
            raise InputError(f"toy {toy}: its counts in {name} are too rare to be made again as events")
        columns = backend.generate(run.tables[name], run.card.seed, first, first + _PORTION, stream)
        columns |= _found(run, name, first, columns, stream)
        place = find_bins(run.card.bins, columns["q2_reco"])
        take = np.zeros(_PORTION, dtype=bool)
        for b in range(len(left)):
            mine = np.nonzero(place == b)[0][: left[b]]
            take[mine] = True
            left[b] -= len(mine)
        parts.append({key: column[take] for key, column in columns.items()})
        first += _PORTION
    if not parts:
        empty = backend.generate(run.tables[name], run.card.seed, first, first, stream)
        parts = [empty | _found(run, name, first, empty, stream)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
