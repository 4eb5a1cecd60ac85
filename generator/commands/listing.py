"""What the light commands do once their options are read: lists, predictions and a run card to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import WholeFile, check_target
from ...physics.binning import BinnedValue
from ...physics.channels import CHANNELS
from ...physics.charmonium import missing_charm
from ...physics.models import BENCHMARKS, Model
from ...physics.modes import Transition
from ..run.card import builtin_cards, read_card
from ..run.q2 import parse_window
from .console import print_json, remark, rounded, show_table, waiting
from .drawing import check_figures, write_figures


def list_channels(as_json: bool = False) -> None:
    """Print the registry of channels."""
    if as_json:
        found = [
            {
                "name": channel.name,
                "number": channel.index,
                "particles": [particle.label for particle in channel.particles],
                "fraction": channel.branching,
                "angles": list(channel.angles),
                "remark": channel.remark,
            }
            for channel in CHANNELS.values()
        ]
        print_json(found)
        return
    rows = [
        (
            channel.name,
            str(channel.index),
            _decay(channel.transition),
            f"{channel.branching:.4f}",
            " ".join(channel.angles),
        )
        for channel in CHANNELS.values()
    ]
    show_table("", ("channel", "number", "hadron", "fraction", "angles"), rows, left=3)
    for said in dict.fromkeys(channel.remark for channel in CHANNELS.values() if channel.remark):
        named = [channel.name for channel in CHANNELS.values() if channel.remark == said]
        print(f"{', '.join(named)}: {said}")


def _decay(transition: Transition) -> str:
    """Return the hadron, and what it decays to.

    >>> _decay(CHANNELS["B0->K*0mumu"].transition)
    'K*0 -> K+ pi-'
    """
    names = [particle.name for particle in transition.daughters]
    return " ".join([transition.hadron.name, *(["->", *names] if names else [])])


def list_models(as_json: bool = False) -> None:
    """Print the benchmark models."""
    if as_json:
        print_json(BENCHMARKS)
        return
    rows = [(name, _describe(model)) for name, model in BENCHMARKS.items()]
    show_table("", ("model", "on top of the Standard Model"), rows, left=2)
    print("any field can be changed: --set light_vectors.0.mass=2.8; `darkpenguin models NAME` lists the fields")


def _describe(model: Model) -> str:
    """Return what a model adds to the Standard Model, in one line."""
    parts = [f"{name} = {value.real:g}" for name, value in model.heavy if value]
    parts += [one.description() for one in model.interactions.values()]
    return "; ".join(parts) or "nothing"


def show_model(model: Model, as_json: bool = False) -> None:
    """Print every field of a model as ``--set`` names it."""
    if as_json:
        print_json(model)
        return
    rows: list[tuple[str, str]] = []

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif isinstance(value, list) and (not value or isinstance(value[0], dict)):
            for i, inner in enumerate(value):
                walk(f"{prefix}.{i}", inner)
        else:
            rows.append(
                (
                    prefix,
                    "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value),
                )
            )

    walk("", model.model_dump(mode="json"))
    show_table(model.name, ("field", "value"), rows, left=1)


def write_card(path: str, card: str, overwrite: bool) -> None:
    """Write a built-in card to a file, comments included."""
    read_card(card)  # its error names the cards there are
    target = check_target(path, overwrite=overwrite)
    source = builtin_cards().get(card)
    if source is None:
        raise InputError(f"card = {card!r}: built-in cards are {', '.join(builtin_cards())}")
    with WholeFile(target, overwrite) as temporary:
        temporary.write_bytes(source.read_bytes())
    print(f"{target} written; run it with `darkpenguin generate {target}`")


def predict_observables(
    observables: Sequence[str],
    keys: Mapping[str, Any],
    channel: str | None,
    bins: str | None,
    q2: str | None,
    points: int,
    kpi: str | None,
    errors: bool,
    format: str,
    figures: Sequence[str],
    overwrite: bool,
) -> None:
    """Print observables in bins or along a curve, and draw them if asked; ``keys`` are those of the model."""
    from ...physics.predict import channel_of, predict

    check_figures(figures, overwrite)
    if bins is not None and q2 is not None:
        raise InputError(f"--bins = {bins} and --q2 = {q2}: give bins, or the range of a curve")
    window = None if q2 is None else parse_window(q2, "q2")
    model, settings, theory = keys["model"] or "sm", keys["set"] or (), keys["theory"]
    with waiting("predicting"):
        rows = predict(observables, model, bins, window, points, channel, settings, theory, kpi, errors)
    missing = (
        missing_charm(channel_of(r.observable, channel), rows.model.theory, [(r.q2_min, r.q2_max)]) for r in rows
    )
    for line in dict.fromkeys(filter(None, missing)):
        remark(line)
    header = ("observable", *(("q2",) if bins is None else ("q2_min", "q2_max")), "value", *(("error",) * errors))
    cells = []
    for row in rows:
        places: tuple[str, ...] = (
            (f"{row.q2_min:.10g}",) if bins is None else (f"{row.q2_min:.12g}", f"{row.q2_max:.12g}")
        )
        cells.append((row.observable, *places, *_numbers(row, errors, format == "table")))
    if format == "json":
        print_json(rows)
    elif format == "csv":
        print(",".join(header))
        for cell in cells:
            print(",".join(cell))
    else:
        show_table(rows.model.name, header, cells)
    if names := write_figures(rows, figures, overwrite):
        remark(f"figure: {', '.join(names)}")


def print_polynomials(
    observables: Sequence[str], keys: Mapping[str, Any], couplings: str, channel: str | None, bins: str | None
) -> None:
    """Print observables in bins as polynomials in couplings; ``keys`` are those of the model."""
    from ...physics.popxf import popxf

    fields = tuple(part.strip() for part in couplings.split(",") if part.strip())
    model, settings, theory = keys["model"] or "sm", keys["set"] or (), keys["theory"]
    found = popxf(observables, fields, model, bins or "lhcb", channel=channel, set=settings, theory=theory)
    print_json(found)


def _numbers(row: BinnedValue, errors: bool, rounded_off: bool) -> tuple[str, ...]:
    """Value and, if asked for, error; rounded to two digits of the error where there is one, to five where not."""
    alone = f"{row.value:.5g}" if rounded_off else f"{row.value:.10g}"
    if not errors:
        return (alone,)
    if row.error is None:
        return alone, "-" if rounded_off else ""
    return rounded(row.value, row.error) if rounded_off else (alone, f"{row.error:.10g}")
