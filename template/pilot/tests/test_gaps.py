"""Gaps: those that people listed, those that checks find, and what keeps the list from being complete."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from example_papers import edit, sign, write
from sqlalchemy import create_engine, delete, update
from typer.testing import CliRunner, Result

from pilot.charter import CHARTER
from pilot.cli import app as command
from pilot.records import keys
from pilot.records.database import now, writing
from pilot.records.queries import GRACE, Live, ServiceHealth, service_health
from pilot.records.tables import answers, audit, items, outcomes
from pilot.workbench import evidence, gap_checks, gates
from pilot.workbench.documents import files, gaps
from pilot.workbench.documents.gaps import AREAS, COLUMNS, GAPS
from pilot.workbench.documents.operations import BLANK
from pilot.workbench.pilot import Pilot

TODAY = date.today()
SOON = TODAY + timedelta(days=20)
HEADER = ",".join(COLUMNS)
LISTED = f"""\
{HEADER}
no single sign-on,authentication,major,3,Grace Hopper,open,{SOON},the identity team has a client for us
none,error handling,,,,,,the drills of week 6 came back by themselves
a second machine,failover,blocker,5,Grace Hopper,open,{SOON},ordered with the platform team
nobody reads the audit log,audit log,minor,1,Ada Byron,closed,,the shift lead reads it on Mondays
none,compliance,,,,,,the privacy officer signed on 3 March
"""
LIVE = Live("pilot.db", False, 20, None, None, 0, (), 20, 20, None, "0")
CLEAN = ServiceHealth("shadow", False, 0, False, (), None)
Seen = tuple[Live, ServiceHealth] | str | None


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    edit(tmp_path, "2027-03-01", (TODAY + timedelta(weeks=7)).isoformat())
    listed(tmp_path, LISTED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(root: Path, text: str) -> None:
    (root / GAPS).parent.mkdir(parents=True, exist_ok=True)
    (root / GAPS).write_text(text, encoding="utf-8")


def read(root: Path, seen: Seen = (LIVE, CLEAN), today: date = TODAY) -> gaps.Gaps:
    """The gaps where the records are as `seen`, or cannot be read for a reason, or were not looked at."""
    if not isinstance(seen, tuple):
        return Pilot(root, today, seen).gaps
    pilot = Pilot(root, today, create_engine("sqlite://"))
    pilot.live, service = seen
    return gap_checks.joined(pilot, service)


def said(of: gaps.Gaps) -> list[str]:
    return [str(problem) for problem in of.issues]


def test_a_complete_list_has_nothing_to_mend(root: Path) -> None:
    of = read(root)
    assert of.issues == []
    assert [(gap.what, gap.severity, gap.open, gap.id) for gap in of.rows] == [
        ("a second machine", "blocker", True, None),
        ("no single sign-on", "major", True, None),
        ("nobody reads the audit log", "minor", False, None),
    ]
    assert set(of.shown_none) == {"error handling", "compliance"}
    assert of.effort == 8
    [blocker] = of.blockers
    assert (blocker.owner, blocker.effort, blocker.mended_by) == ("Grace Hopper", 5, SOON)
    assert of.conditions == [blocker]


def test_an_open_blocker_without_a_day_is_no_condition(root: Path) -> None:
    edit(root, f"blocker,5,Grace Hopper,open,{SOON}", "blocker,5,Grace Hopper,open,", GAPS)
    of = read(root)
    assert (len(of.blockers), of.conditions) == (1, [])
    edit(root, "blocker,5,Grace Hopper,open,", "blocker,5,Grace Hopper,closed,", GAPS)
    assert read(root).blockers == []


HARMS = {
    "an area that is not there": (
        "no single sign-on,authentication",
        "no single sign-on,access",
        "does not state what is missing for auth",
    ),
    "an area that was not looked at": (
        "none,error handling,,,,,,the drills of week 6 came back by themselves",
        ",error handling,,,,,,",
        ":3: does not state what is missing for error handling",
    ),
    "no gap without a reason": (
        "the drills of week 6 came back by themselves",
        "",
        ":3: note: nothing shows",
    ),
    "no effort": ("major,3,", "major,,", ":2: effort_days: is empty"),
    "no owner": ("major,3,Grace Hopper", "major,3,TBD", ":2: owner: is empty"),
    "no severity": ("authentication,major", "authentication,", ":2: severity: is empty"),
    "no state": (f"open,{SOON},the identity", f",{SOON},the identity", ":2: state: is empty"),
    "closed without a proof": (
        "the shift lead reads it on Mondays",
        "done",
        ":5: note: 'nobody reads the audit log' is closed, and nothing shows it",
    ),
    "a placeholder": ("no single sign-on", "TODO", ":2: gap: is empty or a placeholder"),
    "a day that has passed": (
        f"open,{SOON},ordered",
        f"open,{TODAY - timedelta(days=1)},ordered",
        f":4: mended_by: 'a second machine' was to be fixed by {TODAY - timedelta(days=1)} and is open",
    ),
}
WRONG = {
    "a severity": (
        "authentication,major",
        "authentication,high",
        ":2: severity: Input should be 'blocker'",
    ),
    "an effort": (
        "major,3,",
        "major,a week,",
        ":2: effort_days: Input should be a valid number",
    ),
    "an endless effort": ("major,3,", "major,inf,", ":2: effort_days: Input should be a finite number"),
    "a state": (
        f"Hopper,open,{SOON},the",
        f"Hopper,soon,{SOON},the",
        ":2: state: Input should be 'open'",
    ),
    "a day": (f"{SOON},the identity", "March,the identity", ":2: mended_by: Input should be a valid date such as"),
    "a comma": ("ordered with the", "ordered, with the", ":4: the row has 9 fields, and the header 8"),
    "a column": ("effort_days", "effort", ":1: the header is missing 'effort_days', does not know 'effort'"),
    "a quote": ("ordered with", '"ordered" with', "is not CSV"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_the_list_lacks_is_named_with_its_line_and_the_mend(harm: str, root: Path) -> None:
    was, is_now, what = HARMS[harm]
    edit(root, was, is_now, GAPS)
    of = read(root)
    [problem] = said(of)
    assert what in problem
    assert problem.startswith("phases/3-decide/gaps.csv")
    assert files.unreadable(root) == []


@pytest.mark.parametrize("harm", WRONG)
def test_a_mistake_of_form_is_named_with_its_line_and_the_mend(harm: str, root: Path) -> None:
    was, is_now, what = WRONG[harm]
    edit(root, was, is_now, GAPS)
    of = read(root)
    assert what in said(of)[0]
    assert what in str(files.unreadable(root)[0])


def test_a_severity_that_is_not_said_is_taken_for_the_worst(root: Path) -> None:
    edit(root, "authentication,major", "authentication,", GAPS)
    assert "no single sign-on" in [gap.what for gap in read(root).blockers]


def test_a_blank_list_says_nothing_about_any_area(root: Path) -> None:
    listed(root, (BLANK / "3-decide" / "gaps.csv").read_text(encoding="utf-8"))
    of = read(root)
    assert of.rows == []
    assert files.unreadable(root) == []
    assert [problem.line for problem in of.issues] == [2, 3, 4, 5, 6]
    for area, problem in zip(AREAS, said(of), strict=True):
        assert f"does not state what is missing for {area}" in problem


def test_a_missing_list_says_how_to_add_it(root: Path) -> None:
    (root / GAPS).unlink()
    assert "`pilot paper add gaps.csv`" in said(read(root))[0]


@pytest.mark.parametrize("recorded", [None, "The database cannot be used."])
def test_without_the_records_the_list_is_not_complete(recorded: str | None, root: Path) -> None:
    [problem] = said(read(root, recorded))
    assert "cannot be joined with the gaps that the records show" in problem


def of_records(**changes: Any) -> tuple[Live, ServiceHealth]:
    """Records of which one thing is not as it should be."""
    own = {name: value for name, value in changes.items() if name in Live.__slots__}
    rest = {name: value for name, value in changes.items() if name not in own}
    return replace(LIVE, **own), replace(CLEAN, **rest)


FOUND = {
    "audit-broken": (of_records(audit_break=7), "audit log", "blocker"),
    "scratch-database": (of_records(scratch=True), "audit log", "blocker"),
    "embedded-database": (of_records(embedded=True), "failover", "major"),
    "contents-in-clear": (of_records(in_clear=20), "compliance", "major"),
    "mode-without-gate": (of_records(mode="assist"), "compliance", "blocker"),
    "records-incomplete": (of_records(incomplete_items=2, incomplete=("a", "b")), "error handling", "major"),
    "keys-missing": (of_records(keyless_roles=("reviewer",)), "authentication", "major"),
    "single-reviewer": (of_records(single_reviewer=True), "people", "major"),
}


@pytest.mark.parametrize("id", FOUND)
def test_each_check_finds_its_gap_and_nothing_else(id: str, root: Path) -> None:
    recorded, area, severity = FOUND[id]
    edit(root, "judged_items: 300", "judged_items: 300\nvolume_production: 5000")
    assert read(root).issues == []
    of = read(root, recorded)
    [gap] = [gap for gap in of.rows if gap.id]
    assert (gap.id, gap.area, gap.severity, gap.open, gap.effort) == (id, area, severity, True, None)
    assert gap.blocks == (severity == "blocker")
    asked = [f"has no row for {id}, which a check found" in problem for problem in said(of)]
    assert asked == ([True] if severity == "blocker" else []), "a blocker alone needs a row"
    assert area not in of.shown_none


def test_every_check_of_the_registry_is_seen_above() -> None:
    assert len(gap_checks.OF_RECORDS) == len(FOUND)
    assert len(gap_checks.OF_CHECKOUT) == 2


def test_a_check_that_is_taken_away_finds_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_checks, "OF_RECORDS", [])
    for recorded, _, _ in FOUND.values():
        assert read(root, recorded).issues == []


def test_what_the_charter_does_not_ask_for_is_no_gap(root: Path) -> None:
    assert read(root, of_records(embedded=True)).issues == []
    edit(root, "personal_data: yes", "personal_data: no")
    assert read(root, of_records(in_clear=20)).issues == []
    edit(root, "regulated: no", "regulated: yes")
    assert "regulated" in read(root, of_records(in_clear=20)).blockers[0].what
    assert read(root, of_records(mode="assist", scratch=True)).rows[0].id == "scratch-database"


def test_beyond_shadow_is_no_gap_once_gate_1_has_passed(root: Path) -> None:
    sign(root, today=TODAY)
    assert gates.attempt(Pilot(root, TODAY), 1)[0].passes
    assert read(root, of_records(mode="auto")).issues == []


def test_a_broken_promise_and_altered_evidence_are_gaps(root: Path) -> None:
    sign(root, today=TODAY)
    assert read(root).issues == []
    edit(root, "target: 9", "target: 8", CHARTER)
    [gap] = [gap for gap in read(root).rows if gap.id]
    assert (gap.id, gap.area, gap.severity) == ("promise-broken", "compliance", "blocker")
    assert "'target: 9' is now 'target: 8'" in gap.what
    edit(root, "target: 8", "target: 9", CHARTER)
    [file] = (root / evidence.EVIDENCE).iterdir()
    file.write_text(file.read_text().replace("Ada", "Eve", 1))
    [gap] = [gap for gap in read(root).rows if gap.id]
    assert (gap.id, gap.area, gap.severity) == ("evidence-altered", "audit log", "blocker")


def test_a_late_decision_is_no_gap(root: Path) -> None:
    sign(root, today=TODAY)
    listed(root, LISTED.replace(str(SOON), "2098-01-01"))
    assert read(root, today=date(2097, 1, 1)).issues == []


def test_a_row_says_who_mends_a_found_gap_and_by_when(root: Path) -> None:
    row = f"contents-in-clear: no key,compliance,minor,0.5,Ada Byron,open,{SOON},the platform team mounts the key\n"
    listed(root, LISTED + row)
    edit(root, "regulated: no", "regulated: yes")
    of = read(root, of_records(in_clear=20))
    assert of.issues == []
    [gap] = [gap for gap in of.rows if gap.id]
    assert (gap.severity, gap.owner, gap.effort, gap.mended_by, gap.line) == ("blocker", "Ada Byron", 0.5, SOON, 7)
    assert "20 of 20 live items" in gap.what
    assert gap in of.conditions
    assert len(of.rows) == 4
    assert "compliance" not in of.shown_none


def test_a_found_gap_cannot_be_closed_by_a_word(root: Path) -> None:
    listed(root, LISTED + "contents-in-clear,compliance,blocker,1,Ada Byron,closed,,the key is set now\n")
    edit(root, "regulated: no", "regulated: yes")
    of = read(root, of_records(in_clear=20))
    assert "contents-in-clear" in [gap.id for gap in of.blockers]
    [problem] = said(of)
    assert ":7: contents-in-clear is closed, and a check still finds it" in problem
    assert read(root).issues == []


def test_another_name_with_the_same_beginning_does_not_speak_about_it(root: Path) -> None:
    listed(root, LISTED + f"audit-broken-door,people,minor,1,Ada Byron,open,{SOON},\n")
    assert "has no row for audit-broken" in said(read(root, of_records(audit_break=7)))[0]


Served = Callable[..., App]


@pytest.fixture
def served(make_app: AppMaker, database: dict[str, str]) -> Served:
    def serve(mode: str = "shadow", **options: Any) -> App:
        app = make_app(mode=mode, **{**database, **options})
        first, second = (app.post(text).json()["id"] for text in ("where is my money", "hello"))
        app.drained()
        with writing(app.service.engine) as connection:
            app.keys["rob"] = keys.create(connection, "reviewer", "rob", "live", "test")
        app.service.live.read()
        for item, who in ((first, "rita"), (second, "rob")):
            assert app.judge(item, who=who, final={"label": "refund"}).status_code == 201
        return app

    return serve


def seen(app: App) -> ServiceHealth:
    with app.service.engine.connect() as connection:
        return service_health(connection)


def ids(root: Path, app: App) -> list[str]:
    """The gaps that checks find in the records of a service."""
    return [gap.id for gap in Pilot(root, TODAY, app.service.engine).gaps.rows if gap.id]


def test_the_standing_is_what_the_records_show(served: Served, database: dict[str, str]) -> None:
    app = served("assist")
    embedded = database["database_url"].startswith("sqlite")
    assert seen(app) == ServiceHealth("assist", embedded, 2, False, (), None)
    with writing(app.service.engine) as connection:
        connection.execute(delete(outcomes).where(outcomes.c.made_by == "rob"))
    assert seen(app).single_reviewer
    with writing(app.service.engine) as connection:
        connection.execute(update(outcomes).values(made_by="shop"))
    assert not seen(app).single_reviewer, "behind a system's key any number of people may decide"
    with writing(app.service.engine) as connection:
        connection.execute(update(audit).where(audit.c.seq == 3).values(actor="mallory"))
    assert seen(app).audit_break == 3


def test_with_a_data_key_nothing_is_in_clear(served: Served) -> None:
    assert seen(served(data_key=Fernet.generate_key().decode())).in_clear == 0


def test_only_live_items_are_looked_at(served: Served) -> None:
    app = served()
    with writing(app.service.engine) as connection:
        connection.execute(update(items).values(origin="test"))
    assert (seen(app).in_clear, seen(app).single_reviewer) == (0, False)


def test_broken_access_makes_a_gap_appear(root: Path, served: Served) -> None:
    app = served()
    edit(root, "personal_data: yes", "personal_data: no")

    assert ids(root, app) == []
    with writing(app.service.engine) as connection:
        for key in keys.listed(connection):
            if key["role"] == "reviewer":
                keys.revoke(connection, str(key["id"]), "test")
    assert ids(root, app) == ["keys-missing"]


RUNNER = CliRunner()


def pilot(*words: str) -> Result:
    return RUNNER.invoke(command, words)


def test_the_command_marks_what_a_check_found(root: Path, make_app: AppMaker) -> None:
    app = make_app()
    item = app.post("where is my money").json()["id"]
    app.drained()
    app.judge(item, final={"label": "refund"})
    edit(root, "regulated: no", "regulated: yes")
    done = pilot("gaps")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "blocker"
    assert [line for line in lines if re.match(r"blocker +open +failover +listed +a second machine", line)]
    assert [line for line in lines if re.match(r"major +open +people +found by a check +single-reviewer: One", line)]
    assert [line for line in lines if re.match(r"blocker +open +compliance +found by a check +contents-in-clear", line)]
    assert "4 open, 8 days of work as far as known; 2 of them are blockers, 1 with an owner and a day" in lines
    assert "1 to fix" in lines


def test_the_command_ends_well_where_the_list_is_complete(root: Path, make_app: AppMaker) -> None:
    make_app()
    done = pilot("gaps")
    assert (done.exit_code, "to fix" in done.stdout) == (0, False)
    assert "Grace Hopper" in done.stdout


def test_the_command_shows_the_columns_of_an_empty_list(root: Path) -> None:
    listed(root, (BLANK / "3-decide" / "gaps.csv").read_text(encoding="utf-8"))
    done = pilot("gaps")
    assert done.exit_code == 1
    for name in COLUMNS:
        assert f"  {name}" in done.stdout


def test_the_command_says_so_where_the_records_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_DATABASE_URL", "postgresql://pilot@127.0.0.1:1/nothing")
    done = pilot("gaps")
    assert done.exit_code == 1
    assert "cannot be joined with the gaps that the records show. The database" in done.stdout


def test_a_record_without_an_answer_is_found_once_it_is_no_longer_new(root: Path, served: Served) -> None:
    app = served()
    edit(root, "personal_data: yes", "personal_data: no")
    old: datetime = now() - GRACE - timedelta(minutes=1)
    with writing(app.service.engine) as connection:
        connection.execute(delete(answers).where(answers.c.role == "rules"))
        connection.execute(update(items).values(received_at=old))
    assert ids(root, app) == ["records-incomplete"]
