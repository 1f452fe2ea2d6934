"""What the service looks at by itself: known items, figures for Prometheus, the name of the provider's model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker, wait_until
from example_papers import write as write_papers
from example_team import make_team
from prometheus_client import generate_latest
from typer.testing import CliRunner

from pilot import contract
from pilot.cli import app as command
from pilot.contract import Answer
from pilot.records.queries import summary
from pilot.records.tables import answers, items

ROWS = "text,label\nwhere is my money,refund\nhello,other\n"


def known(folder: Path, rows: str = ROWS) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "known.csv").write_text(rows)


def value(app: App, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", generate_latest(app.service.metrics.registry).decode(), re.MULTILINE
    )
    assert found, name
    return float(found[1])


def count(app: App, result: str) -> float:
    return value(app, f'pilot_known_items_total{{result="{result}"}}')


@pytest.mark.parametrize("mode", ["shadow", "assist", "auto"])
@pytest.mark.parametrize(
    ("behaviour", "result"),
    [("right", "right"), ("wrong", "wrong"), ("garbage", "failed"), ("none", "failed"), ("remote", "right")],
)
def test_known_items_are_asked_for_and_compared_in_each_mode(
    mode: str, behaviour: str, result: str, make_app: AppMaker, tmp_path: Path
) -> None:
    known(tmp_path)
    model = {"labels": ()} if behaviour not in ("none", "remote") else {}
    app = make_app(behaviour, mode, model=model, known_interval=0.05, known_daily_cost=100.0)
    wait_until(lambda: count(app, result) >= 3)
    others = {"right", "wrong", "failed"} - {result}
    assert sum(count(app, other) for other in others) == 0
    assert {row.origin for row in app.rows(items)} == {"test"}
    with app.service.engine.connect() as connection:
        assert summary(connection)["waiting_for_review"] == 0, "nobody is asked to judge them"
    assert value(app, "pilot_known_items_rows") == 2
    text = generate_latest(app.service.metrics.registry).decode()
    assert "pilot_answers_total{" not in text, "the shares of real answers are not diluted"


def test_while_the_ai_is_off_none_is_asked_and_that_is_counted(make_app: AppMaker, tmp_path: Path) -> None:
    known(tmp_path)
    app = make_app("right", "off", known_interval=0.05)
    wait_until(lambda: count(app, "off") >= 3)
    assert app.rows(items) == []


def test_without_a_file_or_an_interval_none_is_asked(make_app: AppMaker, tmp_path: Path) -> None:
    assert value(make_app(known_interval=0.05), "pilot_known_items_rows") == 0
    known(tmp_path)
    assert value(make_app(known_interval=0), "pilot_known_items_rows") == 0


def test_rows_that_do_not_fit_are_left_out(make_app: AppMaker, tmp_path: Path) -> None:
    known(tmp_path, ROWS + ",other\nwhat,unknown\n")
    assert value(make_app(known_interval=0.05), "pilot_known_items_rows") == 2
    known(tmp_path, "no,such\ncolumn,here\n")
    assert value(make_app(known_interval=0.05), "pilot_known_items_rows") == 0


@pytest.mark.parametrize(("cap", "asked"), [(1.2, 3), (100.0, 6)])
def test_bought_answers_keep_to_a_daily_cap(cap: float, asked: int, make_app: AppMaker, tmp_path: Path) -> None:
    known(tmp_path)
    app = make_app("remote", "assist", known_interval=0.05, known_daily_cost=cap)
    wait_until(lambda: count(app, "right") >= asked)
    if asked == 3:  # each costs 0.5
        wait_until(lambda: count(app, "unaffordable") >= 3)
        assert count(app, "right") == 3


def test_without_a_price_one_is_asked_a_day(
    make_app: AppMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from example_team import Prediction, Remote

    async def unpriced(self: Any, item: Any) -> Answer:
        return Answer(Prediction(label="refund"), confidence=0.9)

    monkeypatch.setattr(Remote, "predict_one", unpriced)
    known(tmp_path)
    app = make_app("remote", "assist", known_interval=0.05, known_daily_cost=100.0)
    wait_until(lambda: count(app, "unaffordable") >= 3)
    assert len(app.rows(items)) == 1


def test_series_do_not_grow_with_what_strangers_send(make_app: AppMaker) -> None:
    app = make_app("right", "assist")

    def series() -> int:
        return len(generate_latest(app.service.metrics.registry).decode().splitlines())

    async def ask(numbers: range) -> None:
        """Straight to the application, which takes a tenth of the client's time."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Any) -> None:
            pass

        for number in numbers:
            path = f"/{number:x}/{number * 7}"
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": ("GET", "POST", "BREW", "OPTIONS")[number % 4],
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [(b"host", b"localhost"), (b"x-request-id", f"r{number}".encode())],
            }
            await app.client.app(scope, receive, send)

    portal = app.client.portal
    assert portal is not None
    portal.call(ask, range(8))
    app.post("hello", group="g0", source_id="s0", subject="p0")
    before = series()
    portal.call(ask, range(10_000))
    for number in range(300):
        app.post(f"hello {number}", group=f"g{number}", source_id=f"a{number}", subject=f"p{number}")
    assert series() == before


def test_figures_of_the_queue_the_disk_and_the_database(make_app: AppMaker) -> None:
    app = make_app("right", "shadow")
    app.post()
    app.drained()
    portal = app.client.portal
    assert portal is not None
    portal.call(app.service._watch.figures)
    assert value(app, "pilot_waiting_items") == 1
    assert value(app, "pilot_oldest_waiting_seconds") > 0
    assert value(app, "pilot_database_up") == 1
    assert 0 < value(app, "pilot_disk_free_ratio") < 1
    app.judge(app.rows(items)[0].id, final={"label": "refund"}, flag="unsafe")
    portal.call(app.service._watch.figures)
    assert value(app, "pilot_waiting_items") == 0
    assert value(app, 'pilot_flagged_total{flag="unsafe"}') == 1


def test_a_database_that_takes_no_records_is_down(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    app = make_app()
    portal = app.client.portal
    assert portal is not None

    def fails(_: Any) -> None:
        raise OperationalError("", {}, Exception("disk is full"))

    wait_until(lambda: value(app, "pilot_database_up") == 1)  # the look of the start is over
    with monkeypatch.context() as patch:
        patch.setattr("pilot.serving.watch.controls.probe", fails)
        portal.call(app.service._watch.figures)
        assert value(app, "pilot_database_up") == 0
    portal.call(app.service._watch.figures)
    assert value(app, "pilot_database_up") == 1


def test_another_name_of_the_providers_model_is_counted_once(make_app: AppMaker) -> None:
    app = make_app("remote", "assist")
    portal = app.client.portal
    assert portal is not None
    for name, changes in (("m-1", 0), ("m-1", 0), ("m-2", 1), ("m-2", 1), ("m-1", 2)):
        app.model.provider_model = name
        portal.call(app.service._watch.figures)
        assert value(app, "pilot_provider_model_changes_total") == changes


def test_gate_3_and_drills_are_read_from_the_evidence(make_app: AppMaker, tmp_path: Path) -> None:
    app = make_app()
    assert (value(app, "pilot_burn_in"), value(app, "pilot_last_drill_timestamp_seconds")) == (1, 0)
    folder = tmp_path / "phases" / "evidence"
    folder.mkdir(parents=True)
    (folder / "0007-gate-3.json").write_text("{}")
    (folder / "0008-drill-garbage.json").write_text('{"date": "2026-01-02"}')
    app = make_app()
    assert value(app, "pilot_burn_in") == 0
    assert value(app, "pilot_last_drill_timestamp_seconds") == 1767312000


def test_answers_of_known_items_are_counted_as_the_models(make_app: AppMaker, tmp_path: Path) -> None:
    known(tmp_path)
    app = make_app("garbage", "assist", known_interval=0.05)
    wait_until(lambda: count(app, "failed") >= 3)
    assert value(app, 'pilot_model_failures_total{reason="invalid_output"}') >= 3
    assert value(app, "pilot_model_answers_total") >= 3
    assert {row.role for row in app.rows(answers)} == {"primary", "rules"}


def test_the_known_items_that_were_answered_wrongly_are_listed(
    make_app: AppMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path)
    write_papers(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contract, "load_team", make_team)

    def listed() -> list[str]:
        return CliRunner().invoke(command, ["known"]).stdout.splitlines()

    make_app("right", known_interval=0)
    assert listed() == ["No known item was asked for within a day: see runbook/known-items.md."]
    app = make_app("right", known_interval=0.05)
    wait_until(lambda: count(app, "right") >= 4)
    assert listed() == ["0 of 2 known items were answered wrongly when they were last asked for, within a day."]
    app.model.behaviour = "wrong"
    wait_until(lambda: count(app, "wrong") >= 2)
    *wrong, total = listed()
    assert total.startswith("2 of 2 ")
    assert sorted(line.partition("  ")[2] for line in wrong) == [
        "nonsense, not other, by local-1: hello",
        "nonsense, not refund, by local-1: where is my money",
    ]
    app.model.behaviour = "garbage"
    wait_until(lambda: count(app, "failed") >= 2)
    assert "no answer (invalid_output), not other" in " ".join(listed())
