"""Gate 4: a pilot that passes it, and the gate shut by each single thing that is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from example_papers import edit, sign, write
from example_short import write_short
from test_gates_decide import GAPS

from pilot.records import audit, controls
from pilot.records.database import writing
from pilot.records.tables import audit as trail
from pilot.workbench import card, evidence, gates, signatures
from pilot.workbench.documents import gaps, operations, runbook
from pilot.workbench.gates import progress
from pilot.workbench.pilot import Pilot

TODAY = date(2027, 4, 12)
RUNBOOK = Path(__file__).resolve().parents[2] / "runbook"
LOAD: dict[str, Any] = {"profile": "peak", "target": "a scratch copy", "daily": 800, "rate": 0.4, "p95_ms": 80.0}
LOOK_BACK: dict[str, Any] = {"begins": "2027-02-12 08:00", "ends": "2027-04-12 08:00", "items": 900, "known_items": 9}


@dataclass
class Work:
    """A pilot in its twelfth week."""

    root: Path
    app: App

    def __post_init__(self) -> None:
        evidence.append(
            self.root, "gate", "gate-3", TODAY, {"gate": 3, "begun": "2027-01-11", "decision_by": "2027-03-01"}
        )
        self.loaded()
        for name in runbook.names(self.root):
            if runbook.read(self.root, name).header.fault:
                self.drilled(name)
        self.looked_back()
        with writing(self.app.service.engine) as connection:
            audit.append(connection, "grace", controls.RETRAINED, {"version": "abc", "rows": 300})

    def passes(self, gate: int) -> None:
        facts = {"gate": gate, "begun": "2027-01-11", "decision_by": "2027-03-01"}
        evidence.append(self.root, "gate", f"gate-{gate}", TODAY, facts)

    def loaded(self, day: date = TODAY, **facts: Any) -> None:
        evidence.append(self.root, "loadtest", "loadtest-peak", day, {**LOAD, "kept": True, "by": "grace", **facts})

    def drilled(self, page: str, day: date = TODAY) -> None:
        facts = {"page": page, "fault": "none", "restored_seconds": 9.0, "by": "grace", "how": "by the command"}
        evidence.append(self.root, "drill", f"drill-{page}", day, facts)

    def looked_back(self, day: date = TODAY, **facts: Any) -> None:
        calls = [{"at": "2027-03-01 02:10", "minutes": 130, "alerts": ["KnownItemsWrong"]}]
        evidence.append(self.root, "backtest", "backtest", day, {**LOOK_BACK, "calls": calls, "unseen": [], **facts})

    def on(self, day: date = TODAY) -> Pilot:
        return Pilot(self.root, day, self.app.service.engine)

    def missing(self, day: date = TODAY) -> set[str]:
        return {item.check.id for item in gates.inspect(self.on(day), 4).items if item.state == "missing"}

    def without(self, name: str) -> None:
        """The evidence is written anew but for the files of that name."""
        entries = evidence.read(self.root).entries
        shutil.rmtree(self.root / evidence.EVIDENCE)
        for entry in entries:
            if name not in entry.file.name:
                facts = {
                    key: value
                    for key, value in entry.facts.items()
                    if key not in ("number", "kind", "date", "previous", "hash")
                }
                evidence.append(self.root, entry.kind, entry.file.stem[5:], entry.date, facts)  # type: ignore[arg-type]


@pytest.fixture
def pilot(tmp_path: Path, make_app: AppMaker) -> Work:
    """Whose papers are filled and signed, and whose evidence is there."""
    write(tmp_path)
    edit(tmp_path, "judged_items: 300", "judged_items: 300\nvolume_production: 800")
    sign(tmp_path)
    shutil.copytree(RUNBOOK, tmp_path / "runbook")
    for name in ("security-review", "playbook", "handoff"):
        write_short(tmp_path, name)
        for role, (person, mail) in operations.read(tmp_path, name).signers.items():
            signatures.sign(tmp_path, name, f"{person} <{mail}>", role, TODAY)
    (tmp_path / gaps.GAPS).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / gaps.GAPS).write_text(GAPS, encoding="utf-8")
    app = make_app(data_key=Fernet.generate_key().decode())
    card.write(tmp_path, app.service.team, app.settings, app.service.engine, TODAY)
    return Work(tmp_path, app)


def test_a_pilot_that_is_hardened_passes_and_leaves_evidence(pilot: Work) -> None:
    found, written = gates.attempt(pilot.on(), 4)
    assert {item.check.id: [str(issue) for issue in item.issues] for item in found.items if item.issues} == {}
    assert found.passes
    assert written is not None
    said = {item.check.id: item.evidence for item in found.items}
    assert said["alarms-counted"] == "1 call from 2027-02-12 08:00 to 2027-04-12 08:00 UTC"
    assert "800 items a day, p95 80 ms, of a scratch copy" in said["load-tested"]
    attested = {item.check.id for item in found.items if item.check.by == "attestation"}
    assert attested == {"security-review-signed", "playbook-signed", "handoff-signed"}
    assert evidence.read(pilot.root).passed(4) is not None


def test_status_shows_the_phase_with_what_is_missing(pilot: Work) -> None:
    pilot.passes(1)
    pilot.passes(2)
    pilot.without("loadtest")
    stands = progress(pilot.on())
    assert [phase["state"] for phase in stands["phases"]] == ["passed", "passed", "passed", "current", "ahead"]
    states = {item["id"]: item["state"] for item in stands["phases"][3]["items"]}
    assert {id for id, state in states.items() if state != "holds"} == {"load-tested"}


def edited(file: str, was: str, is_now: str) -> Callable[[Work], None]:
    return lambda pilot: edit(pilot.root, was, is_now, Path(file))


def unsigned(name: str) -> Callable[[Work], None]:
    return lambda pilot: pilot.without(f"signature-{name}")


def open_area(pilot: Work) -> None:
    edit(pilot.root, "state: passed", "state: open", operations.DOCUMENTS["security-review"].file)


def never_retrained(pilot: Work) -> None:
    with writing(pilot.app.service.engine) as connection:
        connection.execute(trail.update().where(trail.c.event == controls.RETRAINED).values(event="other"))


def promoted_since(pilot: Work) -> None:
    with writing(pilot.app.service.engine) as connection:
        controls.promote(connection, "another", "local-1", "grace", {})


HARMS: dict[str, tuple[Callable[[Work], None], str]] = {
    "no go": (lambda pilot: pilot.without("gate-3"), "gate-3-passed"),
    "no load test": (lambda pilot: pilot.without("loadtest"), "load-tested"),
    "a later load test that missed": (lambda pilot: pilot.loaded(kept=False), "load-tested"),
    "a load test at half the volume": (lambda pilot: pilot.loaded(daily=400), "load-tested"),
    "a shortened load test": (lambda pilot: pilot.loaded(shortened=True), "load-tested"),
    "another profile": (lambda pilot: (pilot.without("loadtest"), pilot.loaded(profile="smoke"))[0], "load-tested"),
    "a page that was never drilled": (lambda pilot: pilot.without("drill-garbage"), "runbook-drilled"),
    "no look back": (lambda pilot: pilot.without("backtest"), "alarms-counted"),
    "a look back over a week": (lambda pilot: pilot.looked_back(begins="2027-04-05 08:00"), "alarms-counted"),
    "no retraining": (never_retrained, "model-retrained"),
    "no system card": (lambda pilot: (pilot.root / card.CARD).unlink(), "system-card-current"),
    "a charter that changed since the card": (
        edited("phases/1-scope/charter.md", "## Risks", "## Risks, all of them"),
        "system-card-current",
    ),
    "another model than the card's": (promoted_since, "system-card-current"),
    "an open blocker": (
        edited(
            gaps.GAPS.as_posix(), "none,failover", "no backup,failover,blocker,3,Tom Reed,open,,nothing\nnone,failover"
        ),
        "no-open-blocker",
    ),
    "an open area of security": (open_area, "security-review-complete"),
    "no word of the reviewer": (unsigned("security-review"), "security-review-signed"),
    "no rotation": (
        edited(operations.DOCUMENTS["playbook"].file.as_posix(), "rotation:", "rotation: []\nrotated:"),
        "playbook-complete",
    ),
    "no word of the owner": (unsigned("playbook"), "playbook-signed"),
    "one side of the handoff": (unsigned("handoff-receiving_owner"), "handoff-signed"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_each_single_thing_that_is_missing_shuts_the_gate(harm: str, pilot: Work) -> None:
    harms, id = HARMS[harm]
    harms(pilot)
    assert id in pilot.missing()
    assert not gates.attempt(pilot.on(), 4)[0].passes
    assert evidence.read(pilot.root).passed(4) is None


@pytest.mark.parametrize(
    ("days", "id"),
    [(91, "load-tested"), (181, "runbook-drilled"), (31, "alarms-counted")],
    ids=lambda value: str(value),
)
def test_evidence_ages(days: int, id: str, pilot: Work) -> None:
    assert id not in pilot.missing(TODAY + timedelta(days=days - 1))
    assert id in pilot.missing(TODAY + timedelta(days=days))


def test_what_was_signed_and_changed_since_shuts_it(pilot: Work) -> None:
    edit(pilot.root, "handed_over_on: ", "handed_over_on:  ", operations.DOCUMENTS["handoff"].file)
    assert pilot.missing() == {"handoff-signed", "no-open-blocker"}, "a broken promise blocks production too"


def test_without_the_records_it_says_so(pilot: Work) -> None:
    found = gates.inspect(Pilot(pilot.root, TODAY, "The database does not answer."), 4)
    states = {item.check.id: item.state for item in found.items}
    assert (states["records-there"], states["model-retrained"]) == ("missing", "waits")


def test_a_page_or_a_charter_that_cannot_be_read_is_missing_and_no_error(pilot: Work) -> None:
    (pilot.root / "runbook/garbage.md").write_text("no front matter\n")
    assert "runbook-drilled" in pilot.missing()
    (pilot.root / "phases/1-scope/charter.md").write_text("no front matter\n")
    without = Pilot(pilot.root, TODAY, pilot.app.service.engine)
    without.__dict__["signed"] = None
    states = {item.check.id: item.state for item in gates.inspect(without, 4).items}
    assert states["load-tested"] == states["runbook-drilled"] == "missing"
