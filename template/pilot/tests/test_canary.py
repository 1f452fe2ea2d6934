"""The canary: a stage that does harm steps back by itself; chance, an outage of all and one busy subject do not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from conftest import App, AppMaker, wait_until
from example_team import Prediction
from sqlalchemy import Engine
from test_backtest import recorded, write

from pilot.contract import Answer, Failure
from pilot.records import canary, rollout
from pilot.records.canary import STEP_BACK, Evidence, compared
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.outcomes import Outcome, judge
from pilot.records.rollout import Reach, Stage
from pilot.records.tables import audit
from pilot.serving import watch

DAYS = 7
BEGIN = datetime(2027, 1, 11, tzinfo=UTC)
STAGES = 200
Row = tuple[str, bool, bool, datetime]


def stage(seed: int, a_day: int, share: float, reached: float, rest: float, outages: float = 0.0) -> Iterator[Row]:
    """A week of a stage that reaches so many items a day: how often the items of each arm fail, and the share of the
    hours in which most of all fail."""
    draw = random.Random(seed)
    out = {hour for hour in range(DAYS * 24) if draw.random() < outages}
    hours = 0.0
    while (hours := hours + draw.expovariate(a_day / share / 24)) < DAYS * 24:
        arm = draw.random() < share
        fails = 0.8 if int(hours) in out else reached if arm else rest
        yield "", arm, draw.random() < fails, BEGIN + timedelta(hours=hours)


def stepped_back(rows: Iterator[Row]) -> float | None:
    """The hours until a stage steps back; None where it lasts the week."""
    seen = list(rows)
    found = compared(seen)
    if found.evidence < STEP_BACK:
        return None
    low, high = 0, len(seen)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if compared(seen[:middle]).evidence >= STEP_BACK else (middle + 1, high)
    return (seen[low - 1][3] - BEGIN).total_seconds() / 3600


@pytest.mark.parametrize(
    ("a_day", "share", "fails", "outages"),
    [
        (50, 0.1, 0.02, 0.0),
        (200, 0.5, 0.05, 0.0),
        (50, 0.1, 0.02, 0.05),
        (200, 0.5, 0.02, 0.05),
        (200, 0.9, 0.02, 0.05),
    ],
)
def test_chance_and_outages_of_all_step_back_hardly_any_stage(
    a_day: int, share: float, fails: float, outages: float
) -> None:
    weeks = (stage(seed, a_day, share, fails, fails, outages) for seed in range(STAGES))
    assert sum(stepped_back(week) is not None for week in weeks) <= 0.03 * STAGES


@pytest.mark.parametrize(("a_day", "hours"), [(50, 14), (500, 1.4)])
def test_a_canary_that_fails_three_in_ten_items_is_stepped_back_the_same_day(a_day: int, hours: float) -> None:
    found = [stepped_back(stage(seed, a_day, 0.1, 0.3, 0.01)) for seed in range(STAGES)]
    assert all(one is not None for one in found)
    assert median(one or 0 for one in found) <= hours


def test_a_canary_that_fares_better_never_steps_back() -> None:
    assert not any(stepped_back(stage(seed, 200, 0.5, 0.01, 0.3)) for seed in range(STAGES))


def test_the_evidence_is_that_of_the_formula() -> None:
    evidence = Evidence()
    assert evidence.add(True, False) == 1, "nothing was seen before it"
    # (1 + 1/2) / (1 + 1) against (0 + 1/2) / (1 + 1), and 1/2 in the mean.
    assert evidence.add(True, False) == pytest.approx(0.75 / 0.5 * 0.75 / 0.5)


def test_a_subject_that_tries_again_and_again_counts_once_a_day() -> None:
    rows: list[Row] = [("", False, False, BEGIN + timedelta(minutes=number)) for number in range(300)]
    rows += [("busy", True, True, BEGIN + timedelta(minutes=number, seconds=1)) for number in range(300)]
    found = compared(sorted(rows, key=lambda row: row[3]))
    assert (found.pairs, found.reached) == (1, 1)


# In the records, and in the service.


def fill(engine: Engine, opened: Stage, count: int = 60, failing: str = "", wrong: str = "") -> None:
    """Items of both arms by turns since the stage began, half of whose answers fail or are wrong in the named arm."""
    moment = opened.at
    for number in range(count):
        moment += timedelta(seconds=1)
        for mode in ("assist", "shadow"):
            bad = number % 2 == 0
            fails = bad and mode in failing
            answer = Answer.failed(Failure.INVALID_OUTPUT) if fails else Answer(Prediction(label="refund"), 0.9)
            row = recorded(moment, "money", answer, mode=mode, rollout_version=opened.version)
            write(engine, [row])
            if wrong and not fails:
                final = Prediction(label="other" if bad and mode in wrong else "refund")
                with writing(engine) as connection:
                    judge(connection, Vault(()), Prediction, row.record.id, Outcome(final=final, made_by="rita"))


def opened(engine: Engine, *shares: float) -> Stage:
    for seen, share in enumerate(shares):
        with writing(engine) as connection:
            made = rollout.change(connection, Reach(share), seen, "olga")
    return made


@pytest.mark.parametrize(
    ("failing", "wrong", "kind"),
    [
        ("assist", "", "failed"),
        ("", "assist", "disagreed"),
        ("assist shadow", "", ""),
        ("", "assist shadow", ""),
        ("shadow", "", ""),
    ],
)
def test_the_records_tell_harm_by_failures_and_by_disagreement(
    failing: str, wrong: str, kind: str, engine: Engine
) -> None:
    now_open = opened(engine, 0.1)
    fill(engine, now_open, failing=failing, wrong=wrong)
    with engine.connect() as connection:
        found = canary.look(connection, now_open)
    harmful = {name for name in ("failed", "disagreed") if getattr(found, name).evidence >= STEP_BACK}
    assert harmful == ({kind} if kind else set())
    assert found.failed.pairs == 60
    assert found.harmful == bool(kind)


def test_a_stage_is_compared_by_its_own_live_items_alone(engine: Engine) -> None:
    first = opened(engine, 0.1)
    fill(engine, first, failing="assist")
    write(
        engine,
        [recorded(now(), "money", Answer.failed(Failure.ERROR), mode="assist", rollout_version=2, origin="test")],
    )
    with writing(engine) as connection:
        second = rollout.change(connection, Reach(0.25), 1, "olga")
        assert canary.look(connection, second).failed.pairs == 0


def test_a_wider_stage_waits_for_a_day_for_pairs_and_for_the_end_of_harm(engine: Engine) -> None:
    now_open = opened(engine, 0.1)
    day = timedelta(days=1)

    def missing(wanted: Reach, moment: datetime = now_open.at + day) -> list[str]:
        with engine.connect() as connection:
            return [one.split()[0] for one in canary.waits_for(connection, now_open, wanted, moment)]

    assert missing(Reach(0.25), now_open.at) == ["a", "50"]
    assert missing(Reach(0.05)) == []
    fill(engine, now_open, 49)
    assert missing(Reach(0.25)) == ["50"]
    fill(engine, now_open, 1)
    assert missing(Reach(0.25)) == []
    assert missing(Reach(0.1, ("north",))) == []
    fill(engine, now_open, 60, failing="assist")
    assert missing(Reach(0.25)) == ["an"]


def since(app: App, share: float) -> Stage:
    return opened(app.service.engine, 0.1, share)


@pytest.mark.parametrize(("failing", "left"), [("assist", 0.1), ("assist shadow", 0.25)])
def test_the_service_steps_back_by_itself_once_and_says_why(
    failing: str, left: float, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CANARY", 0.1)
    app, other = make_app(mode="assist"), make_app(mode="assist")
    now_open = since(app, 0.25)
    fill(app.service.engine, now_open, failing=failing)
    looked = [one.service.metrics.canary._value for one in (app, other)]
    wait_until(lambda: all(value.get() > 1 or app.service.live.reach.share == left for value in looked), 20)
    if left == 0.1:
        wait_until(lambda: app.service.live.reach.share == left and other.service.live.reach.share == left, 20)
    found = [row for row in app.rows(audit) if row.event == "rollout.stepped_back"]
    assert len(found) == (left == 0.1), "of two processes one steps back"
    counted = sum(one.service.metrics.stepped_back._value.get() for one in (app, other))
    assert counted == len(found)
    if found:
        assert found[0].actor == "service"
        assert '"failed":{"evidence":' in found[0].detail


def test_without_the_look_the_stage_stays(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CANARY", 3600.0)
    app = make_app(mode="assist")
    fill(app.service.engine, since(app, 0.25), failing="assist")
    app.service.live.read()
    assert app.service.live.reach.share == 0.25
