"""The report on the pilot: one HTML file for people, and the same in Markdown for a pull request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pilot.workbench import charts, evaluation, metrics, phrases, sheet
from pilot.workbench.columns import Columns
from pilot.workbench.evaluation import Baseline, Evaluation, Verdict, moment
from pilot.workbench.series import censored_series, series
from pilot.workbench.stats import survival
from pilot.workbench.stats.agreement import Agreement, Direction, direction_of
from pilot.workbench.stats.comparisons import Gain

_CONFUSIONS = 8


@dataclass(frozen=True)
class Report:
    """What a report tells: the evaluation, with what it was made of. `remarks` stand on page one. `contaminated` is
    whether the baseline may show what the AI did. `agreement` is of the
    labels, None where answers are no labels; `gain` is of the model's last step of learning, None where it has none."""

    name: str
    currency: str
    evaluation: Evaluation
    columns: Columns
    measured: Baseline
    cost_of_hour: float | None
    remarks: tuple[str, ...]
    agreement: Agreement | None
    gain: Gain | None
    contaminated: bool = False


def html(report: Report) -> str:
    """The report as one HTML file that needs no other. The same records give the same bytes."""
    pages = {name: Markup(svg) for name, svg in _pictures(report).items()}  # noqa: S704 - drawn here, texts escaped
    return sheet.render("report.html", pictures=pages, **_facts(report))


def markdown(report: Report) -> str:
    """The report as Markdown, without its pictures."""
    return sheet.render("report.md", pictures={}, **_facts(report))


def _facts(report: Report) -> dict[str, Any]:
    found = report.evaluation
    return {
        "name": report.name,
        "found": found,
        "lead": phrases.lead(found, report.currency, report.contaminated),
        "meaning": phrases.MEANING[found.verdict],
        "target": phrases.target(found, report.currency),
        "remarks": report.remarks,
        "agreement": report.agreement,
        "confusions": report.agreement.confusions[:_CONFUSIONS] if report.agreement else (),
        "direction": _direction(report.agreement),
        "gain": report.gain,
        "gap": found.verdict in (Verdict.MISSED, Verdict.NOT_PROVEN),
        "number": phrases.number,
        "interval": phrases.interval,
        "share": phrases.share,
        "versus": lambda versus: phrases.versus(versus, found.early),
        "state": lambda rail: phrases.state(rail, found.early),
        "bounds": phrases.bounds(found) if found.figure.bounds else None,
        "value": phrases.value(found),
        "judged": phrases.JUDGED,
        "parts": {dimension: phrases.parts(members) for dimension, members in found.slices.items()},
        "phrases": phrases,
    }


def _direction(found: Agreement | None) -> Direction | None:
    """Whether the two labels that are confused most are confused to one side."""
    if found is None or not found.confusions:
        return None
    return direction_of(found, found.confusions[0].ai, found.confusions[0].human)


def _pictures(report: Report) -> dict[str, str]:
    found, columns = report.evaluation, report.columns
    if found.figure.horizon is None:
        days = series(columns, found.metric, report.cost_of_hour)
    else:
        days = censored_series(columns, found.counted_until)
    unit = "%" if found.metric == "accuracy" else found.unit
    made = {
        "progress": charts.target_over_time(
            days.days,
            days.values,
            days.lows,
            days.highs,
            found.target,
            name="progress",
            title=f"{phrases.METRICS[found.metric]} after each day, against the target",
            description=phrases.progress(days, found),
            unit=unit,
        ),
        "coverage": charts.coverage(
            [phrases.band(band) for band in found.bands],
            [band.labelled for band in found.bands],
            [band.items for band in found.bands],
            name="coverage",
            title="Items with an outcome, by the AI's confidence",
            description=phrases.coverage(found.bands),
            # Where answers are used without a person, most of a band is judged by nobody, and meant to be.
            floor=None if found.sampled else found.floor,
        ),
    }
    table = found.calibration.table
    if table:
        made["reliability"] = charts.reliability(
            [one.confidence for one in table],
            [one.share for one in table],
            [one.interval[0] or 0.0 for one in table],
            [1.0 if one.interval[1] is None else one.interval[1] for one in table],
            name="reliability",
            title="How often answers were right, by the AI's confidence",
            description=str(found.calibration),
        )
    if report.agreement is not None and report.agreement.table is not None and len(report.agreement.labels) > 1:
        made["confusion"] = charts.confusion(
            report.agreement.labels,
            report.agreement.table,
            name="confusion",
            title="What the AI said, and what people decided",
            description=str(report.agreement),
        )
    hours, after = report.measured.get("cycle_time", ()), _cycle(report)
    if len(hours) and after is not None:
        made["cycle"] = charts.cycle_time(
            charts.cumulative(hours),
            after,
            name="cycle",
            title="Time from arrival to the final outcome, before the pilot and in it",
            description=phrases.cycle(found),
        )
    return made


def _cycle(report: Report) -> charts.Curve | None:
    """The curve of the pilot's items, the open ones included as such; None where the AI could change no time."""
    sample = metrics.cycle_time(report.columns)
    known = sample.known
    if not known.any():
        return None
    until = moment(report.evaluation.counted_until).timestamp()
    return survival.curve(evaluation.hours_until(report.columns, sample, until), known)
