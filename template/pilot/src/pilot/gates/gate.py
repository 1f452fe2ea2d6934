"""The gates: which items hold, what is missing, and the evidence that one has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pilot.contract import PilotError
from pilot.gates import candidates, charter, evidence, signatures
from pilot.gates.evidence import Chain
from pilot.gates.papers import CHARTER, read_text
from pilot.gates.problems import Problem
from pilot.gates.rules import PHASES, RULES, Rule

State = Literal["holds", "missing", "waits"]


@dataclass(frozen=True)
class Item:
    """A rule and how it stands. One that waits cannot be looked at before the rule that it needs holds."""

    rule: Rule
    state: State
    evidence: str
    problems: list[Problem]


@dataclass(frozen=True)
class Gate:
    """A gate as it stands: `passed_on` is the date of its evidence, or None, `begun` the day the weeks count from."""

    number: int
    items: list[Item]
    passed_on: date | None
    begun: date

    @property
    def holds(self) -> bool:
        """Whether each item holds now."""
        return all(item.state == "holds" for item in self.items)

    @property
    def passes(self) -> bool:
        """Whether the gate holds, or has passed and what was signed is as it was. A gate that has passed stays passed
        when other papers move on."""
        asked = [item for item in self.items if not self.passed_on or item.rule.source == evidence.EVIDENCE.as_posix()]
        return all(item.state == "holds" for item in asked)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "gate": self.number,
            "phase": PHASES[self.number],
            "passed_on": self.passed_on and self.passed_on.isoformat(),
            "passes": self.passes,
            "items": [
                {
                    "id": item.rule.id,
                    "question": item.rule.question,
                    "by": item.rule.by,
                    "state": item.state,
                    "evidence": item.evidence,
                    "mend": item.rule.mend,
                    "problems": [
                        {"file": found.file, "line": found.line, "what": found.what, "mend": found.mend}
                        for found in item.problems
                    ],
                }
                for item in self.items
            ],
        }


def look(root: Path, number: int, today: date) -> Gate:
    """How gate `number` of the pilot in `root` stands; writes nothing. Raises PilotError for one that is not there."""
    if number not in PHASES:
        raise PilotError(f"There is no gate {number}. The gates are {', '.join(map(str, PHASES))}.")
    rules = [rule for rule in RULES if rule.gate == number]
    if not rules:
        raise PilotError(
            f"Gate {number} ({PHASES[number]}) is not part of this version: it comes with a later version of the "
            "template, by `copier update`. It has not passed."
        )
    chain = evidence.read(root)
    passed = chain.passed(number)
    begun = signatures.begun(root, chain, today)
    problems = _problems(root, chain, begun)
    missing = {problem.id for problem in problems}
    waiting: set[str] = set()
    items = []
    for rule in rules:
        waits = rule.needs in missing | waiting
        if waits:
            waiting.add(rule.id)
        found = [] if waits else [problem for problem in problems if problem.id == rule.id]
        state: State = "waits" if waits else "missing" if found else "holds"
        items.append(Item(rule, state, _seen(root, chain, rule) if state == "holds" else "", found))
    return Gate(number, items, passed.date if passed else None, begun)


def attempt(root: Path, number: int, today: date) -> tuple[Gate, Path | None]:
    """How the gate stands; where it holds for the first time, also the evidence of it that was written."""
    found = look(root, number, today)
    if found.passed_on or not found.holds:
        return found, None
    facts = charter.read(root).facts
    papers = sorted({rule.source for rule in RULES if rule.gate == number} - {evidence.EVIDENCE.as_posix()})
    says = {
        "gate": number,
        "begun": found.begun.isoformat(),
        "decision_by": facts.decision_by and facts.decision_by.isoformat(),
        "papers": {paper: evidence.digest(read_text(root / paper) or "") for paper in papers},
        "items": {item.rule.id: {"by": item.rule.by, "evidence": item.evidence} for item in found.items},
    }
    written = evidence.append(root, "gate", f"gate-{number}", today, says)
    return look(root, number, today), written


def passed(root: Path, number: int) -> bool:
    """Whether the evidence is there that gate `number` has passed."""
    return evidence.read(root).passed(number) is not None


def _problems(root: Path, chain: Chain, begun: date) -> list[Problem]:
    """All that is wrong with the papers of gate 1."""
    found = [*chain.problems]
    try:
        found += candidates.read(root).problems
    except PilotError as error:
        found.append(_unreadable("candidates-scored", candidates.CANDIDATES, error))
    try:
        paper = charter.read(root)
    except PilotError as error:
        return [*found, _unreadable("charter-readable", CHARTER, error)]
    return [*found, *charter.problems(paper, begun), *signatures.of_charter(root, paper.facts, chain)]


def _unreadable(id: str, file: Path, error: PilotError) -> Problem:
    return Problem(id, file.as_posix(), None, "cannot be read.", str(error))


def _seen(root: Path, chain: Chain, rule: Rule) -> str:
    """What shows that a rule holds."""
    signed = signatures.latest(chain).get((CHARTER.as_posix(), signatures.OWNER))
    if rule.id == "charter-signed" and signed:
        return f"{signed.says['name']} <{signed.says['email']}>, {signed.date}, {signed.file.name}"
    if rule.source == evidence.EVIDENCE.as_posix():
        return f"{len(chain.entries)} files in {rule.source}"
    return f"{rule.source}, SHA-256 {evidence.digest(read_text(root / rule.source) or '')[:12]}"
