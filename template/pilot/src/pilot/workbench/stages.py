"""A stage of the rollout before it is opened and while it lasts: who is in it, what harm it can see and by when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, select

from pilot.contract import Failure, PilotError
from pilot.metrics import quantile, share
from pilot.records.canary import LEAST_DAYS, LEAST_PAIRS, STEP_BACK, Canary, Evidence
from pilot.records.controls import Mode
from pilot.records.rollout import BY_ITSELF, Reach, Stage
from pilot.records.tables import answers, items
from pilot.workbench import pages

LOOKS_BACK = timedelta(days=28)
# So much more of the items fails: the harms that are told.
HARMS = (0.3, 0.1, 0.05)
# A forecast draws so many stages, of so many pairs at most.
_STAGES, _MOST_PAIRS = 200, 1000


@dataclass(frozen=True)
class Harm:
    """A harm, as the share of the items that fail beyond what fails anyway; after how many pairs half of the stages and
    nine in ten step back, and None where that is more than were drawn."""

    more: float
    half: int | None
    most: int | None


@dataclass(frozen=True)
class Forecast:
    """What a stage will see: items a day of the users in it and of the rest, which may be None where no volume is
    known, and the share that fails anyway."""

    reached: float | None
    rest: float | None
    fails: float
    harms: tuple[Harm, ...]

    @property
    def pairs(self) -> float:
        """Pairs a day: an item that it reaches, with one of the rest."""
        return min(self.reached or 0.0, self.rest or 0.0)

    def days(self, pairs: int | None) -> float | None:
        """The days that so many pairs take; None where they never come."""
        return pairs / self.pairs if pairs and self.pairs else None

    @property
    def least(self) -> float | None:
        """The days after which there are as many pairs as a wider stage needs."""
        return self.days(LEAST_PAIRS)


def forecast(connection: Connection, wanted: Reach, stage: Stage | None, daily: float | None, at: datetime) -> Forecast:
    """The forecast for a stage that reaches `wanted`, from the live items of the 28 days before `at`, by the very rule
    that will assign them; from the charter's `daily` volume where there are none."""
    since = at - LOOKS_BACK
    joined = items.outerjoin(answers, and_(answers.c.item_id == items.c.id, answers.c.role == "primary"))
    columns = (items.c.subject, items.c.fingerprint, items.c.group, items.c.caller, items.c.received_at)
    seen = select(*columns, answers.c.failure).select_from(joined)
    seen = seen.where(items.c.origin == "live", items.c.received_at >= since).order_by(items.c.seq)
    stage = Stage(0, wanted, stage.salt if stage else "", at, "")
    total = reached = failed = 0
    first = at
    for row in connection.execute(seen):
        total += 1
        first = min(first, row.received_at)
        reached += stage.includes(row.subject or row.fingerprint, row.group, row.caller)
        failed += row.failure is not None and row.failure != Failure.ABSTAINED
    fails = share(failed, total) or 0.0
    harms = tuple(_harm(fails, more) for more in HARMS)
    if total:
        days = max(1.0, (at - first).total_seconds() / 86_400)
        return Forecast(reached / days, (total - reached) / days, fails, harms)
    if daily and not wanted.teams:
        return Forecast(daily * wanted.share, daily * (1 - wanted.share), fails, harms)
    return Forecast(None, None, fails, harms)


def _harm(fails: float, more: float) -> Harm:
    """Draws stages with this harm, each with its own numbers, the same ones each time."""
    found: list[float] = []
    for number in range(_STAGES):
        draw, evidence = random.Random(number).random, Evidence()  # noqa: S311 - no secret
        found.append(
            next(
                (
                    float(pair)
                    for pair in range(1, _MOST_PAIRS + 1)
                    if evidence.add(draw() < min(1.0, fails + more), draw() < fails) >= STEP_BACK
                ),
                float("inf"),
            )
        )
    half, most = (quantile(found, q) or 0.0 for q in (0.5, 0.9))
    return Harm(more, *(int(pairs) if pairs <= _MOST_PAIRS else None for pairs in (half, most)))


def wanted(words: list[str], stage: Stage | None) -> Reach:
    """Who is meant by the words of `pilot rollout to`; a team is added to the present stage. Raises PilotError."""
    present = stage.reach if stage else Reach()
    match words:
        case ["all"]:
            return Reach(1.0, present.teams)
        case ["team", name]:
            return Reach(present.share, (*(team for team in present.teams if team != name), name))
        case [number] if number.endswith("%"):
            try:
                return Reach(float(number[:-1]) / 100, present.teams)
            except ValueError:
                pass
    raise PilotError(
        f"{' '.join(words)!r} is no stage. Write 10%, or team NAME, or all. `pilot rollback` reaches nobody."
    )


def shown(stage: Stage | None, mode: Mode, canary: Canary | None, missing: list[str], forecast: Forecast | None) -> str:
    """The stage in force, for people."""
    return _render(stage, mode, forecast, canary=canary, missing=missing)


def challenged(words: str) -> Reach:
    """The share of a challenger, by the word of `pilot model promote --share`. Raises PilotError."""
    reach = wanted([words], None) if words.endswith("%") else Reach(1.0)
    if reach.share == 1:
        raise PilotError(f"--share {words} is no part of the items. Write 10%, or leave it out to put it in force.")
    return reach


def planned(stage: Stage | None, reach: Reach, mode: Mode, forecast: Forecast) -> str:
    """What a stage would reach and see, for people to decide on."""
    before = f", {stage.reach} until now" if stage else ", whoever sends until now"
    return f"To be reached: {reach}{before}.\n{_render(None, mode, forecast, planned=True)}"


def _render(stage: Stage | None, mode: Mode, forecast: Forecast | None, **facts: Any) -> str:
    facts = {"canary": None, "missing": [], "planned": False, "by_itself": BY_ITSELF, **facts}
    hidden = mode not in (Mode.ASSIST, Mode.AUTO)
    known = {"stage": stage, "mode": mode.value, "hidden": hidden, "forecast": forecast, "span": _span}
    return pages.render("rollout.txt", **known, **facts, limit=f"{STEP_BACK:g}", least_days=LEAST_DAYS)


def _span(days: float) -> str:
    """A time in the unit that fits."""
    hours = round(days * 24)
    return f"{max(1, hours)} h" if hours < 48 else f"{days:.0f} days"
