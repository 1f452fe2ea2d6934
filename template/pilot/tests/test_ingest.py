"""Files through the pilot: rows in = accepted + quarantined, and running it again adds nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import example_invoices
import orjson
import pytest
from conftest import AppMaker, make_keys
from example_invoices import Prediction
from example_team import make_team
from sqlalchemy import Engine, select

from pilot import contract
from pilot.contract import PilotError
from pilot.records import audit, writer
from pilot.records.database import migrate, open_database, writing
from pilot.records.queries import summary
from pilot.records.rows import Row, cells_for, chosen
from pilot.records.tables import answers, items, outcomes
from pilot.records.tables import quarantine as refused
from pilot.serving.ingest import Columns, Counts, ingest, run
from pilot.serving.service import Service
from pilot.settings import Settings, load_settings

Take = Callable[..., Counts]
ROWS = b"""text,label,number
where is my money,refund,1
hello,other,2
where is my money,refund,3
where is my money,other,4
"""
DAMAGED = b"a,b\n,other,6\n\xff,other,7\n" + b"x" * 10_001 + b',other,8\ngood,other,9\n"never closed,other,10\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_bytes(ROWS)
    return file


@pytest.fixture
def engine(database: dict[str, str], tmp_path: Path) -> Any:
    engine = open_database(load_settings(root=tmp_path, **database))
    migrate(engine)
    make_keys(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def take(database: dict[str, str], tmp_path: Path) -> Take:
    """Takes a file through a service that is started and stopped for it, as the command does."""

    def take(file: Path, behaviour: str = "right", **columns: str) -> Counts:
        service = Service(make_team(behaviour, tmp_path / "calls"), load_settings(root=tmp_path, **database))
        return run(service, file, Columns(**columns), lambda _: None)

    return take


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table)))


def figures(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return summary(connection)


def test_every_row_is_recorded_with_its_final_decision_and_compared(engine: Engine, take: Take, file: Path) -> None:
    counts = take(file, input="text", final="label")
    assert (counts.rows, counts.new, counts.quarantined, counts.outcomes) == (4, 4, 0, 4)
    found = figures(engine)
    assert found["by_origin"] == {"backtest": 4}
    assert (found["agreement"], found["coverage"], found["pending"]) == (0.75, 1.0, 0)


def test_the_same_file_again_adds_nothing_to_any_table(engine: Engine, take: Take, file: Path) -> None:
    file.write_bytes(ROWS + DAMAGED)
    take(file, input="text", final="label")
    before = {table.name: rows(engine, table) for table in (items, answers, outcomes, refused)}
    counts = take(file, input="text", final="label")
    assert (counts.new, counts.known, counts.outcomes) == (0, 5, 0)
    assert {table.name: rows(engine, table) for table in (items, answers, outcomes, refused)} == before


def test_damaged_rows_are_quarantined_with_reason_and_line_and_without_content(
    engine: Engine, take: Take, file: Path
) -> None:
    file.write_bytes(ROWS + DAMAGED)
    counts = take(file, input="text", final="label")
    assert (counts.rows, counts.new, counts.quarantined) == (10, 5, 5)
    kept = {row.line: row.reason for row in rows(engine, refused)}
    assert kept == {
        6: "has 2 columns instead of 3",
        7: "text: String should have at least 1 character",
        8: "is not UTF-8 at byte 1",
        9: "text: String should have at most 10000 characters",
        11: "has a quote that is not closed",
    }


def test_the_order_of_the_rows_does_not_matter(engine: Engine, take: Take, file: Path) -> None:
    take(file, input="text", final="label")
    header, *lines = ROWS.splitlines(keepends=True)
    file.write_bytes(header + b"".join(reversed(lines)))
    counts = take(file, input="text", final="label")
    assert (counts.new, counts.known) == (0, 4)
    assert len(rows(engine, items)) == 4


def test_rows_without_a_final_decision_are_live_and_wait_for_a_person(engine: Engine, take: Take, file: Path) -> None:
    take(file, input="text")
    found = figures(engine)
    assert found["by_origin"] == {"live": 4}
    assert (found["waiting_for_review"], found["coverage"], found["agreement"]) == (4, 0.0, None)


def test_final_decisions_that_come_later_are_added_once(engine: Engine, take: Take, file: Path) -> None:
    take(file, input="text")
    assert [take(file, input="text", final="label").outcomes for _ in range(2)] == [4, 0]
    assert figures(engine)["agreement"] == 0.75


def test_an_own_id_tells_rows_apart_and_one_for_two_contents_is_refused(engine: Engine, take: Take, file: Path) -> None:
    take(file, input="text", id="number")
    assert {row.source_id for row in rows(engine, items)} == {"1", "2", "3", "4"}
    file.write_bytes(b"text,number\nsomething else,1\nhello,2\nno id, \n")
    counts = take(file, input="text", id="number")
    assert (counts.rows, counts.known, counts.quarantined) == (3, 1, 2)
    assert len(rows(engine, items)) == 4


def test_an_id_for_two_contents_is_refused_with_its_line_however_long_it_is(
    engine: Engine, take: Take, tmp_path: Path
) -> None:
    file = tmp_path / f"{'long' * 60}.csv"
    file.write_bytes(b"text,number\none,%s\n\ntwo,%s\n" % (b"7" * 200, b"7" * 200))
    for _ in range(2):
        counts = take(file, input="text", id="number")
        assert counts.first == {"its id was used for another content": 4}
    assert [(row.line, row.source) for row in rows(engine, refused)] == [(4, file.name[:200])]


def test_a_value_that_is_no_id_is_refused(engine: Engine, take: Take, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    odd = ("null", "true", "[1]", "1.5", '""')
    file.write_text("".join(f'{{"text": "one", "number": {value}}}\n' for value in (*odd, "1", '"1"', "1.0")))
    counts = take(file, input="text", id="number")
    assert (counts.new, counts.known, counts.quarantined) == (1, 2, len(odd)), "1.0 is the number 1 (I8, 17)"
    assert counts.first == {"number: an id needs 1 to 200 printable characters": 1}


def test_two_long_numbers_are_never_one_id(engine: Engine, take: Take, tmp_path: Path) -> None:
    """I8, 17: a reader of JSON rounds a number of more than 64 bits, and a decimal one of more than 53."""
    file = tmp_path / "rows.jsonl"
    ids = ("12345678901234567890123", "12345678901234567890124", "9007199254740993.0", "9007199254740992.0")
    exact = ("9007199254740993", "9007199254740991.0", "18446744073709551615")
    file.write_text("".join(f'{{"text": "one", "number": {value}}}\n' for value in (*ids, *exact)))
    counts = take(file, input="text", id="number")
    assert (counts.new, counts.known, counts.quarantined) == (len(exact), 0, len(ids))
    assert counts.first == {"number: so long a number is rounded; write the id as a text, in quotes": 1}
    assert {row.source_id for row in rows(engine, items)} == {value.removesuffix(".0") for value in exact}


def test_a_service_that_holds_few_requests_takes_a_file_all_the_same(
    engine: Engine, database: dict[str, str], tmp_path: Path, file: Path
) -> None:
    settings = load_settings(root=tmp_path, max_waiting=1, **database)
    service = Service(make_team("right", tmp_path / "calls"), settings)
    assert run(service, file, Columns(input="text"), lambda _: None).new == 4


def test_json_lines_hold_the_fields_by_name(engine: Engine, take: Take, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes('{"text": "Grüße 👋"}\n{"text": 5}\n{"other": "x"}\n'.encode())
    counts = take(file)
    assert (counts.new, counts.quarantined) == (1, 2)
    assert [row.content for row in rows(engine, items)] == ['{"text":"Grüße 👋"}'.encode()]


def test_a_missing_column_is_an_error_before_anything_is_taken(engine: Engine, take: Take, file: Path) -> None:
    with pytest.raises(PilotError, match="no column 'subject'"):
        take(file, input="subject")
    assert rows(engine, items) == []


def test_a_remote_model_is_called_once_for_each_new_item(
    engine: Engine, take: Take, file: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        take(file, "remote", input="text", final="label")
    assert sorted((tmp_path / "calls").read_text().splitlines()) == ["hello", *["where is my money"] * 3]
    assert figures(engine)["agreement"] == 0.75


def test_a_dead_model_loses_no_row_and_no_decision(engine: Engine, take: Take, file: Path) -> None:
    counts = take(file, "dead", input="text", final="label")
    assert (counts.new, counts.outcomes) == (4, 4)
    found = figures(engine)
    assert (found["agreement"], found["by_failure"]) == (0.0, {"error": 4})


def test_an_ingest_that_stops_half_way_is_completed_by_the_next(
    engine: Engine, settings: Settings, take: Take, file: Path, database: dict[str, str], tmp_path: Path
) -> None:
    file.write_bytes(b"text,label\n" + b"".join(b"item %d,other\n" % number for number in range(1500)))

    def stop_early(counts: Counts) -> None:
        raise KeyboardInterrupt

    service = Service(make_team("right", tmp_path / "calls"), load_settings(root=tmp_path, **database))
    with pytest.raises(KeyboardInterrupt):
        run(service, file, Columns(input="text", final="label"), stop_early)
    begun = len(rows(engine, items))
    assert 0 < begun < 1500
    counts = take(file, input="text", final="label")
    assert (counts.new, counts.known) == (1500 - begun, begun)
    assert (len(rows(engine, items)), len(rows(engine, outcomes))) == (1500, 1500)
    with engine.connect() as connection:
        assert audit.first_break(connection) is None


def test_quarantine_is_audited_and_keeps_each_row_once(engine: Engine) -> None:
    refusals = [writer.Refusal("a", 2, "is not UTF-8"), writer.Refusal("b", 3, "is not CSV")]
    with writing(engine) as connection:
        assert [writer.quarantine_rows(connection, "rows.csv", refusals) for _ in range(2)] == [2, 0]
    with engine.connect() as connection:
        events = [row.event for row in connection.execute(select(audit.audit))]
    assert events.count("rows.quarantined") == 1


def test_items_of_a_running_service_and_of_a_file_do_not_mix(make_app: AppMaker, file: Path) -> None:
    app = make_app("right")
    app.post("where is my money", source_id="1")
    portal = app.client.portal
    assert portal is not None
    counts = portal.call(ingest, app.service, file, Columns(input="text", id="number"))
    assert (counts.new, counts.known) == (4, 0)


def take_invoices(root: Path, name: str, content: str, *options: str) -> tuple[Counts, list[Any]]:
    """A file of invoices through a service, with the columns as they are typed."""
    file = root / name
    file.write_text(content, encoding="utf-8")
    settings = load_settings(root=root)
    migrate(engine := open_database(settings))
    team = example_invoices.team()
    given: dict[str, list[str]] = {"--input": [], "--final": []}
    for option, value in zip(options[::2], options[1::2], strict=True):
        given[option].append(value)
    columns = Columns(
        chosen(team.item, given["--input"], "--input"), None, chosen(team.prediction, given["--final"], "--final")
    )
    counts = run(Service(team, settings), file, columns, lambda _: None)
    with engine.connect() as connection:
        finals = connection.execute(select(outcomes.c.final).order_by(outcomes.c.id)).scalars()
        return counts, [orjson.loads(final) for final in finals]


def test_columns_of_other_names_fill_fields_and_numbers_and_dates_are_read_as_they_are_written(tmp_path: Path) -> None:
    table = 'Text,Firma,Betrag,Fällig,currency\n{},Kern,"1.234,50",04.05.2026,USD\n{},Kern,12,,\n{},Kern,viel,,EUR\n'
    options = ("--input", "text=Text", "--final", "supplier=Firma", "--final", "total=Betrag", "--final", "due=Fällig")
    counts, finals = take_invoices(tmp_path, "past.csv", table, *options)
    assert (counts.new, counts.quarantined, counts.outcomes) == (2, 1, 2)
    assert "total: Input should be a valid number" in next(iter(counts.reasons))
    first = {"supplier": "Kern", "total": 1234.5, "currency": "USD", "due": "2026-05-04", "positions": []}
    assert finals == [first, first | {"total": 12.0, "currency": "EUR", "due": None}]


def test_json_lines_hold_item_and_decision_apart_with_nested_lists(tmp_path: Path) -> None:
    final = example_invoices.invoice()
    lines = [{"input": {"text": "{}"}, "final": final}, {"input": {"text": "{ }"}}, {"text": "{  }", **final}]
    counts, finals = take_invoices(tmp_path, "past.jsonl", "\n".join(map(json.dumps, lines)))
    assert (counts.new, counts.outcomes) == (3, 1), "a flat object is an item, where --final does not ask for more"
    assert [Prediction.model_validate(one) for one in finals] == [Prediction.model_validate(final)]


def test_a_cell_holds_a_list_as_json_or_between_semicolons(tmp_path: Path) -> None:
    cell = json.dumps([{"what": "chairs", "price": 1}]).replace('"', '""')
    _, finals = take_invoices(
        tmp_path, "past.csv", f'text,supplier,total,positions\n{{}},Kern,1,"{cell}"\n', "--final", "total=total"
    )
    assert finals[0]["positions"] == [{"what": "chairs", "price": 1.0}]

    class Booking(contract.Prediction):
        dishes: list[str] = []  # noqa: RUF012 - pydantic copies it

    row = Row(1, "", {"dishes": "soup; fish"})
    assert cells_for(Booking, row, None).dishes == ["soup", "fish"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["Betrag"], "Prediction has 2 required fields"),
        (["total=Betrag", "Firma"], "--final Firma does not say which field the column fills"),
        (["total=Betrag", "total=Summe"], "--final names the column of total twice"),
    ],
)
def test_columns_that_fill_no_field_are_an_error_that_says_what_to_write(given: list[str], message: str) -> None:
    with pytest.raises(PilotError, match=message):
        chosen(Prediction, given, "--final")
