"""What ``generate`` and ``validate`` do once their options are read: the work, then tables and figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...physics.charmonium import missing_charm
from ..files.report import Report
from ..files.sample import open_events
from ..run import reduce
from ..run.card import RunCard
from ..run.farm import state
from ..run.generate import RunReport, check_files, check_space, execute
from ..run.plan import plan_run
from ..run.stream import kept_events
from ..run.workers import check_dask
from .console import print_json, progress_bar, remark, show_table, waiting
from .drawing import check_figures, write_figures

if TYPE_CHECKING:
    from ..analysis.validate import Verdict


def run_card(card: RunCard, dask: str | None = None, report: str | None = None, as_json: bool = False) -> bool:
    """Generate what a card asks for, check it, draw it and report on it if asked to; False if the check fails."""
    telling = Report(report, "generate", card.overwrite)
    if card.part is not None:
        told = state if card.reduce is None else reduce.state
        states = {name: told(card, name) for name in card.files()}
        if set(states.values()) == {"done"}:
            if as_json:
                print_json({"files": list(states), "made": False})
            else:
                print(f"file: {', '.join(states)}: already there")
            telling.write(states, made=False, card=card.for_provenance())
            return True
        if "other" not in states.values():  # what is there is made again: damaged, or of one channel only
            card = card.model_copy(update={"overwrite": True})
    check_files(card)
    check_dask(dask)
    with telling.stage("tables"), waiting("building the tables (the first run on a machine also fills the cache)"):
        plan = plan_run(card)
    check_space(plan)
    missing = (missing_charm(part.channel, card.model.theory, part.table.ranges) for part in plan.parts)
    for line in dict.fromkeys(filter(None, missing)):
        remark(line)
    total = plan.stop - plan.start
    remark(f"{total:,} events of {card.model.name} on {plan.backend.describe() if dask is None else f'Dask, {dask}'}")
    if kept := kept_events(plan):
        remark(f"going on from {kept:,} events that an earlier start of this run had made")
    try:
        with telling.stage("events"), progress_bar("generating", total) as progress:
            made = execute(plan, progress, dask=dask)
    except BaseException:
        if kept := kept_events(plan):
            remark(f"{kept:,} events are kept beside the output: the same command goes on from them")
        raise
    verdicts: list[Verdict] = []
    if card.check:
        from ..analysis.validate import validate

        with telling.stage("validation"), progress_bar("validating", total) as progress:
            verdicts = [validate(path, progress=progress, threads=card.threads) for path in made.files]
    if not as_json:
        _show_report(made, verdicts)
    drawn: list[str] = []
    if card.figures:
        with telling.stage("figures"):
            drawn = write_figures(made, card.figures, card.overwrite)
    if as_json:
        print_json({**made.to_dict(), "made": True, "validation": verdicts, "figures": drawn})
    elif drawn:
        print(f"figure: {', '.join(drawn)}")
    passed = all(verdict.passed for verdict in verdicts)
    checked = {"valid": passed} if verdicts else {}
    telling.write(
        [*made.files, *card.figures], made=True, channels=made.records(), **checked, card=card.for_provenance()
    )
    return passed


def _show_report(report: RunReport, verdicts: Sequence[Verdict]) -> None:
    p_values = {item.channel: item.p_value for verdict in verdicts for item in verdict.channels}
    header = ["channel", "events", "branching fraction", "seconds", "events/s"]
    asked = report.plan.card.accepted
    if asked is not None or any(entry.written != entry.events for entry in report.parts):
        header.insert(2, "accepted")
    if verdicts:
        header.append("p-value")
    rows = []
    for entry in report.parts:
        name = entry.part.channel.name
        rate = entry.events / entry.seconds if entry.seconds > 0 else 0.0
        row = [
            name,
            f"{entry.events:,}",
            f"{entry.part.branching:.4e}",
            f"{entry.seconds:.2f}",
            f"{rate:.2e}",
        ]
        if "accepted" in header:
            row.insert(2, f"{entry.written if asked is None else asked:,}")
        if verdicts:
            row.append(f"{p_values.get(name, 0.0):.3g}")
        rows.append(row)
    show_table("", header, rows)
    for path in report.files:
        print(f"file: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for verdict in verdicts:
        _show_verdict_line(verdict)


def _show_verdict_line(verdict: Verdict) -> None:
    from ..analysis.validate import FEWEST_EVENTS

    n_tests = sum(len(item.tests) for item in verdict.channels)
    word = "agrees with" if verdict.passed else "does NOT agree with"
    print(
        f"validation: {verdict.path} {word} the prediction: {n_tests} tests, smallest p-value times their number "
        f"{verdict.p_value:.3g}, fails below {verdict.false_alarm:.0e}"
    )
    for problem in verdict.problems:
        print(f"  problem: {problem}")
    for item in verdict.channels:
        for problem in item.problems:
            print(f"  problem in {item.channel}: {problem}")
        if item.events < FEWEST_EVENTS:
            print(f"  {item.channel}: {item.events} events are too few for tests of moments and spectrum")


def validate_and_show(
    files: Sequence[str],
    figures: Sequence[str],
    false_alarm: float,
    every: bool,
    threads: int | None,
    overwrite: bool,
    as_json: bool = False,
) -> bool:
    """Compare a file with the prediction and show the tests; whether it passed."""
    from ..analysis.validate import validate

    check_figures(figures, overwrite)
    began = time.perf_counter()
    events = files[0] if len(files) == 1 else files
    with progress_bar("validating", open_events(events).rows) as progress:
        verdict = validate(events, false_alarm, progress, threads)
    if as_json:
        print_json(verdict)
        write_figures(verdict, figures if verdict.channels else (), overwrite)
        return verdict.passed
    for item in verdict.channels:
        tests = sorted(item.tests, key=lambda test: test.p_value)
        shown = item.tests if every else tests[:10]
        title = f"{item.channel}: {item.events:,} events, {len(item.tests)} tests"
        show_table(
            title if every else f"{title}, those with the smallest p-values",
            ("test", "of", "flavour", "predicted", "measured", "error", "pull", "p-value"),
            [
                (
                    test.group,
                    test.name,
                    test.flavour,
                    f"{test.predicted:.6g}",
                    f"{test.measured:.6g}",
                    f"{test.error:.2g}",
                    f"{test.pull:+.2f}",
                    f"{test.p_value:.3g}",
                )
                for test in shown
            ],
            left=3,
        )
    _show_verdict_line(verdict)
    remark(f"{time.perf_counter() - began:.2f} s")
    if figures and verdict.channels:
        print(f"figure: {', '.join(write_figures(verdict, figures, overwrite))}")
    return verdict.passed
