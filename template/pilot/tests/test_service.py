"""Modes: what callers are told, what is recorded, and whom the model's faults reach."""

from __future__ import annotations

import math
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import AppMaker, wait_until

from pilot.contract import Answer, PilotError
from pilot.records import audit, controls
from pilot.records.database import writing
from pilot.records.tables import answers, items
from pilot.records.tables import audit as trail
from pilot.serving import leases, responses, service

BEHAVIOURS = ["right", "wrong", "dead", "garbage", "hanging", "none", "remote", "remote-dead", "remote-garbage"]
BEHAVIOURS += ["remote-hanging"]


def _without_id(body: bytes) -> bytes:
    return re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"ID", body)


def test_the_default_mode_is_shadow_and_each_record_names_its_mode(make_app: AppMaker) -> None:
    app = make_app()
    assert app.service.live.mode == "shadow"
    app.post()
    assert [row.mode for row in app.rows(items)] == ["shadow"]


def test_shadow_responses_are_the_same_bytes_whatever_the_model_does(make_app: AppMaker) -> None:
    seen = set()
    for number, behaviour in enumerate(BEHAVIOURS):
        app = make_app(behaviour, database_url=f"sqlite:///{number}.db", model_deadline=0.5)
        for text in ("where is my money", "🙂"):
            reply = app.post(text)
            headers = {n: v for n, v in reply.headers.items() if n != "x-request-id"}
            seen.add((reply.status_code, _without_id(reply.content), tuple(sorted(headers.items()))))
    assert len(seen) == 1
    assert next(iter(seen))[0] == 202


def test_shadow_answers_before_a_slow_model_ends(make_app: AppMaker) -> None:
    app = make_app("right", model={"seconds": 2.0})
    app.post()
    replied = time.monotonic()
    wait_until(lambda: app.model.ended)
    assert replied < app.model.ended[0]
    app.drained()


def test_shadow_is_as_quick_with_a_dead_or_hanging_model(make_app: AppMaker) -> None:
    apps = [
        make_app(b, database_url=f"sqlite:///{b}.db", model_deadline=0.5)
        for b in ("right", "hanging", "remote-hanging")
    ]
    took: list[list[float]] = [[] for _ in apps]
    for _ in range(30):
        for app, seconds in zip(apps, took, strict=True):
            begun = time.perf_counter()
            app.post()
            seconds.append(time.perf_counter() - begun)
    right, *others = (statistics.median(seconds) for seconds in took)
    assert max(others) < 5 * right + 0.05


def test_callers_and_operators_never_see_a_shadow_answer(make_app: AppMaker) -> None:
    app = make_app()
    identity = app.post("where is my money").json()["id"]
    app.drained()
    assert b"refund" in next(row.prediction for row in app.rows(answers) if row.role == "primary")
    for who in ("shop", "olga"):
        for path in (f"/v1/predictions/{identity}", "/v1/predictions", "/openapi.json"):
            found = app.get(path, who)
            assert found.status_code == 200
            assert "refund" not in found.text
            assert "by-rule" not in found.text
    told = [line for line in app.get("/metrics", "olga").text.splitlines() if "refund" in line]
    assert [line for line in told if "_created{" not in line] == ['pilot_predicted_total{label="refund"} 0.0']
    app.set_mode("assist")
    app.post("where is my money once more")
    assert 'pilot_predicted_total{label="refund"} 1.0' in app.get("/metrics", "olga").text


def test_a_shadow_item_gets_the_answers_of_the_model_and_the_rules(make_app: AppMaker) -> None:
    app = make_app()
    app.post("where is my money")
    app.drained()
    made = {row.role: row for row in app.rows(answers)}
    assert set(made) == {"primary", "rules"}
    assert (made["primary"].source, made["primary"].model_version, made["primary"].confidence) == (
        "model",
        "local-1",
        0.9,
    )
    assert (made["rules"].source, made["rules"].model_version) == ("process", "rules-1")
    assert not made["primary"].shown
    assert app.rows(items)[0].review == "blind"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("dead", "error"), ("hanging", "timeout"), ("none", "unavailable"), ("remote-dead", "error"),
     ("remote-hanging", "timeout"), ("remote-limited", "rate_limited")],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["assist", "auto"])
def test_a_failure_of_the_model_is_for_people_with_the_suggestion_of_the_rules(
    behaviour: str, reason: str, mode: str, make_app: AppMaker
) -> None:
    app = make_app(behaviour, mode, model_deadline=0.5)
    reply = app.post()
    assert reply.status_code == 200
    body = reply.json()
    assert (body["status"], body["reason"], body["prediction"], body["confidence"]) == (
        "needs_human",
        reason,
        None,
        None,
    )
    assert (body["suggestion"], body["source"]) == ({"label": "by-rule"}, "process")
    made = {row.role: row for row in app.rows(answers)}
    assert made["primary"].failure == reason
    assert made["primary"].prediction is None
    assert f'pilot_model_failures_total{{reason="{reason}"}} 1.0' in app.get("/metrics", "olga").text


@pytest.mark.parametrize("behaviour", ["right", "remote"])
@pytest.mark.parametrize("mode", ["off", "shadow", "assist", "auto"])
def test_once_the_pilot_is_closed_people_decide_and_no_model_is_called(
    behaviour: str, mode: str, make_app: AppMaker
) -> None:
    app = make_app(behaviour, mode)
    with writing(app.service.engine) as connection:
        controls.close(connection, "olga", "decision 0001-no-go.md")
    app.service.live.read()
    reply = app.post()
    body = reply.json()
    assert (reply.status_code, body["status"], body["reason"], body["mode"]) == (200, "needs_human", "closed", "off")
    assert (body["prediction"], body["suggestion"]) == (None, {"label": "by-rule"})
    assert app.calls.all() == []
    with writing(app.service.engine) as connection:
        controls.reopen(connection, "olga", "decision 0002-go.md")
    app.service.live.read()
    assert app.post().json()["reason"] == ("off" if mode == "off" else None)


@pytest.mark.parametrize("behaviour", ["garbage", "remote-garbage"])
def test_whatever_a_model_returns_is_an_answer_or_a_failure(behaviour: str, make_app: AppMaker) -> None:
    app = make_app(behaviour, "assist")
    for length in range(1, 12):
        body = app.post("x" * length).json()
        assert (body["status"], body["reason"], body["prediction"]) == ("needs_human", "invalid_output", None), length


def test_one_bad_item_of_a_batch_fails_alone(make_app: AppMaker) -> None:
    app = make_app("poisoned", "assist", model={"seconds": 0.05})
    texts = ["poison" if n == 5 else f"money {n}" for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        replies = [reply.json() for reply in pool.map(app.post, texts)]
    assert [reply["reason"] for reply in replies] == ["error" if text == "poison" else None for text in texts]


def test_a_hanging_model_makes_later_requests_fail_at_once_until_it_is_free(make_app: AppMaker) -> None:
    app = make_app("hanging", "assist", model_deadline=0.5)
    assert app.post().json()["reason"] == "timeout"
    assert app.post().json()["reason"] == "busy"
    app.model.behaviour = "right"
    app.model.release.set()
    assert wait_until(lambda: app.post().json()["status"] == "answered")


def test_assist_shows_the_answer_for_a_person_to_accept(make_app: AppMaker) -> None:
    app = make_app("right", "assist", model={"confidence": 0.1})
    body = app.post("where is my money").json()
    assert (body["status"], body["source"], body["prediction"], body["confidence"], body["suggestion"]) == (
        "answered", "model", {"label": "refund"}, 0.1, None,
    )  # fmt: skip
    assert app.rows(items)[0].review == "assist"
    assert {row.role: row.shown for row in app.rows(answers)} == {"primary": True, "rules": False}


@pytest.mark.parametrize(("confidence", "status"), [(0.8, "answered"), (0.79, "needs_human"), (None, "needs_human")])
@pytest.mark.parametrize("behaviour", ["right", "remote"])
def test_auto_uses_an_answer_from_the_threshold_on(
    behaviour: str, confidence: float | None, status: str, make_app: AppMaker
) -> None:
    app = make_app(behaviour, "auto", model={"confidence": confidence}, threshold=0.8)
    body = app.post().json()
    assert body["status"] == status
    if status == "needs_human":
        assert (body["reason"], body["prediction"], body["suggestion"]) == (
            "low_confidence",
            None,
            {"label": "by-rule"},
        )
        assert app.rows(items)[0].review == "manual"


def _charter(app_root: Any, facts: str) -> None:
    file = app_root / "phases" / "1-scope" / "charter.md"
    file.parent.mkdir(parents=True)
    file.write_text(f"---\n{facts}\n---\n")


@pytest.mark.parametrize(("share", "review"), [(1.0, "audit"), (0.0, None)])
def test_auto_queues_its_audit_share_for_blind_review(
    share: float, review: str | None, tmp_path: Any, make_app: AppMaker
) -> None:
    _charter(tmp_path, f"audit_share: {share}")
    app = make_app("right", "auto")
    for _ in range(5):
        assert app.post().json()["status"] == "answered"
    assert {row.review for row in app.rows(items)} == {review}
    assert {row.audit_probability for row in app.rows(answers) if row.role == "primary"} == {share}


def test_the_audit_is_drawn_for_each_item(tmp_path: Any, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    _charter(tmp_path, "audit_share: 0.25")
    draws = iter([0.1, 0.24, 0.25, 0.9] * 5)
    monkeypatch.setattr(responses, "_draw", lambda: next(draws))
    app = make_app("right", "auto")
    for _ in range(20):
        app.post()
    assert [row.review for row in app.rows(items)] == ["audit", "audit", None, None] * 5


def test_the_draw_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    monkeypatch.setattr(responses, "_draw", random.Random(5).random)
    assert 400 < sum(responses._draw() < 0.25 for _ in range(2000)) < 600


@pytest.mark.parametrize("behaviour", ["right", "remote"])
def test_off_calls_no_model_and_leaves_items_to_people(behaviour: str, make_app: AppMaker) -> None:
    app = make_app(behaviour, "off")
    body = app.post().json()
    assert (body["status"], body["reason"], body["mode"], body["suggestion"]) == (
        "needs_human", "off", "off", {"label": "by-rule"},
    )  # fmt: skip
    assert app.calls.all() == []
    assert [row.role for row in app.rows(answers)] == ["rules"]
    assert app.rows(items)[0].review == "manual"


def test_off_reaches_calls_that_wait_for_their_turn(make_app: AppMaker) -> None:
    app = make_app("remote", "assist", model={"seconds": 0.5}, max_calls=1)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(app.post, f"number {n}") for n in range(4)]
        wait_until(app.calls.all)
        app.set_mode("off")
        replies = [one.result().json() for one in waiting]
    assert len(app.calls.all()) == 1
    assert sorted(str(reply["reason"]) for reply in replies) == ["None", "off", "off", "off"]
    assert {row.mode for row in app.rows(items)} == {"assist", "off"}


def test_off_leaves_shadow_items_that_wait_until_it_is_on_again(make_app: AppMaker) -> None:
    app = make_app("remote", "shadow", model={"seconds": 0.3}, max_calls=1)
    for number in range(3):
        app.post(f"number {number}")
    wait_until(app.calls.all)
    app.set_mode("off")
    time.sleep(1)
    assert len(app.calls.all()) == 1
    app.set_mode("shadow")
    app.drained()
    assert len(app.calls.all()) == 3


def test_a_change_of_mode_is_audited_with_both_sides(make_app: AppMaker) -> None:
    app = make_app()
    app.set_mode("off")
    last = [row for row in app.rows(trail) if row.event == "mode.changed"][-1]
    assert (last.actor, last.detail) == ("test", '{"after":"off","before":"shadow"}')
    with app.service.engine.connect() as connection:
        assert audit.first_break(connection) is None


def test_at_most_max_calls_of_a_remote_model_run_at_once(make_app: AppMaker) -> None:
    app = make_app("remote", "assist", model={"seconds": 0.05}, max_calls=3)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(app.post, [f"number {n}" for n in range(12)]))
    assert app.model.most == 3


def test_more_requests_than_may_wait_get_503(make_app: AppMaker) -> None:
    app = make_app("remote", "assist", model={"seconds": 1.0}, max_waiting=2)
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(app.post, [f"number {n}" for n in range(6)]))
    refused = [reply for reply in replies if reply.status_code == 503]
    assert len(refused) == 4
    assert all(reply.headers["retry-after"] for reply in refused)
    assert len(app.rows(items)) == 2


@pytest.mark.parametrize(("behaviour", "settings"), [("right", {"max_batch": 1}), ("remote", {"max_calls": 1})])
@pytest.mark.parametrize("most", [0.5, math.inf], ids=["bounded", "unbounded"])
def test_whoever_would_wait_too_long_is_refused_at_once(
    behaviour: str, settings: dict[str, int], most: float, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the bound all of them wait, the last for seconds."""
    monkeypatch.setattr(service, "LONGEST_WAIT", most)
    app = make_app(behaviour, "assist", model={"seconds": 0.2}, **settings)
    for number in range(3):
        assert app.post(f"so that it is known how long one takes {number}").status_code == 200

    def timed(number: int) -> tuple[int, float, str | None]:
        begun = time.monotonic()
        reply = app.post(f"number {number}")
        return reply.status_code, time.monotonic() - begun, reply.headers.get("retry-after")

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(timed, range(16)))
    refused = [(took, named) for status, took, named in replies if status == 503]
    if math.isinf(most):
        assert refused == []
        assert max(took for _, took, _ in replies) > 2
        return
    assert len(refused) > 8
    assert max(took for took, _ in refused) < 0.5
    assert all(int(str(named)) >= 1 for _, named in refused)
    assert len(app.rows(items)) == 3 + len(replies) - len(refused), "what was refused is not recorded"


def test_shadow_accepts_more_than_it_can_hold_and_answers_it_later(make_app: AppMaker) -> None:
    app = make_app("right", "shadow", model={"seconds": 0.1}, max_waiting=2)
    for number in range(8):
        assert app.post(f"number {number}").status_code == 202
    app.drained()
    assert sorted(app.calls.all()) == sorted(f"number {n}" for n in range(8))


def test_twenty_repeats_at_once_are_one_record_and_one_call(make_app: AppMaker) -> None:
    for behaviour, mode in (("remote", "assist"), ("remote", "shadow"), ("right", "auto"), ("right", "shadow")):
        app = make_app(behaviour, mode, {"seconds": 0.1}, database_url=f"sqlite:///{behaviour}-{mode}.db")

        def until_answered(_: int, app: Any = app) -> bytes:
            while (reply := app.post("same", key="same")).status_code == 409:
                assert reply.headers["retry-after"]
                time.sleep(0.05)
            assert reply.status_code in (200, 202)
            content: bytes = reply.content
            return content

        with ThreadPoolExecutor(20) as pool:
            assert len(set(pool.map(until_answered, range(20)))) == 1
        app.drained()
        assert len(app.rows(items)) == 1
        if behaviour == "remote":
            assert app.calls.all() == ["same"]


def test_an_item_that_cannot_be_read_does_not_stop_the_others(make_app: AppMaker) -> None:
    """A row that a changed schema refuses, beside one that is fine: both were left behind by a process that is gone."""
    app = make_app("right", "off")
    app.post("one")
    app.post("two")
    with app.service.engine.begin() as connection:
        connection.execute(answers.delete())
        connection.execute(items.update().values(state="pending", mode="shadow", response=None, lease_until=None))
        connection.execute(items.update().values(lease_owner=app.service.writer.owner))
        connection.execute(items.update().where(items.c.seq == 1).values(content=b'{"other":"schema"}'))
    app.set_mode("shadow")
    wait_until(lambda: [row.state for row in app.rows(items)] == ["pending", "done"])
    assert app.post("three").status_code == 202
    wait_until(lambda: [row.state for row in app.rows(items)] == ["pending", "done", "done"])


def test_the_watch_over_mode_and_leases_outlives_an_error(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SWEEP", 0.05)
    monkeypatch.setattr("pilot.serving.live_settings.INTERVAL", 0.05)
    app = make_app()
    fails = iter([True] * 3)
    look = app.service.live.read

    def failing_look() -> None:
        if next(fails, False):
            raise ValueError("a mode of a later version")
        look()

    monkeypatch.setattr(app.service.live, "read", failing_look)
    claim = app.service.writer.claim
    failing = iter([True] * 3)

    def failing_claim(*given: Any) -> Any:
        if next(failing, False):
            raise PilotError("a key is missing")
        return claim(*given)

    monkeypatch.setattr(app.service.writer, "claim", failing_claim)
    wait_until(lambda: next(fails, None) is None and next(failing, None) is None)
    assert all(not task.done() for task in (*app.service._leases._tasks, app.service._following))


def test_the_confidence_of_numpy_is_a_number_like_any_other(make_app: AppMaker) -> None:
    import numpy

    app = make_app("right", "auto", model={"confidence": numpy.float32(0.875)})
    assert app.post().json()["confidence"] == 0.875
    assert next(row.confidence for row in app.rows(answers) if row.role == "primary") == 0.875


def test_a_reason_of_the_models_own_is_no_label_and_no_text_for_callers(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    app.model.answer = lambda item: Answer(failure=f"cannot read {item.text}")
    assert app.post("jane@example.com").json()["reason"] == "error"
    assert "jane" not in app.get("/metrics", "olga").text


def test_a_regulated_pilot_does_not_start_without_a_data_key(tmp_path: Any, make_app: AppMaker) -> None:
    _charter(tmp_path, "regulated: yes")
    with pytest.raises(PilotError, match="PILOT_DATA_KEY must be set"):
        make_app()
