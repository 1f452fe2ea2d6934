"""Gate 1: passed with realistic papers, and shut by each single thing that is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from example_papers import CANDIDATES, SIGNED, edit, sign, sign_unchecked, write

from pilot.contract import PilotError
from pilot.frontmatter import Issue
from pilot.workbench import checks, decision, evidence, gates
from pilot.workbench.checks import CHECKS, PHASES
from pilot.workbench.documents.candidates import CANDIDATES as CANDIDATES_FILE
from pilot.workbench.evidence import EVIDENCE
from pilot.workbench.gates import progress
from pilot.workbench.pilot import Pilot

LATER = date(2027, 1, 20)
# Past the decision date of the papers.
LATE = date(2027, 3, 2)


def broken_promises(root: Path, day: date) -> list[Issue]:
    return checks.broken(Pilot(root, day))


def passed(root: Path, number: int) -> bool:
    """Whether the evidence is there that a gate has passed."""
    return evidence.read(root).passed(number) is not None


def missing(root: Path, today: date = SIGNED) -> set[str]:
    return {item.check.id for item in gates.inspect(Pilot(root, today), 1).items if item.state == "missing"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture
def through(root: Path) -> Path:
    """A pilot that has passed gate 1."""
    sign(root)
    found, written = gates.attempt(Pilot(root, SIGNED), 1)
    assert found.passes
    assert written is not None
    return root


def test_a_pilot_walks_through_gate_1(root: Path) -> None:
    assert missing(root) == {"charter-signed"}
    assert not passed(root, 1)
    sign(root)
    found, written = gates.attempt(Pilot(root, LATER), 1)
    assert (found.passes, found.passed_on, found.begun) == (True, LATER, SIGNED)
    assert written == root / EVIDENCE / "0002-gate-1.json"
    assert passed(root, 1)
    assert gates.attempt(Pilot(root, LATER), 1)[1] is None, "it passes once"
    assert broken_promises(root, LATER) == []


def in_charter(was: str, is_now: str) -> Callable[[Path], None]:
    def breaks(root: Path) -> None:
        edit(root, was, is_now)
        sign_unchecked(root)

    return breaks


def in_candidates(was: str, is_now: str) -> Callable[[Path], None]:
    def breaks(root: Path) -> None:
        edit(root, was, is_now, CANDIDATES_FILE)
        sign(root)

    return breaks


def alters_evidence(root: Path) -> None:
    sign(root)
    file = sign(root, "Sue Sponsor <sue@example.org>", "sponsor")
    file.write_text(file.read_text().replace("Sue", "Sam"))


TWINS: dict[str, Callable[[Path], None]] = {
    "candidates-scored": in_candidates("Ticket triage,4", "Ticket triage,7"),
    "candidates-selected": in_candidates("Ines of accounting,,", "Ines of accounting,yes,"),
    "candidates-override": in_candidates("tickets,4,the team", "tickets,1,the team"),
    "charter-readable": in_charter("weeks: 6", "weeks: six"),
    "charter-owner": in_charter("email: ada@example.org", "email: team@example.org"),
    "charter-authority": in_charter("operational_authority: yes", "operational_authority: no"),
    "charter-receiver": in_charter("name: Grace Hopper", "name: the operations team"),
    "charter-budget": in_charter("budget: 40000", "budget: TBD"),
    "charter-target": in_charter("target: 9", "target:"),
    "charter-measurement": in_charter("window: weeks 2 to 6 of the pilot", "window: TODO"),
    "charter-weeks": in_charter("weeks: 6", "weeks: 9"),
    "charter-decision-date": in_charter("2027-03-01", "2027-03-09"),
    "charter-risks": in_charter('risks: ["an urgent ticket waits in the wrong queue: the', 'risks: ["TBD: the'),
    "charter-kill-criteria": in_charter('["more than 20 urgent tickets a week are delayed"]', "[]"),
    "charter-alternatives": in_charter('why_not: "customers pick the first entry"', 'why_not: "no"'),
    "charter-build-or-buy": in_charter("build_or_buy: build", "build_or_buy:"),
    "charter-risk-questions": in_charter("automated_decision: no", "automated_decision:"),
    "charter-use": in_charter("use: ordinary", "use: prohibited"),
    "charter-safeguards": in_charter("oversight: the shift lead moves a ticket back by hand", "oversight:"),
    "charter-sections": in_charter("About 120 tickets a day are sorted by hand, and 9 % of them wait", "TODO"),
    "charter-page": in_charter("Customers leave when", "Customers leave when " + "so very often " * 200),
    "charter-agreement": in_charter("when they wait longer", "when they wait longer than 8 hours"),
    "charter-signed": lambda root: None,
    "evidence-intact": alters_evidence,
}


@pytest.mark.parametrize("rule", [check.id for check in CHECKS.values() if check.gate == 1])
def test_each_thing_that_is_missing_shuts_the_gate_alone(rule: str, root: Path) -> None:
    TWINS[rule](root)
    found, written = gates.attempt(Pilot(root, SIGNED), 1)
    assert {item.check.id for item in found.items if item.state == "missing"} == {rule}
    assert not found.passes
    assert written is None
    assert not passed(root, 1)
    [item] = [item for item in found.items if item.check.id == rule]
    assert all(problem.fix and problem.file for problem in item.issues)


def test_no_rule_is_said_twice_and_each_belongs_to_a_gate() -> None:
    assert {check.gate for check in CHECKS.values()} <= set(PHASES)
    assert set(TWINS) == {check.id for check in CHECKS.values() if check.gate == 1}


def test_a_gate_that_is_not_one_is_refused(root: Path) -> None:
    with pytest.raises(PilotError, match="no gate 6"):
        gates.inspect(Pilot(root, SIGNED), 6)


def test_what_waits_for_an_unreadable_charter_neither_holds_nor_is_missing(root: Path) -> None:
    edit(root, "weeks: 6", "weeks: six")
    found = {item.check.id: item.state for item in gates.inspect(Pilot(root, SIGNED), 1).items}
    assert (found["charter-readable"], found["charter-owner"], found["charter-use"]) == ("missing", "waits", "waits")


def test_a_signed_charter_that_changes_is_named_and_the_passed_gate_does_not_hold(through: Path) -> None:
    edit(through, "target: 9", "target: 8")
    [broken] = broken_promises(through, SIGNED)
    assert str(broken).startswith("phases/1-scope/charter.md:8: 'target: 9' is now 'target: 8'; Ada Byron signed it")
    assert not gates.inspect(Pilot(through, SIGNED), 1).passes
    assert passed(through, 1), "it is not thrown back"
    sign(through, today=LATER)
    assert broken_promises(through, LATER) == []
    assert gates.inspect(Pilot(through, LATER), 1).passes


def test_a_passed_gate_stays_passed_when_the_candidates_move_on(through: Path) -> None:
    edit(through, "clerks doubt it", "", CANDIDATES_FILE)
    found = gates.inspect(Pilot(through, LATER), 1)
    assert found.passes
    assert not found.holds


def test_altered_evidence_of_the_gate_is_a_broken_promise_and_takes_the_pass_away(through: Path) -> None:
    file = through / EVIDENCE / "0002-gate-1.json"
    file.write_text(file.read_text().replace("2027-03-01", "2027-12-01"))
    [broken] = broken_promises(through, LATER)
    assert (broken.rule, broken.file) == ("evidence-intact", "phases/evidence/0002-gate-1.json")
    assert not passed(through, 1)


def test_past_the_decision_date_the_check_is_red_until_the_owner_signs_a_decision(through: Path) -> None:
    assert broken_promises(through, date(2027, 3, 1)) == []
    [broken] = broken_promises(through, LATE)
    assert "the decision was due on 2027-03-01, 1 days ago" in broken.what
    assert "Decide now, go or no-go" in broken.fix
    decision = through / "phases" / "3-decide" / "decisions" / "2027-03-02.md"
    decision.parent.mkdir(parents=True)
    decision.write_text("No-go: the target was missed by a wide margin.\n")
    assert broken_promises(through, LATE) == [broken], "a file without a signature decides nothing"
    sign(through, today=LATE, paper="phases/3-decide/decisions/2027-03-02.md")
    assert broken_promises(through, LATE) == []


def test_signing_a_later_date_does_not_move_the_decision(through: Path) -> None:
    edit(through, "2027-03-01", "2027-03-08")
    sign(through, today=LATER)
    assert decision.due(evidence.read(through)) == date(2027, 3, 1)
    assert broken_promises(through, LATE) != []


def test_nothing_is_promised_before_the_first_signature(tmp_path: Path) -> None:
    write(tmp_path, "---\n---\n", CANDIDATES.split("\n")[0])
    assert broken_promises(tmp_path, LATE) == []
    assert len(missing(tmp_path)) > 10


def test_progress_names_the_phase_the_days_left_and_the_next_action(root: Path) -> None:
    found = progress(Pilot(root, SIGNED))
    assert [phase["state"] for phase in found["phases"]] == ["current", "ahead", "ahead", "ahead", "ahead"]
    assert "pilot sign charter" in found["next"]
    assert found["days_left"] is None
    sign(root)
    assert "run `pilot gate 1`" in progress(Pilot(root, SIGNED))["next"]
    gates.attempt(Pilot(root, SIGNED), 1)
    found = progress(Pilot(root, LATER))
    assert [phase["state"] for phase in found["phases"][:2]] == ["passed", "current"]
    assert (found["phases"][0]["passed_on"], found["days_left"]) == ("2027-01-11", 40)
    assert "`pilot gate 2` lists all that is missing" in found["next"]
    assert "Fix a broken promise" in progress(Pilot(root, LATE))["next"]
