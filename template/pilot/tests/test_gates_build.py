"""Gates 1 and 2, walked with realistic papers and live records; gate 2 shut by each single thing that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import App, AppMaker
from example_papers import edit, sign, write
from sqlalchemy import delete, update

from pilot.records.database import now, writing
from pilot.records.tables import answers, items
from pilot.workbench import gate, promises, view
from pilot.workbench.documents import baseline
from pilot.workbench.evidence import EVIDENCE
from pilot.workbench.progress import progress
from pilot.workbench.rules import RULES
from pilot.workbench.view import Records

TODAY = date.today()
PLANNED = 12
HEADER = "id,measured_on,measured_by,seconds,correct,cost,touches\n"


@dataclass
class Pilot:
    """A pilot's papers and its running service. What a twin changes, it changes before `works`."""

    root: Path
    app: App
    signs: Callable[[Path], object] = lambda root: sign(root, today=TODAY)
    passes_gate_1: bool = True
    last_measured: date = TODAY - timedelta(days=14)
    judged: int = PLANNED
    seen: Callable[[Records], Records | str] = lambda records: records

    def works(self) -> None:
        """Signs, measures, answers and has people decide, as the weeks of phase 1 and 2 do."""
        self.signs(self.root)
        if self.passes_gate_1:
            assert gate.attempt(self.root, 1, TODAY)[0].passes
        measured = self.root / "measured.csv"
        days = [TODAY - timedelta(days=28), self.last_measured]
        rows = [f"A-{number},{day},Ada Byron,{540 + number},yes,4.2,2\n" for number, day in enumerate(days)]
        measured.write_text(HEADER + "".join(rows), encoding="utf-8")
        baseline.import_file(self.root, measured, TODAY)
        baseline.freeze(self.root, TODAY)
        for number in range(PLANNED):
            response = self.app.post(f"where is my money, ticket {number}")
            if number < self.judged:
                assert self.app.judge(response.json()["id"], final={"label": "refund"}).status_code == 201
        self.app.drained()

    def records(self) -> Records | str:
        return self.seen(view.records(self.root, self.app.service.engine))

    def gate(self, number: int = 2, today: date = TODAY) -> gate.Gate:
        return gate.attempt(self.root, number, today, self.records())[0]


@pytest.fixture
def pilot(tmp_path: Path, make_app: AppMaker) -> Pilot:
    write(tmp_path)
    edit(tmp_path, "2027-03-01", (TODAY + timedelta(weeks=7)).isoformat())
    edit(tmp_path, "judged_items: 300", f"judged_items: {PLANNED}")
    return Pilot(tmp_path, make_app())


def test_a_pilot_walks_through_gates_1_and_2(pilot: Pilot) -> None:
    assert not pilot.gate(1).passes
    pilot.works()
    assert [phase["state"] for phase in progress(pilot.root, TODAY, pilot.records())["phases"][:3]] == [
        "passed",
        "current",
        "ahead",
    ]
    found, written = gate.attempt(pilot.root, 2, TODAY, pilot.records())
    assert (found.passes, found.passed_on) == (True, TODAY)
    assert written == pilot.root / EVIDENCE / "0004-gate-2.json"
    said = {item.rule.id: item.evidence for item in found.items}
    assert said["live-items"] == f"{PLANNED} live items"
    assert said["outcomes-coming-in"] == f"{PLANNED} of {PLANNED} decided, the last {now().date()}"
    assert said["baseline-before-ai"].endswith(f"first live answer {now().date()}")
    assert promises.broken(pilot.root, TODAY) == []
    stands = progress(pilot.root, TODAY, pilot.records())
    assert [phase["state"] for phase in stands["phases"][:3]] == ["passed", "passed", "current"]


def test_the_gate_stays_passed_when_records_come_and_go_but_not_when_its_evidence_is_altered(pilot: Pilot) -> None:
    pilot.works()
    assert pilot.gate().passes
    pilot.seen = lambda found: "The database cannot be used."
    assert pilot.gate().passes
    assert not pilot.gate().holds
    file = pilot.root / EVIDENCE / "0004-gate-2.json"
    file.write_text(file.read_text().replace("live items", "dead items"))
    assert not gate.passed(pilot.root, 2)
    [broken] = promises.broken(pilot.root, TODAY)
    assert broken.rule == "evidence-intact"


def loses_an_answer_of_the_rules(pilot: Pilot) -> None:
    pilot.works()
    with writing(pilot.app.service.engine) as connection:
        first = connection.execute(items.select().order_by(items.c.seq)).first()
        assert first is not None
        connection.execute(delete(answers).where(answers.c.item_id == first.id, answers.c.role == "rules"))
        connection.execute(update(items).where(items.c.id == first.id).values(received_at=now() - timedelta(hours=1)))


def working(**changes: object) -> Callable[[Pilot], None]:
    def breaks(pilot: Pilot) -> None:
        for name, value in changes.items():
            setattr(pilot, name, value)
        pilot.works()

    return breaks


def plans_more(root: Path) -> None:
    edit(root, f"judged_items: {PLANNED}", "judged_items: 300")
    sign(root, today=TODAY)


def changes_the_baseline(pilot: Pilot) -> None:
    pilot.works()
    edit(pilot.root, "540", "640", baseline.BASELINE)


TWINS: dict[str, Callable[[Pilot], None]] = {
    "gate-1-passed": working(passes_gate_1=False),
    "baseline-frozen": changes_the_baseline,
    "baseline-before-ai": working(last_measured=TODAY),
    "records-readable": working(seen=lambda found: "The database cannot be used."),
    "live-items": working(signs=plans_more),
    "records-complete": loses_an_answer_of_the_rules,
    "outcomes-coming-in": working(judged=PLANNED // 2),
}


@pytest.mark.parametrize("rule", [rule.id for rule in RULES if rule.gate == 2])
def test_each_thing_that_is_missing_shuts_the_gate_alone(rule: str, pilot: Pilot) -> None:
    TWINS[rule](pilot)
    found, written = gate.attempt(pilot.root, 2, TODAY, pilot.records())
    assert {item.rule.id for item in found.items if item.state == "missing"} == {rule}
    assert (found.passes, written, gate.passed(pilot.root, 2)) == (False, None, False)
    [item] = [item for item in found.items if item.rule.id == rule]
    assert all(problem.what and problem.fix and problem.file for problem in item.problems)


def test_each_rule_has_a_twin() -> None:
    assert set(TWINS) == {rule.id for rule in RULES if rule.gate == 2}


def test_a_scratch_database_counts_for_no_gate(pilot: Pilot) -> None:
    from pilot.records import controls

    pilot.works()
    with writing(pilot.app.service.engine) as connection:
        controls._put(connection, "scratch", "yes", "test")
    found = gate.look(pilot.root, 2, TODAY, pilot.records())
    assert {item.rule.id for item in found.items if item.state == "missing"} == {"records-readable"}


def test_outcomes_that_stopped_no_longer_come_in(pilot: Pilot) -> None:
    pilot.works()
    found = gate.look(pilot.root, 2, TODAY + timedelta(days=9), pilot.records())
    [item] = [item for item in found.items if item.state == "missing"]
    assert item.rule.id == "outcomes-coming-in"
    assert "no new outcome since" in item.problems[0].what


def test_without_a_look_at_the_records_the_gate_says_so(pilot: Pilot) -> None:
    pilot.works()
    [item] = [item for item in gate.look(pilot.root, 2, TODAY).items if item.state == "missing"]
    assert (item.rule.id, item.problems[0].what) == ("records-readable", "was not looked at.")
