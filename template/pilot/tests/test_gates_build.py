"""Gates 1 and 2, walked with realistic papers and live records; gate 2 shut by each single thing that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import App, AppMaker
from example_papers import edit, sign, write
from sqlalchemy import Engine, delete, update

from pilot.records.database import now, writing
from pilot.records.tables import answers, items
from pilot.workbench import evidence, gates
from pilot.workbench.checks import CHECKS, broken
from pilot.workbench.documents import baseline
from pilot.workbench.evidence import EVIDENCE
from pilot.workbench.gates import progress
from pilot.workbench.pilot import Pilot

TODAY = date.today()
PLANNED = 12
HEADER = "id,measured_on,measured_by,seconds,correct,cost,touches\n"


def passed(root: Path, number: int) -> bool:
    """Whether the evidence is there that a gate has passed."""
    return evidence.read(root).passed(number) is not None


@dataclass
class Work:
    """A pilot's papers and its running service. What a twin changes, it changes before `works`."""

    root: Path
    app: App
    signs: Callable[[Path], object] = lambda root: sign(root, today=TODAY)
    passes_gate_1: bool = True
    last_measured: date = TODAY - timedelta(days=14)
    judged: int = PLANNED
    unreadable: str | None = None

    def works(self) -> None:
        """Signs, measures, answers and has people decide, as the weeks of phase 1 and 2 do."""
        self.signs(self.root)
        if self.passes_gate_1:
            assert gates.attempt(Pilot(self.root, TODAY), 1)[0].passes
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

    def records(self) -> Engine | str:
        return self.unreadable or self.app.service.engine

    def gate(self, number: int = 2, today: date = TODAY) -> gates.Gate:
        return gates.attempt(Pilot(self.root, today, self.records()), number)[0]


@pytest.fixture
def pilot(tmp_path: Path, make_app: AppMaker) -> Work:
    write(tmp_path)
    edit(tmp_path, "2027-03-01", (TODAY + timedelta(weeks=7)).isoformat())
    edit(tmp_path, "judged_items: 300", f"judged_items: {PLANNED}")
    return Work(tmp_path, make_app())


def test_a_pilot_walks_through_gates_1_and_2(pilot: Work) -> None:
    assert not pilot.gate(1).passes
    pilot.works()
    assert [phase["state"] for phase in progress(Pilot(pilot.root, TODAY, pilot.records()))["phases"][:3]] == [
        "passed",
        "current",
        "ahead",
    ]
    found, written = gates.attempt(Pilot(pilot.root, TODAY, pilot.records()), 2)
    assert (found.passes, found.passed_on) == (True, TODAY)
    assert written == pilot.root / EVIDENCE / "0004-gate-2.json"
    said = {item.check.id: item.evidence for item in found.items}
    assert said["live-items"] == f"{PLANNED} live items"
    assert said["outcomes-coming-in"] == f"{PLANNED} of {PLANNED} decided, the last {now().date()}"
    assert said["baseline-before-ai"].endswith(f"first live answer {now().date()}")
    assert broken(Pilot(pilot.root, TODAY)) == []
    stands = progress(Pilot(pilot.root, TODAY, pilot.records()))
    assert [phase["state"] for phase in stands["phases"][:3]] == ["passed", "passed", "current"]


def test_the_gate_stays_passed_when_records_come_and_go_but_not_when_its_evidence_is_altered(pilot: Work) -> None:
    pilot.works()
    assert pilot.gate().passes
    pilot.unreadable = "The database cannot be used."
    assert pilot.gate().passes
    assert not pilot.gate().holds
    file = pilot.root / EVIDENCE / "0004-gate-2.json"
    file.write_text(file.read_text().replace("live items", "dead items"))
    assert not passed(pilot.root, 2)
    [issue] = broken(Pilot(pilot.root, TODAY))
    assert issue.rule == "evidence-intact"


def loses_an_answer_of_the_rules(pilot: Work) -> None:
    pilot.works()
    with writing(pilot.app.service.engine) as connection:
        first = connection.execute(items.select().order_by(items.c.seq)).first()
        assert first is not None
        connection.execute(delete(answers).where(answers.c.item_id == first.id, answers.c.role == "rules"))
        connection.execute(update(items).where(items.c.id == first.id).values(received_at=now() - timedelta(hours=1)))


def working(**changes: object) -> Callable[[Work], None]:
    def breaks(pilot: Work) -> None:
        for name, value in changes.items():
            setattr(pilot, name, value)
        pilot.works()

    return breaks


def plans_more(root: Path) -> None:
    edit(root, f"judged_items: {PLANNED}", "judged_items: 300")
    sign(root, today=TODAY)


def changes_the_baseline(pilot: Work) -> None:
    pilot.works()
    edit(pilot.root, "540", "640", baseline.BASELINE)


TWINS: dict[str, Callable[[Work], None]] = {
    "gate-1-passed": working(passes_gate_1=False),
    "baseline-frozen": changes_the_baseline,
    "baseline-before-ai": working(last_measured=TODAY),
    "records-readable": working(unreadable="The database cannot be used."),
    "live-items": working(signs=plans_more),
    "records-complete": loses_an_answer_of_the_rules,
    "outcomes-coming-in": working(judged=PLANNED // 2),
}


@pytest.mark.parametrize("rule", [check.id for check in CHECKS.values() if check.gate == 2])
def test_each_thing_that_is_missing_shuts_the_gate_alone(rule: str, pilot: Work) -> None:
    TWINS[rule](pilot)
    found, written = gates.attempt(Pilot(pilot.root, TODAY, pilot.records()), 2)
    assert {item.check.id for item in found.items if item.state == "missing"} == {rule}
    assert (found.passes, written, passed(pilot.root, 2)) == (False, None, False)
    [item] = [item for item in found.items if item.check.id == rule]
    assert all(problem.what and problem.fix and problem.file for problem in item.issues)


def test_each_rule_has_a_twin() -> None:
    assert set(TWINS) == {check.id for check in CHECKS.values() if check.gate == 2}


def test_a_scratch_database_counts_for_no_gate(pilot: Work) -> None:
    from pilot.records import controls

    pilot.works()
    with writing(pilot.app.service.engine) as connection:
        controls.put(connection, "scratch", "yes", "test")
    found = gates.inspect(Pilot(pilot.root, TODAY, pilot.records()), 2)
    assert {item.check.id for item in found.items if item.state == "missing"} == {"records-readable"}


def test_outcomes_that_stopped_no_longer_come_in(pilot: Work) -> None:
    pilot.works()
    found = gates.inspect(Pilot(pilot.root, TODAY + timedelta(days=9), pilot.records()), 2)
    [item] = [item for item in found.items if item.state == "missing"]
    assert item.check.id == "outcomes-coming-in"
    assert "no new outcome since" in item.issues[0].what


def test_without_a_look_at_the_records_the_gate_says_so(pilot: Work) -> None:
    pilot.works()
    [item] = [item for item in gates.inspect(Pilot(pilot.root, TODAY), 2).items if item.state == "missing"]
    assert (item.check.id, item.issues[0].what) == ("records-readable", "was not looked at.")
