"""Realistic papers of phase 1, and a pilot's folder that holds them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pilot.charter import CHARTER as CHARTER_FILE
from pilot.workbench import evidence, signatures
from pilot.workbench.documents.candidates import CANDIDATES as CANDIDATES_FILE

SIGNED = date(2027, 1, 11)
ADA = "Ada Byron <ada@example.org>"
CHARTER = """\
---
pilot: "Ticket triage"
regulated: no
build_or_buy: build
metric: cycle_time
unit: hours
direction: down
target: 9
population: all tickets in English that arrive by mail
data_source: export of the ticket system
window: weeks 2 to 6 of the pilot
judged_items: 300
weeks: 6
decision_by: 2027-03-01
owner:
  name: Ada Byron
  email: ada@example.org
  technical_authority: yes
  operational_authority: yes
receiving_owner:
  name: Grace Hopper
  email: grace@example.org
budget: 40000
risks: ["an urgent ticket waits in the wrong queue: the shift lead looks at noon"]
kill_criteria: ["more than 20 urgent tickets a week are delayed"]
alternatives:
  - {option: "a form with a list of queues", why_not: "customers pick the first entry"}
people_affected: yes
personal_data: yes
automated_decision: no
use: ordinary
oversight: the shift lead moves a ticket back by hand
log_days: 200
impact_note: a delayed answer, put right by the shift lead
---

# Charter: {pilot}

## Problem

About 120 tickets a day are sorted by hand, and 9 % of them wait in the wrong queue.

## Target

The {target}. Customers leave when they wait longer.

## Baseline

The team lead times 200 tickets by hand in the two weeks before the start.

## Timeline

The pilot runs for {weeks} weeks, and the owner decides by {decision_by}.

## Team

{owner} owns it, the platform team builds it, and {receiving_owner} takes it over.

## Risks

We watch for these: {risks}.

## When we stop

We stop early when {kill_criteria}, and else decide by {decision_by}.
"""
CANDIDATES = """\
problem,impact,impact_evidence,feasibility,feasibility_evidence,readiness,readiness_evidence,asked,selected,override
Ticket triage,4,"120 tickets a day, 9 % misrouted",5,two years of tickets,4,the team asked for it,Tom of support,yes,
Invoice matching,5,two clerks all day,2,scans without text,3,clerks doubt it,Ines of accounting,,
Contract summaries,2,ten a month,3,texts at hand,2,lawyers read all anyway,Lea of legal,,
"""


def write(root: Path, charter: str = CHARTER, candidates: str = CANDIDATES) -> Path:
    """A pilot's folder with these papers."""
    (root / CHARTER_FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / CHARTER_FILE).write_text(charter, encoding="utf-8")
    (root / CANDIDATES_FILE).write_text(candidates, encoding="utf-8")
    return root


def edit(root: Path, was: str, is_now: str, file: Path = CHARTER_FILE) -> None:
    """Changes a paper; fails where it does not hold `was`."""
    text = (root / file).read_text(encoding="utf-8")
    assert was in text
    (root / file).write_text(text.replace(was, is_now), encoding="utf-8")


def sign(root: Path, person: str = ADA, role: str = "owner", today: date = SIGNED, paper: str = "charter") -> Path:
    """A signature as `pilot sign` makes it."""
    return signatures.sign(root, paper, person, role, today)


def sign_unchecked(root: Path) -> None:
    """A signature of the owner below a charter that need not hold, which `pilot sign` would refuse."""
    text = (root / CHARTER_FILE).read_text(encoding="utf-8")
    email = "team@example.org" if "email: team@example.org" in text else "ada@example.org"
    says = {"paper": CHARTER_FILE.as_posix(), "name": "Ada Byron", "email": email, "role": "owner"}
    evidence.append(
        root, "signature", "signature-charter-owner", SIGNED, {**says, "sha256": evidence.digest(text), "text": text}
    )
