"""Data sets like one that was fitted, drawn from a model: what toys of an unbinned fit are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.channels import channel_by_index
from ...physics.expectation import segments
from ..files.sample import EventSample, EventsLike, open_events
from ..run.card import make_card
from ..run.generate import generate
from .card import FitCard
from .fit import likelihood_of
from .kpi import KpiAmplitude
from .likelihood import Likelihood
from .mass import COLUMN
from .smeared import SmearedRate


def draw_events(
    events: EventsLike,
    card: FitCard,
    likelihood: Likelihood,
    values: Sequence[float],
    sets: int,
    seed: int,
    share: float = 1.0,
) -> list[EventSample]:
    """Samples with as many events of each channel as ``events``, of the model at values, behind the same efficiency.

    With a resolution they have a ``q2_reco`` of it, with ``b_mass`` an ``m_b_reco``. Or with a share of them. Of
    backgrounds there are binomial numbers.

    Couplings that are close have sets that are close: they share their random numbers.

    Raises:
        InputError: rates in common or absolute ones, whose numbers of events say something too.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B0->K*0mumu", model="sm", events=500, seed=1, q2=[(1.1, 8.0)])
        >>> card = FitCard.make(model="sm", float={"heavy.C9_mu": (-4.0, 4.0)})
        >>> drawn = draw_events(sample, card, likelihood_of(sample, card), [-1.0], 3, seed=2)
        >>> len(drawn), len(drawn[0])
        (3, 500)
    """
    if likelihood.rates != "free" or likelihood.b_mesons is not None:
        raise InputError("rates: limits and toys of a fit are of its shapes; take rates = free, without b-mesons")
    numbers: dict[str, int] = {}
    for part in likelihood.parts:
        numbers[part.channel] = numbers.get(part.channel, 0) + part.events
    numbers = {name: max(round(share * number), 1) for name, number in numbers.items()}
    run = make_card(open_events(events).provenance["card"])
    seen = card.efficiency or run.stages.get("efficiency")
    smeared = {part.channel: part.rate for part in likelihood.parts if isinstance(part.rate, SmearedRate)}
    most = max(numbers.values()) * sets
    if smeared:
        shares = [part.smeared.rate.share(likelihood.point(part, values)) for part in likelihood.parts if part.smeared]
        most = math.ceil((most + 8.0 * math.sqrt(most) + 10.0) / min(shares))
    keys: dict[str, Any] = {"events": most}
    if seen is not None:
        keys = {"accepted": most, "efficiency": {**seen.model_dump(mode="json"), "mode": "reject"}}
    for key in ("q2", "veto", "flavour", "convention", "kpi"):
        keys[key] = getattr(run, key)
    if card.q2 and not smeared:
        every = [pair for part in likelihood.parts for pair in part.rate.covered()]
        keys["q2"] = segments((0.0, math.inf), every, ())
    where = dict(zip(likelihood.names, values, strict=True))
    for part in likelihood.parts:
        if isinstance(part.amplitude, KpiAmplitude):
            keys["kpi"] = part.amplitude.system_at(where)
    made = generate(
        list(numbers), likelihood.model(values), seed=seed, device="cpu", threads=likelihood.threads, **keys
    )
    columns = made.to_numpy()
    places = {index: np.flatnonzero(columns["channel"] == index) for index in np.unique(columns["channel"]).tolist()}
    if smeared:
        columns["q2_reco"] = np.zeros(len(columns["q2"]))
    for index, place in places.items() if smeared else ():
        rate = smeared[channel_by_index(index).name]
        q2 = rate.resolution.drawn(
            columns["q2"][place], np.random.default_rng([seed, 2, index]).random((len(place), 2))
        )
        columns["q2_reco"][place] = q2
        places[index] = place[np.any([(q2 >= low) & (q2 <= high) for low, high in rate.window], axis=0)]
    sizes = {index: numbers[str(entry["name"])] for index, entry in open_events(made).channels().items()}
    chosen = [
        np.concatenate([place[k * sizes[index] : (k + 1) * sizes[index]] for index, place in places.items()])
        for k in range(sets)
    ]
    drawn, generator = [], np.random.default_rng([seed, 1])
    for rows in chosen:
        own = {name: column[rows] for name, column in columns.items()}
        if card.b_mass is not None:
            own[COLUMN] = card.b_mass.drawn(generator.random(len(rows)), where)
        _put_backgrounds(own, likelihood, where, generator)
        drawn.append(EventSample(own, made.provenance))
    return drawn


def _put_backgrounds(
    columns: dict[str, Any], likelihood: Likelihood, where: Mapping[str, float], generator: np.random.Generator
) -> None:
    """Put events of the backgrounds in the place of the first ones of each channel."""
    for group in likelihood.groups:
        part, flavours = group[0], [one.amplitude.flavour for one in group]
        channel, components = part.amplitude.channel, [one.component for one in part.below]
        rows = np.flatnonzero(columns["channel"] == channel.index)
        shares = [one.at(where)[0] for one in components]
        numbers = generator.multinomial(len(rows), [*shares, 1.0 - sum(shares)])[:-1].tolist()
        for one, first, number in zip(components, np.cumsum([0, *numbers]).tolist(), numbers, strict=False):
            chosen = rows[first : first + number]
            q2 = one.drawn(generator.random(number), one.at(where)[1])
            columns["q2" if part.smeared is None else "q2_reco"][chosen] = q2
            columns["flavour"][chosen] = generator.choice(flavours, number)
            for name in channel.angles:
                end = np.pi if name == "phi" else 1.0
                columns[name][chosen] = generator.uniform(-end, end, number)
            if isinstance(part.amplitude, KpiAmplitude):
                low, high = part.amplitude.system.window
                top = np.minimum(high, part.amplitude.decay.m_parent - np.sqrt(q2))
                columns["m_kpi"][chosen] = low + (top - low) * generator.random(number)
            if part.mass is not None:
                slope = one.b_mass_slope_at(where)
                columns[COLUMN][chosen] = part.mass.shape.background_drawn(generator.random(number), slope)


def draw(
    events: EventsLike, card: FitCard, likelihood: Likelihood, values: Sequence[float], sets: int, seed: int
) -> list[Likelihood]:
    """Likelihoods of such samples; what is known of fields is measured anew in each, about the values."""
    generator = np.random.default_rng(seed)
    found = []
    for sample in draw_events(events, card, likelihood, values, sets, seed):
        one = likelihood_of(sample, card, likelihood.threads, like=likelihood)
        for name, (_, error) in likelihood.constraints.items():
            mean = values[likelihood.names.index(name)] + error * float(generator.standard_normal())
            one.constraints[name] = (mean, error)
        found.append(one)
    return found
