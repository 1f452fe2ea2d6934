"""Outcomes: what a person decided, in versions, with what they did to the answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import App, AppMaker, wait_until
from cryptography.fernet import Fernet

from pilot.records import queries
from pilot.records.database import writing
from pilot.records.outcomes import Outcome, judge
from pilot.records.tables import audit, items, outcomes

RIGHT, WRONG = {"label": "refund"}, {"label": "other"}


def _judged(app: App, mode: str = "assist", **body: Any) -> Any:
    app.set_mode(mode)
    identity = app.post("where is my money").json()["id"]
    app.drained()
    assert app.judge(identity, **body).json()["version"] == 1
    return app.rows(outcomes)[-1]


@pytest.mark.parametrize(
    ("mode", "body", "action", "agreement"),
    [
        ("assist", {"final": RIGHT}, "accepted", True),
        ("assist", {"final": WRONG}, "changed", False),
        ("assist", {"action": "accepted"}, "accepted", True),
        ("assist", {"action": "accepted", "final": RIGHT}, "accepted", True),
        ("assist", {"action": "changed", "final": WRONG}, "changed", False),
        ("assist", {"action": "rejected"}, "rejected", False),
        ("assist", {"action": "rejected", "final": WRONG}, "rejected", False),
        ("auto", {"final": RIGHT}, "accepted", True),
        ("shadow", {"final": RIGHT}, None, True),
        ("shadow", {"final": WRONG}, None, False),
        ("off", {"final": RIGHT}, None, None),
    ],
)
def test_the_action_and_the_agreement_follow_from_the_decision(
    mode: str, body: dict[str, Any], action: str | None, agreement: bool | None, make_app: AppMaker
) -> None:
    row = _judged(make_app(), mode, **body)
    assert (row.action, row.agreement, row.rules_agreement, row.made_by) == (action, agreement, False, "rita")


@pytest.mark.parametrize(
    ("mode", "body", "pointer"),
    [
        ("assist", {}, "/final"),
        ("assist", {"action": "accepted", "final": WRONG}, "/action"),
        ("assist", {"action": "changed"}, "/final"),
        ("assist", {"action": "changed", "final": RIGHT}, "/final"),
        ("shadow", {"action": "accepted"}, "/action"),
        ("off", {"action": "rejected"}, "/action"),
        ("assist", {"action": "ignored"}, "/action"),
        ("assist", {"final": {"label": ""}}, "/final/label"),
        ("assist", {"final": RIGHT, "by": "me"}, "/by"),
        ("assist", {"final": RIGHT, "seconds": -1}, "/seconds"),
        ("assist", {"final": RIGHT, "flag": "bad"}, "/flag"),
        ("assist", {"final": RIGHT, "comment": "x" * 2001}, "/comment"),
    ],
)
def test_an_outcome_that_does_not_fit_is_refused(mode: str, body: Any, pointer: str, make_app: AppMaker) -> None:
    app = make_app("right", mode)
    identity = app.post("where is my money").json()["id"]
    app.drained()
    reply = app.judge(identity, **body)
    assert reply.status_code == 422
    assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]
    assert app.rows(outcomes) == []


def test_a_change_names_the_present_version_and_keeps_the_one_before(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    identity = app.post("where is my money").json()["id"]
    unasked = app.judge(identity, final=RIGHT, version=1)
    assert (unasked.status_code, unasked.json()["version"]) == (409, 0)
    assert "no outcome yet" in unasked.json()["detail"]
    assert app.judge(identity, final=RIGHT, comment="first", seconds=12.5, flag="slow").status_code == 201
    refused = app.judge(identity, final=WRONG)
    assert (refused.status_code, refused.json()["version"]) == (409, 1)
    assert app.judge(identity, final=WRONG, version=2).status_code == 409
    assert app.judge(identity, final=WRONG, version=1).json() == {"id": identity, "version": 2}
    with app.service.engine.connect() as connection:
        kept = queries.outcomes_of(connection, app.service.vault, identity)
    assert [(one["version"], one["final"], one["comment"], one["seconds"], one["flag"]) for one in kept] == [
        (1, RIGHT, "first", 12.5, "slow"),
        (2, WRONG, None, None, None),
    ]
    assert [row.actor for row in app.rows(audit) if row.event == "outcome.recorded"] == ["rita", "rita"]
    assert app.get(f"/v1/predictions/{identity}").json()["outcome_version"] == 2


def test_of_two_outcomes_at_once_one_wins(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    for number in range(5):
        identity = app.post(f"money {number}").json()["id"]
        with ThreadPoolExecutor(6) as pool:
            replies = list(pool.map(lambda _, one=identity: app.judge(one, final=RIGHT).status_code, range(6)))
        assert sorted(replies) == [201, 409, 409, 409, 409, 409]


def test_agreement_comes_with_the_answer_when_the_outcome_was_first(make_app: AppMaker) -> None:
    app = make_app("hanging", "shadow", model_deadline=60)
    agreeing, differing = (app.post(f"money {n}").json()["id"] for n in range(2))
    app.model.begun.wait(30)
    assert app.judge(agreeing, final=RIGHT).status_code == 201
    assert app.judge(differing, final=WRONG).status_code == 201
    assert {row.agreement for row in app.rows(outcomes)} == {None}
    app.model.behaviour = "right"
    app.model.release.set()
    app.drained()
    found = {row.item_id: (row.agreement, row.rules_agreement) for row in app.rows(outcomes)}
    assert found == {agreeing: (True, False), differing: (False, False)}


def test_a_refused_outcome_does_not_touch_what_is_recorded_beside_it(make_app: AppMaker) -> None:
    """Both are in one commit: the writer is held until they wait together. They are few, because whoever comes first
    waits two seconds for the writer and no longer."""
    app = make_app("right", "shadow")
    unknown = "00000000-0000-0000-0000-000000000000"
    with ThreadPoolExecutor(20) as pool:
        with writing(app.service.engine):
            outcomes_sent = [pool.submit(app.judge, unknown, final=RIGHT) for _ in range(2)]
            items_sent = [pool.submit(app.post, f"number {n}") for n in range(5)]
            wait_until(lambda: len(app.service.committer._batcher._waiting) >= 5, 4)
        assert {one.result().status_code for one in items_sent} == {202}
        assert {one.result().status_code for one in outcomes_sent} == {404}
    assert len(app.rows(items)) == 5


def test_the_caller_may_judge_its_own_item(make_app: AppMaker) -> None:
    app = make_app()
    identity = app.post("a").json()["id"]
    assert app.judge(identity, "shop", final=RIGHT).status_code == 201
    assert app.judge(identity, "bank", final=RIGHT, version=1).status_code == 404
    assert app.judge(identity, "olga", final=RIGHT, version=1).status_code == 403


def test_agreement_is_in_clear_while_the_decision_is_sealed(make_app: AppMaker) -> None:
    app = make_app("right", "assist", data_key=Fernet.generate_key().decode())
    row = _judged(app, final=RIGHT, comment="canary")
    assert row.agreement is True
    assert b"refund" not in row.final
    assert b"canary" not in row.comment
    assert app.service.vault.open(row.final) == b'{"label":"refund"}'


def test_a_blind_outcome_of_an_answer_that_others_saw_has_no_action(make_app: AppMaker) -> None:
    app = make_app("right", "auto")
    identity = app.post("where is my money").json()["id"]
    with writing(app.service.engine) as connection:
        decided = Outcome(app.service.team.prediction(label="refund"), "rita", blind=True)  # type: ignore[call-arg]
        judge(connection, app.service.vault, app.service.team.prediction, identity, decided)
    assert [(row.action, row.agreement) for row in app.rows(outcomes)] == [(None, True)]
