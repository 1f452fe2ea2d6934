"""A pilot that buys its model, from the request to the record, against a provider that answers well or badly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from conftest import App, AppMaker
from example_fields import FILLED, INVOICE, Invoice
from example_team import Item, Prediction, Rules
from stub_llm import Reply, StubLlm, failing, good, said

from pilot.contract import Answer, Failure, ProviderError, Team
from pilot.models.llm import LlmFields, LlmModel
from pilot.records.tables import answers, items
from pilot.serving.metrics import MOST_CODES

CANARY = "my card 4711 canary@example.org"


def load(settings: Any) -> LlmModel:
    return LlmModel(
        settings,
        prediction=Prediction,
        labels=("refund", "by-rule"),
        instructions="Sort it.",
        render=lambda item: item.text,
    )


TEAM = Team(item=Item, prediction=Prediction, model=load, rules=Rules)


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm(lambda _: good("refund", 0.75)) as stub:
        yield stub


def serve(make_app: AppMaker, stub: StubLlm, mode: str = "assist", team: Team = TEAM, **settings: Any) -> App:
    return make_app(
        mode=mode,
        team=team,
        llm_model="openai:stub",
        llm_base_url=stub.url,
        llm_api_key="sk-canary",
        llm_price_input=1.0,
        llm_price_output=10.0,
        **{"llm_retries": 0, "model_deadline": 5, **settings},
    )


def primary(app: App) -> Any:
    return next(row for row in app.rows(answers) if row.role == "primary")


def test_a_good_answer_is_shown_and_recorded_with_its_confidence_cost_and_tokens(
    make_app: AppMaker, stub: StubLlm
) -> None:
    app = serve(make_app, stub)
    reply = app.post(CANARY).json()
    assert (reply["status"], reply["source"], reply["prediction"]) == ("answered", "model", {"label": "refund"})
    assert (reply["confidence"], primary(app).confidence) == (0.75, 0.75)
    assert primary(app).cost == pytest.approx((120 * 1.0 + 8 * 10.0) / 1e6)
    assert primary(app).tokens == 128


class Unread:
    """Today's process, in which people read each invoice."""

    version = "people"

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [Answer.failed(Failure.ABSTAINED)] * len(items)


def test_an_invoice_with_its_positions_is_shown_and_recorded(make_app: AppMaker) -> None:
    def read(settings: Any) -> LlmFields:
        return LlmFields(settings, prediction=Invoice, instructions="", render=lambda item: item.text)

    sure = {**dict.fromkeys(FILLED, 0.9), "total": 0.6}
    arguments = json.dumps({"prediction": FILLED, "confidences": sure})
    with StubLlm(lambda _: said(arguments)) as stub:
        team = Team(item=Item, prediction=Invoice, model=read, rules=Unread)
        app = serve(make_app, stub, team=team)
        reply = app.post(CANARY).json()
    assert (reply["status"], reply["source"], reply["confidence"]) == ("answered", "model", 0.6)
    assert Invoice.model_validate(reply["prediction"]) == INVOICE
    assert Invoice.model_validate_json(primary(app).prediction) == INVOICE


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (failing(500), "provider_error"),
        (failing(429, Retry_After="60"), "rate_limited"),
        (failing(401), "credential_rejected"),
        (said("not json"), "invalid_output"),
        (said('{"label": "invented", "confidence": 0.9}'), "invalid_output"),
        (Reply(b"<html>", content_type="text/html"), "invalid_output"),
        (Reply(b"{}", delay=3), "timeout"),
    ],
)
def test_a_fault_of_the_provider_goes_to_people_with_its_reason_and_todays_rules(
    make_app: AppMaker, reply: Reply, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with StubLlm(lambda _: reply) as stub:
        app = serve(make_app, stub, model_deadline=1)
        found = app.post(CANARY).json()
    assert (found["status"], found["reason"], found["prediction"]) == ("needs_human", reason, None)
    assert (found["source"], found["suggestion"]) == ("process", {"label": "by-rule"})
    assert primary(app).failure == reason
    shown = "".join(capfd.readouterr()) + app.client.get("/metrics", headers=app.headers("olga")).text
    assert "canary" not in shown


def test_an_error_of_the_provider_is_in_the_log_and_in_the_metrics(
    make_app: AppMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    """I6."""
    body = b'{"error": {"message": "canary", "code": "content_filter"}}'
    with StubLlm(lambda _: Reply(body, 400, {"x-request-id": "req_42"})) as stub:
        app = serve(make_app, stub)
        app.post(CANARY)
    [line] = [line for line in "".join(capfd.readouterr()).splitlines() if "provider_failed" in line]
    for part in ("provider_error", "400", "content_filter", "req_42"):
        assert part in line
    shown = app.client.get("/metrics", headers=app.headers("olga")).text
    assert 'pilot_provider_errors_total{code="content_filter",status="400"} 1.0' in shown
    counted = app.service.metrics
    for number in range(2 * MOST_CODES):
        counted.provider_failed(ProviderError(500, f"code_{number}"))
    shown = app.client.get("/metrics", headers=app.headers("olga")).text
    assert shown.count("pilot_provider_errors_total{") == MOST_CODES + 1
    assert 'pilot_provider_errors_total{code="other",status="500"}' in shown
    assert "canary" not in shown + line


def test_in_shadow_the_response_is_the_same_and_the_answer_follows(make_app: AppMaker, stub: StubLlm) -> None:
    app = serve(make_app, stub, "shadow")
    assert app.post(CANARY).json()["prediction"] is None
    app.drained()
    assert primary(app).prediction == b'{"label":"refund"}'


def test_a_repeat_with_the_same_key_costs_nothing(make_app: AppMaker, stub: StubLlm) -> None:
    app = serve(make_app, stub)
    replies = [app.post(CANARY, key="one") for _ in range(3)]
    assert len({reply.content for reply in replies}) == 1
    assert len(stub.requests) == 1
    assert len(app.rows(items)) == 1


def test_with_the_ai_off_nothing_is_sent_to_the_provider(make_app: AppMaker, stub: StubLlm) -> None:
    app = serve(make_app, stub, "off")
    assert app.post(CANARY).json()["reason"] == "off"
    assert stub.requests == []


def test_without_a_key_the_service_starts_and_people_decide(make_app: AppMaker) -> None:
    app = make_app(mode="assist", team=TEAM)
    reply = app.post(CANARY).json()
    assert (reply["status"], reply["reason"], reply["suggestion"]) == (
        "needs_human",
        "unavailable",
        {"label": "by-rule"},
    )
    assert app.client.get("/readyz").json() == {"status": "ready", "model": "unavailable"}
