"""Production in five answers: does it work, what is it worth, who uses it, is it safe, what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup
from sqlalchemy import Connection, func, select

from pilot.charter import Charter, read_objectives
from pilot.frontmatter import midnight
from pilot.metrics import share
from pilot.records import canary, controls, feedback, queries, rollout
from pilot.records.database import now
from pilot.records.outcomes import ACTIONS, is_final, latest, of_live
from pilot.records.tables import Status, items, outcomes
from pilot.workbench import pages, phrases
from pilot.workbench.columns import Columns
from pilot.workbench.evaluation import Evaluation, Figure, Versus, evaluate, moment
from pilot.workbench.pilot import Pilot, Watched
from pilot.workbench.report import over_time
from pilot.workbench.results import read, readable

# How many days the page looks at, and after how many without a decision the quality is not known.
DAYS, SILENT = 28, 7


@dataclass(frozen=True)
class Answer:
    """An answer in a word or two, whether that is good, bad or neither, and what it stands on, line by line."""

    question: str
    said: str
    good: bool | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Production:
    """The answers, the picture of the metric, and the days from and to which they speak."""

    answers: tuple[Answer, ...]
    picture: Markup
    days: int


def evaluated(pilot: Pilot, connection: Connection, days: int) -> tuple[Columns, Evaluation]:
    """The live items of the last `days` days, without those from which the version that answered them had learned, and
    the charter's metric over them, by the code that judged the pilot.

    Raises PilotError when the charter has no target.
    """
    until = moment(pilot.today)
    contents = readable(pilot.contents, pilot.charter)
    found, _ = read(connection, contents, until, begins=until - timedelta(days=days))
    found = found.of(~(found.trained == 1))
    return found, evaluate(found, pilot.charter, pilot.baseline_values, as_of=pilot.today, window=None, now=now())


def grounds(pilot: Pilot, connection: Connection, days: int = DAYS) -> tuple[Answer, Answer]:
    """Whether it works, and what it is worth, over the last `days` days: what a go was given for.

    Raises PilotError when the charter has no target.
    """
    _, found = evaluated(pilot, connection, days)
    return _working(connection, pilot, pilot.charter, found), _worth(pilot.charter, found)


def new_decision(pilot: Pilot, answers: Iterable[Answer], days: int = DAYS) -> str:
    """The document that opens a new decision, in Markdown, with the figures filled in."""
    charter = pilot.charter
    return pages.render(
        "new-decision.md",
        pilot=charter.pilot or "the pilot",
        owner=(charter.owner and charter.owner.name) or "who is not named",
        answers=answers,
        kill_criteria=charter.kill_criteria,
        days=days,
        today=pilot.today,
    )


def look(pilot: Pilot, connection: Connection, days: int = DAYS, watched: Watched | None = None) -> Production:
    """The page's answers over the last `days` days; `watched` is what Prometheus saw, where it answers.

    Raises PilotError when the charter has no target.
    """
    charter = pilot.charter
    columns, found = evaluated(pilot, connection, days)
    picture = over_time(found, columns, charter.cost_of_hour, "production")
    answers = (
        _working(connection, pilot, charter, found),
        _worth(charter, found),
        _used(connection, pilot, found, days),
        _safe(connection, pilot, columns, watched),
        _next(connection, pilot),
    )
    return Production(answers, Markup(picture), days)  # noqa: S704 - drawn here, texts escaped


def _working(connection: Connection, pilot: Pilot, charter: Charter, found: Evaluation) -> Answer:
    currency, estimate = charter.currency or "", found.figure.estimate
    lines = [
        f"{phrases.reached(found.figure, currency)}.",
        f"The target is {phrases.target(found, currency)}.",
        *_beside(found.figure, found.baseline, currency),
    ]
    last = connection.execute(of_live(select(func.max(outcomes.c.at)).join(items), None)).scalar()
    if last is None or (pilot.today - last.date()).days > SILENT:
        silent = f"People last decided on {last.date()}" if last else "Nobody has decided anything yet"
        return Answer("Does it work?", "Not known", None, (f"{silent}, so the quality is not known.", *lines))
    low, high = estimate.low, estimate.high
    if found.direction == "down":
        low, high = (None if end is None else -end for end in (high, low))
    target = found.target if found.direction == "up" else -found.target
    if low is not None and low >= target:
        return Answer("Does it work?", "Yes", True, tuple(lines))
    if high is not None and high < target:
        return Answer("Does it work?", "No", False, tuple(lines))
    return Answer("Does it work?", "Not proven", None, tuple(lines))


def _beside(figure: Figure, beside: Versus | None, currency: str) -> Iterator[str]:
    if beside is None or beside.comparison.difference is None:
        return
    before = phrases.amount(figure.metric, beside.other.value, currency, phrases.reach_of(beside.other))
    proven = "better" if beside.better else "worse" if beside.worse else "not proven to differ"
    yield f"Before the AI it was {before}: {proven}."


def _worth(charter: Charter, found: Evaluation) -> Answer:
    """What it saves against the baseline, for the items of these days; "at least" where some items have no figure."""
    question, currency = "What is it worth?", charter.currency or "of the currency"
    figures = {found.figure.metric: (found.figure, found.baseline)}
    figures |= {other.figure.metric: (other.figure, other.baseline) for other in found.others}
    lines: list[str] = []
    said = "Not known"
    good: bool | None = None
    for metric in ("cost_per_item", "cycle_time", "manual_touches"):
        figure, beside = figures.get(metric, (found.figure, None))
        if beside is None or beside.comparison.difference is None:
            continue
        saved = -beside.comparison.difference * figure.known
        word = "at least " if figure.known < figure.items else ""
        amount = phrases.amount(metric, abs(saved), currency)
        lines.append(
            f"{phrases.title(metric)}: {word}{amount} {'saved' if saved >= 0 else 'more than before'} in all, on "
            f"{figure.known} of {figure.items} items."
        )
        if said == "Not known":
            said, good = f"{word.capitalize()}{amount} {'saved' if saved >= 0 else 'lost'}", _good(beside)
    if not lines:
        lines = ["The baseline measured neither cost nor time nor actions, or no item has them."]
    return Answer(question, said, good, tuple(lines))


def _good(beside: Versus) -> bool | None:
    return True if beside.better else False if beside.worse else None


def _used(connection: Connection, pilot: Pilot, found: Evaluation, days: int) -> Answer:
    since = midnight(pilot.today) - timedelta(days=days)
    served = items.c.mode.in_((controls.Mode.ASSIST, controls.Mode.AUTO))
    counted = select(items.c.status, func.count()).where(served, items.c.received_at >= since).group_by(items.c.status)
    status: dict[str, int] = dict(connection.execute(of_live(counted, None)).all())
    last = latest()
    joined = items.join(last, last.c.item_id == items.c.id).join(outcomes, is_final(last))
    acted = select(outcomes.c.action, func.count()).select_from(joined)
    acted = acted.where(items.c.received_at >= since).group_by(outcomes.c.action)
    actions: dict[str | None, int] = dict(connection.execute(of_live(acted, None)).all())
    total = sum(status.values())
    checked = {name: actions.get(name, 0) for name in ACTIONS}
    lines = [f"{total} of {found.figure.items} items were answered for their users; the rest was in shadow."]
    if total:
        alone = phrases.share(share(total - status.get(Status.ANSWERED, 0), total))
        lines.append(f"{alone} of those had no usable answer, so people decided alone.")
    if number := sum(checked.values()):
        told = (f"{phrases.share(share(count, number))} {name}" for name, count in checked.items())
        lines.append(f"Of {number} answers that people checked: {', '.join(told)}.")
    lines.append(f"People have decided {phrases.share(found.figure.coverage)} of the items that wait for them.")
    return Answer("Who uses it?", f"{total} items" if total else "Nobody yet", None, tuple(lines))


def _safe(connection: Connection, pilot: Pilot, columns: Columns, watched: Watched | None) -> Answer:
    flags = {flag: at for flag, at in feedback.oldest(connection).items() if at}
    oldest, looked = queries.queue(connection, 1), controls.drift(connection)
    changed = [f"{field}: {what}" for field, what, size in looked[1] if size] if looked else []
    lines = [f"{phrases.share(share(int(columns.failed.sum()), len(columns)))} of the answers failed."]
    if looked:
        lines.append(f"Drift, looked for on {looked[0].date()}: {', '.join(changed) or 'nothing changed'}.")
    else:
        lines.append("Nobody has looked for drift.")
    if oldest:
        lines.append(f"The oldest item that waits for a person came on {oldest[0].received_at.date()}.")
    lines += [f"A flag waits since {at.date()}: {flag.replace('_', ' ')}." for flag, at in sorted(flags.items())]
    lines += _watched(pilot, watched)
    if "unsafe" in flags:
        return Answer("Is it safe?", "An answer was flagged as unsafe", False, tuple(lines))
    if watched and any(firing for *_, firing in watched.alerts):
        return Answer("Is it safe?", "An alert is firing", False, tuple(lines))
    if watched and _spent(pilot, watched) > 1:
        return Answer("Is it safe?", "Too many requests failed", False, tuple(lines))
    if changed:
        return Answer("Is it safe?", "Something has changed", None, tuple(lines))
    return Answer("Is it safe?", "Nothing says otherwise" if looked else "Not known", None, tuple(lines))


def _spent(pilot: Pilot, watched: Watched) -> float:
    """The share of the error budget that is spent: 1 where as many requests failed as slo.toml allows."""
    return watched.failed / ((1 - read_objectives(pilot.root).availability) * watched.requests or 1)


def _watched(pilot: Pilot, watched: Watched | None) -> Iterator[str]:
    if watched is None:
        yield "Prometheus did not answer, so it is not known which alerts fired and how many requests failed."
        return
    for summary, last, minutes, firing in sorted(watched.alerts, key=lambda alert: alert[1], reverse=True):
        when = f"now, and for {minutes} min in all" if firing else f"last on {last.date()}, for {minutes} min in all"
        yield f"An alert fired {when}: {phrases.ended(summary)}"
    if not watched.alerts:
        yield "No alert fired in the last 28 days."
    if watched.requests:
        spent = phrases.share(_spent(pilot, watched))
        of = f"{watched.failed:,.0f} of {watched.requests:,.0f} requests failed in 28 days"
        yield f"{of}: {spent} of the errors that slo.toml allows."


def _next(connection: Connection, pilot: Pilot) -> Answer:
    stage, version = rollout.read(connection), controls.model(connection)
    drills = [entry.date for entry in pilot.chain.entries if entry.kind == "drill"]
    trained = controls.model_history(connection)
    lines = []
    if stage is None:
        said = "No stage of the rollout yet"
    else:
        said = f"The rollout reaches {stage.reach}"
        lines.append(f"{stage.by} opened this stage on {stage.at.date()}.")
        missing = canary.waits_for(connection, stage, rollout.Reach(1.0), now())
        lines += [f"A wider stage waits for {'; '.join(missing)}."] if missing else []
    if challenger := rollout.challenger(connection):
        lines.append(f"Version {challenger.model} answers {challenger.reach} beside it since {challenger.at.date()}.")
    if trained:
        event = trained[-1]["event"].split(".")[1].replace("_", " ")
        lines.append(f"The model {version or trained[-1].get('version')} was {event} on {trained[-1]['at'].date()}.")
    lines.append(f"The runbook was last drilled on {max(drills)}." if drills else "The runbook was never drilled.")
    return Answer("What comes next?", said, None, tuple(lines))
