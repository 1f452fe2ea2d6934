"""`pilot drift`: what changed since the pilot was judged, with its field, its size and examples; or not enough data."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import example_invoices
import orjson
import pytest
from conftest import AppMaker, wait_until
from example_papers import edit, sign, write
from example_team import Item, Prediction, make_team
from sqlalchemy import Engine
from test_backtest import recorded
from test_backtest import write as insert
from test_watch import value as metric
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.cli import app as command
from pilot.cli import live
from pilot.contract import Answer
from pilot.records.crypto import Vault
from pilot.records.database import migrate, open_database
from pilot.records.tables import audit
from pilot.serving import watch
from pilot.settings import load_settings
from pilot.workbench import drift

BEGUN, TODAY = date(2027, 1, 11), date(2027, 4, 12)
WORDS = [f"word{number:03}" for number in range(300)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    sign(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contract, "load_team", lambda: make_team("right", tmp_path / "calls"))
    return tmp_path


def engine_of(root: Path) -> Engine:
    engine = open_database(load_settings(root=root))
    migrate(engine)
    return engine


def came(
    root: Path,
    begins: date,
    days: int,
    a_day: int = 40,
    refunds: float = 0.4,
    confidence: float = 0.8,
    length: int = 8,
    known: int = 200,
    seed: int = 1,
) -> None:
    """Items of so many days, answered so."""
    draw, changes = random.Random(seed), []
    for day in range(days):
        for number in range(a_day):
            at = datetime(begins.year, begins.month, begins.day, 8, tzinfo=UTC) + timedelta(days=day, minutes=number)
            text = " ".join(
                draw.choice(WORDS[:known] if known else WORDS) for _ in range(max(1, length + draw.randint(-3, 3)))
            )
            label = "refund" if draw.random() < refunds else "other"
            sure = min(1.0, max(0.0, draw.gauss(confidence, 0.1)))
            changes.append(recorded(at, text, Answer(Prediction(label=label), sure)))
    insert(engine_of(root), changes)


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["drift", "--today", TODAY.isoformat(), *arguments])


def look(root: Path) -> drift.Drift:
    with engine_of(root).connect() as connection:
        team = make_team("right", root / "calls")
        return drift.look(team, connection, Vault(()), BEGUN, 6, TODAY, 7)


def test_nothing_that_changed_is_exit_code_0(root: Path) -> None:
    came(root, BEGUN, 42)
    came(root, TODAY - timedelta(days=7), 7, seed=2)
    said = ran()
    assert said.exit_code == 0, said.output
    assert "Nothing has changed since the pilot was judged" in said.stdout
    assert (
        "Judged on 2027-01-11 to 2027-02-21, 1680 items on 42 days; now 2027-04-05 to 2027-04-11, 280 items"
        in said.stdout
    )
    assert [one.what for one in look(root).findings] == [
        "typical length in characters",
        "share of words that were not seen before",
        "shares of the labels",
        "confidence",
    ]


@pytest.mark.parametrize(
    ("changed", "field", "what"),
    [
        ({"refunds": 0.65}, "answer", "shares of the labels"),
        ({"confidence": 0.72}, "answer", "confidence"),
        ({"length": 14}, "text", "typical length in characters"),
        ({"known": 0}, "text", "share of words that were not seen before"),
    ],
)
def test_what_changed_is_named_with_its_size_and_examples(
    changed: dict[str, float], field: str, what: str, root: Path
) -> None:
    came(root, BEGUN, 42)
    came(root, TODAY - timedelta(days=7), 7, seed=2, **changed)  # type: ignore[arg-type]
    found = look(root).drifted
    assert [(one.field, one.what) for one in found] == [(field, what)]
    said = ran()
    assert said.exit_code == 1
    assert "1 of 4 have changed" in said.stdout
    assert f"CHANGED  {field}: {what}" in said.stdout
    assert len(found[0].examples) == drift.EXAMPLES
    assert all(id in said.stdout for id in found[0].examples)
    assert Item.__name__ not in said.stdout
    assert "word1" not in said.stdout, "no content is shown"


def test_a_pilot_of_this_week_has_nothing_to_be_compared_with(root: Path) -> None:
    came(root, TODAY - timedelta(days=3), 3)
    said = ran()
    assert said.exit_code == 2
    assert "Judged on no item; now 2027-04-05 to 2027-04-11, 120 items on 3 days." in said.stdout


@pytest.mark.parametrize(("days", "a_day"), [(7, 20), (3, 200)])
def test_too_few_items_or_days_are_not_enough_and_not_no_drift(days: int, a_day: int, root: Path) -> None:
    came(root, BEGUN, 42)
    came(root, TODAY - timedelta(days=days), days, a_day, refunds=1.0)
    said = ran()
    assert said.exit_code == 2
    assert "Not enough data to look for drift: 200 items on 5 days are needed in each window." in said.stdout
    assert "Nothing has changed" not in said.stdout


class Order(contract.Item):
    note: str | None = None
    pieces: int = 1
    channel: Literal["mail", "phone"] = "mail"
    tags: tuple[str, ...] = ()


def test_each_field_is_compared_by_what_it_holds_and_empty_ones_take_no_part() -> None:
    def orders(begins: int, days: int, pieces: int, phone: int) -> list[drift.Seen]:
        found = []
        for number in range(days * 40):
            channel = "phone" if number % 10 < phone else "mail"
            note = None if number % 2 else f"note {number % 7}"
            content = Order(note=note, pieces=pieces + number % 3, channel=channel)  # type: ignore[arg-type]
            found.append(drift.Seen(str(number), begins + number % days, content, Prediction(label="refund"), None))
        return found

    team = replace(make_team("right", Path()), item=Order)
    made = {
        (field, what): shift
        for field, what, shift, _ in drift._compared(team, orders(0, 42, 1, 3), orders(80, 7, 3, 7))
    }
    assert [what for what, shift in made.items() if shift is None] == [
        ("note", "typical length in characters"),
        ("note", "share of words that were not seen before"),
        ("answer", "shares of the labels"),
        ("answer", "confidence"),
    ], "140 notes are too few, one label is no mix, and no confidence was given"
    pieces, channel = made["pieces", "mean"], made["channel", "shares"]
    assert pieces is not None
    assert (pieces.before, pieces.now) == (pytest.approx(2, abs=0.01), pytest.approx(4, abs=0.01))
    assert channel is not None
    assert abs(channel.size) == pytest.approx(0.4)
    tags = made["tags", "mean number of elements"]
    assert tags is not None
    assert tags.size == 0


def test_answers_of_several_fields_are_compared_field_by_field() -> None:
    def read(begins: int, days: int, filled: int) -> list[drift.Seen]:
        found = []
        for number in range(days * 40):
            answer = None
            if number % 20:
                due = "2026-05-04" if number % 10 < filled else None
                answer = example_invoices.Prediction.model_validate(
                    example_invoices.invoice(total=100.0 + number % 3, due=due)
                )
            content = example_invoices.Item(text=f"n {number % 5}")
            found.append(drift.Seen(str(number), begins + number % days, content, answer, 0.9))
        return found

    made = {
        (field, what): shift
        for field, what, shift, _ in drift._compared(example_invoices.team(), read(0, 42, 9), read(80, 7, 3))
    }
    due, total = made["answer.due", "share that is filled in"], made["answer.total", "mean"]
    assert due is not None
    assert due.before > 0.8 > 0.4 > due.now
    assert total is not None
    assert total.size == pytest.approx(0, abs=0.05)
    assert ("answer.positions", "mean number of elements") in made
    assert ("answer.currency", "shares") in made
    assert ("answer", "shares of the labels") not in made


def test_without_a_live_item_it_says_so(root: Path) -> None:
    engine_of(root)
    said = ran()
    assert said.exit_code == 1
    assert "No live item was recorded" in str(said.exception)


def test_the_weeks_that_are_looked_at_are_never_part_of_what_they_are_compared_with(root: Path) -> None:
    edit(root, "weeks: 6", "weeks: 8")
    came(root, TODAY - timedelta(days=20), 20)
    found = look(root)
    assert found.reference.ends < found.present.begins


def test_what_was_found_becomes_a_metric_of_the_service_and_an_entry_of_the_trail(
    root: Path, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIGURES", 0.1)
    app = make_app()
    assert metric(app, "pilot_drift_looked_timestamp_seconds") == 0
    came(root, BEGUN, 42)
    came(root, TODAY - timedelta(days=7), 7, seed=2, confidence=0.6)
    assert ran().exit_code == 1
    assert not [row for row in app.rows(audit) if row.event == "drift.looked"], "a day of another time leaves nothing"
    monkeypatch.setattr(live, "day", lambda _: TODAY)
    assert CliRunner().invoke(command, ["drift"]).exit_code == 1
    wait_until(lambda: metric(app, "pilot_drift_looked_timestamp_seconds") > 0)
    assert metric(app, 'pilot_drift_size{field="answer",what="confidence"}') < -0.5
    assert metric(app, 'pilot_drift_size{field="answer",what="shares of the labels"}') == 0
    (entry,) = [row for row in app.rows(audit) if row.event == "drift.looked"]
    assert orjson.loads(entry.detail)["changed"][0][:2] == ["answer", "confidence"]
