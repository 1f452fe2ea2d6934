"""What a caller may send and its answers may cost, and what becomes of a provider that fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from conftest import App, AppMaker, wait_until
from sqlalchemy import update

from pilot.contract import Failure
from pilot.records import keys as records_of_keys
from pilot.records.database import now, writing
from pilot.records.tables import answers, items, keys
from pilot.serving import breaker, errors, spending
from pilot.serving.breaker import FAILURES, Breaker
from pilot.serving.spending import Spending


def _metric(app: App, name: str) -> float:
    value = app.service.metrics.registry.get_sample_value(name)
    assert value is not None
    return value


def test_a_caller_that_sends_too_much_is_refused_and_others_are_not(make_app: AppMaker) -> None:
    app = make_app(caller_rate=5)
    replies = [app.post(f"a{n}") for n in range(8)]
    assert [reply.status_code for reply in replies] == [202] * 5 + [429] * 3
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 90
    assert replies[-1].json()["detail"] == "A caller may send 5 items a minute."
    assert app.post("b", "bank").status_code == 202
    assert len(app.rows(items)) == 6


def test_without_the_limit_it_is_not(make_app: AppMaker) -> None:
    app = make_app(caller_rate=0)
    assert {app.post(f"a{n}").status_code for n in range(8)} == {202}


@pytest.fixture
def bought(make_app: AppMaker) -> Any:
    """A bought model, each answer of which costs 0.5."""

    def make(**changes: Any) -> App:
        return make_app("remote", "assist", known_interval=0, **changes)

    return make


def test_a_caller_whose_day_is_used_up_is_refused_and_others_are_not(bought: Any) -> None:
    app = bought(caller_daily_cost=1.0)
    replies = [app.post(f"a{n}") for n in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert int(replies[2].headers["retry-after"]) >= 1
    assert app.post("b", "bank").json()["source"] == "model"
    assert len(app.calls.all()) == 3


def test_at_the_ceiling_for_all_no_call_is_made_and_people_decide(bought: Any) -> None:
    app = bought(daily_cost=1.0)
    assert [app.post(f"a{n}").json()["status"] for n in range(2)] == ["answered"] * 2
    reply = app.post("a2", "bank").json()
    assert (reply["status"], reply["reason"], reply["suggestion"]) == ("needs_human", "ceiling", {"label": "by-rule"})
    assert len(app.calls.all()) == 2
    assert _metric(app, "pilot_daily_cost_ratio") == 1.0
    assert app.service.metrics.registry.get_sample_value("pilot_model_failures_total", {"reason": "ceiling"}) == 1
    app.client.base_url = "http://localhost"
    app.client.post("/login", data={"key": app.keys["rita"]})
    assert "has cost what it may cost today" in app.client.get(f"/review/{reply['id']}").text


def test_without_a_ceiling_calls_go_on(bought: Any) -> None:
    app = bought()
    assert {app.post(f"a{n}").json()["status"] for n in range(6)} == {"answered"}
    assert _metric(app, "pilot_daily_cost_ratio") == 0.0


def test_a_new_day_begins_anew(bought: Any) -> None:
    app = bought(daily_cost=0.5)
    app.post("a")
    assert app.post("b").json()["reason"] == "ceiling"
    with writing(app.service.engine) as connection:
        connection.execute(update(items).values(received_at=now() - timedelta(days=1)))
    app.service.spending._added.clear()
    app.service.live.read()
    assert app.post("c").json()["status"] == "answered"


def test_another_replicas_cost_counts_once_it_is_read(bought: Any) -> None:
    app = bought(daily_cost=100.0)
    app.post("a")
    with writing(app.service.engine) as connection:
        connection.execute(update(answers).where(answers.c.role == "primary").values(cost=100.0))
    app.service.live.read()
    assert app.post("b").json()["reason"] == "ceiling"


def test_many_calls_at_once_do_not_pass_the_ceiling_together(bought: Any) -> None:
    app = bought(daily_cost=2.0, model={"seconds": 0.3})
    assert app.post("first").json()["status"] == "answered"
    with ThreadPoolExecutor(12) as pool:
        told = [reply.json()["status"] for reply in pool.map(lambda n: app.post(f"a{n}"), range(12))]
    assert told.count("answered") == 3
    assert len(app.calls.all()) == 4


def test_where_calls_in_flight_are_not_counted_they_pass_it(bought: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spending, "call", lambda self, caller: contextlib.nullcontext())
    app = bought(daily_cost=2.0, model={"seconds": 0.3})
    app.post("first")
    with ThreadPoolExecutor(12) as pool:
        told = [reply.json()["status"] for reply in pool.map(lambda n: app.post(f"a{n}"), range(12))]
    assert told.count("answered") > 3


@pytest.mark.parametrize("spread", [True, False])
def test_whoever_is_refused_is_told_another_time_than_others(spread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not spread:
        monkeypatch.setattr(errors.random, "uniform", lambda low, high: low)
    told = {errors.too_many("", 30).headers["retry-after"] for _ in range(50)}
    assert (len(told) > 5) is spread
    assert all(30 <= int(one) <= 45 for one in told)


def test_in_shadow_the_ceiling_holds_too(make_app: AppMaker) -> None:
    app = make_app("remote", "shadow", known_interval=0, daily_cost=0.5)
    for n in range(3):
        assert app.post(f"a{n}").status_code == 202
        app.drained()
    assert len(app.calls.all()) == 1
    assert {row.failure for row in app.rows(answers) if row.role == "primary"} == {None, "ceiling"}


def test_the_next_day_is_less_than_a_day_away() -> None:
    assert 0 < spending.seconds_left() <= 86_400
    assert timedelta(0) <= now() - spending.midnight() < timedelta(days=1)


def test_a_provider_that_fails_again_and_again_is_left_alone_and_tried_by_one_call(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST", 0.5)
    app = make_app("remote-limited", "assist", known_interval=0)
    for n in range(FAILURES + 5):
        reply = app.post(f"a{n}").json()
        assert reply["reason"] == ("rate_limited" if n < FAILURES else "unavailable")
        assert reply["suggestion"] == {"label": "by-rule"}
    assert len(app.calls.all()) == FAILURES
    assert _metric(app, "pilot_breaker_open") == 1
    app.model.behaviour, app.model.seconds = "right", 0.5
    wait_until(lambda: app.service._inference.breaker._until < time.monotonic(), 5)
    with ThreadPoolExecutor(8) as pool:
        told = [reply.json()["reason"] for reply in pool.map(lambda n: app.post(f"b{n}"), range(8))]
    assert sorted(told, key=str) == [None, *["unavailable"] * 7], "one probe"
    assert len(app.calls.all()) == FAILURES + 1
    app.model.seconds = 0
    assert _metric(app, "pilot_breaker_open") == 0
    assert app.post("c").json()["status"] == "answered"


def test_without_the_breaker_each_item_is_a_call(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaker, "admits", lambda self: True)
    app = make_app("remote-limited", "assist", known_interval=0)
    for n in range(FAILURES + 5):
        app.post(f"a{n}")
    assert len(app.calls.all()) == FAILURES + 5


def test_a_probe_that_fails_doubles_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(breaker.time, "monotonic", lambda: clock[0])
    made = Breaker()
    for _ in range(FAILURES):
        assert made.admits()
        made.ended(Failure.TIMEOUT)
    pauses = []
    for _ in range(6):
        begun = clock[0]
        while not made.admits():
            clock[0] += 0.5
        pauses.append(clock[0] - begun)
        made.ended(Failure.PROVIDER_ERROR)
    assert pauses == [5, 10, 20, 40, 60, 60]
    while not made.admits():
        clock[0] += 0.5
    made.ended(None, cut_off=True)
    assert made.open
    assert made.admits(), "a probe that was cut off from here is made again"
    made.ended(Failure.INVALID_OUTPUT)
    assert not made.open, "an answer that cannot be read came from a provider that can be reached"


def test_an_answer_that_is_wrong_or_unreadable_opens_no_breaker() -> None:
    made = Breaker()
    for failure in (Failure.INVALID_OUTPUT, Failure.ERROR, None, Failure.ABSTAINED) * 5:
        made.ended(failure)
    assert not made.open


def test_a_call_that_is_cancelled_leaves_the_breaker_as_it_was(make_app: AppMaker) -> None:
    app = make_app("remote-hanging", "assist", known_interval=0)
    inference = app.service._inference

    async def cancelled() -> None:
        call = asyncio.create_task(inference._call(app.model, app.service.team.item(text="a"), "shop"))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancelled())
    assert inference.breaker.admits()
    assert inference._spending._calls.total() == 0


def test_when_a_key_ends_is_a_metric(make_app: AppMaker) -> None:
    app = make_app()
    portal = app.client.portal
    assert portal is not None
    portal.call(app.service._watch.figures)
    assert _metric(app, "pilot_key_expires_timestamp_seconds") == float("inf")
    ends = now() + timedelta(days=3)
    with writing(app.service.engine) as connection:
        connection.execute(update(keys).where(keys.c.name == "shop").values(expires_at=ends))
    portal.call(app.service._watch.figures)
    assert _metric(app, "pilot_key_expires_timestamp_seconds") == pytest.approx(ends.timestamp(), abs=1)
    assert _metric(app, "pilot_audit_entries") >= 5


def test_an_expired_key_is_refused_within_seconds(make_app: AppMaker) -> None:
    app = make_app()
    assert app.post("a").status_code == 202
    with writing(app.service.engine) as connection:
        connection.execute(update(keys).where(keys.c.name == "shop").values(expires_at=now()))
    wait_until(lambda: app.post("a").status_code == 401, 10)


def test_where_its_end_is_not_looked_at_it_holds_on(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_of_keys, "holds", lambda: keys.c.revoked_at.is_(None))
    app = make_app()
    with writing(app.service.engine) as connection:
        connection.execute(update(keys).where(keys.c.name == "shop").values(expires_at=now()))
    app.service.live.read()
    assert app.post("a").status_code == 202


def test_an_outcome_with_a_label_that_no_model_knows_is_counted(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    for label in ("refund", "refnud"):
        assert app.judge(app.post(label).json()["id"], final={"label": label}).status_code == 201
    assert _metric(app, "pilot_outcomes_unlisted_total") == 1
