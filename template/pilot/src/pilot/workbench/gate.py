"""The gates: which items hold, what is missing, and the evidence that one has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from pilot.contract import PilotError
from pilot.frontmatter import Issue, read_text
from pilot.workbench import build, decisions, evidence, scope
from pilot.workbench.rules import DATABASE, PHASES, RULES, Rule
from pilot.workbench.view import Records, view

State = Literal["holds", "missing", "waits"]


@dataclass(frozen=True)
class Item:
    """A rule and how it stands. One that waits cannot be looked at before the rule that it needs holds."""

    rule: Rule
    state: State
    evidence: str
    problems: list[Issue]


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
                        {"file": found.file, "line": found.line, "what": found.what, "mend": found.fix}
                        for found in item.problems
                    ],
                }
                for item in self.items
            ],
        }


def look(root: Path, number: int, today: date, records: Records | str | None = None) -> Gate:
    """How gate `number` of the pilot in `root` stands; writes nothing. `records` are what is recorded, or why that
    cannot be read, which gates from the second on ask for. Raises PilotError for a gate that is not there."""
    if number not in PHASES:
        raise PilotError(f"There is no gate {number}. The gates are {', '.join(map(str, PHASES))}.")
    rules = [rule for rule in RULES if rule.gate == number]
    if not rules:
        raise PilotError(
            f"Gate {number} ({PHASES[number]}) is not part of this version: it comes with a later version of the "
            "template, by `copier update`. It has not passed."
        )
    seen = view(root, today, records)
    phase = _phase(number)
    problems = list(phase.problems(seen))
    missing = {problem.rule for problem in problems}
    waiting: set[str] = set()
    items = {}
    for rule in _in_order(rules):
        waits = bool((missing | waiting) & set(rule.needs))
        if waits:
            waiting.add(rule.id)
        found = [] if waits else [problem for problem in problems if problem.rule == rule.id]
        state: State = "waits" if waits else "missing" if found else "holds"
        items[rule.id] = Item(rule, state, phase.seen(seen, rule) if state == "holds" else "", found)
    passed = seen.chain.passed(number)
    return Gate(number, [items[rule.id] for rule in rules], passed.date if passed else None, seen.begun)


def attempt(root: Path, number: int, today: date, records: Records | str | None = None) -> tuple[Gate, Path | None]:
    """How the gate stands; where it holds for the first time, also the evidence of it that was written."""
    found = look(root, number, today, records)
    if found.passed_on or not found.holds:
        return found, None
    decision_by = decisions.due(evidence.read(root))
    papers = sorted({rule.source for rule in RULES if rule.gate == number} - {evidence.EVIDENCE.as_posix(), DATABASE})
    says = {
        "gate": number,
        "begun": found.begun.isoformat(),
        "decision_by": decision_by and decision_by.isoformat(),
        "papers": {paper: _digest(root / paper) for paper in papers},
        **({"records": records.live.head} if isinstance(records, Records) else {}),
        "items": {item.rule.id: {"by": item.rule.by, "evidence": item.evidence} for item in found.items},
    }
    written = evidence.append(root, "gate", f"gate-{number}", today, says)
    return look(root, number, today, records), written


def passed(root: Path, number: int) -> bool:
    """Whether the evidence is there that gate `number` has passed."""
    return evidence.read(root).passed(number) is not None


def _digest(source: Path) -> str:
    """The hash of a paper, or of all papers in a folder with their names."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    texts = [f"{file.name}\n{read_text(file) or ''}" if source.is_dir() else read_text(file) or "" for file in files]
    return evidence.digest("\n".join(texts))


def may_enter(root: Path, mode: str) -> None:
    """Raises PilotError where the pilot in `root` may not enter `mode` yet: people see an AI's answers only once it is
    settled what for and who answers for it, which is what gate 1 looks at."""
    if mode in ("assist", "auto") and not passed(root, 1):
        raise PilotError(
            f"Mode {mode} needs gate 1, which has not passed: `pilot gate 1` lists what is missing. To try a mode out, "
            f"name another database in PILOT_DATABASE_URL and run `pilot mode {mode} --scratch`; it counts for no gate."
        )


def _in_order(rules: list[Rule]) -> list[Rule]:
    """The rules so that each comes after those that it needs."""
    ids = {rule.id: rule for rule in rules}
    return [ids[id] for id in TopologicalSorter({rule.id: rule.needs for rule in rules}).static_order()]


def _phase(number: int) -> Any:
    """The module that looks at the items of a gate."""
    if number == 3:
        # Gate 3 needs the libraries of the extra `evaluation`. `pilot mode` looks at gate 1, also where a pilot is
        # served, which has none of them.
        from pilot.workbench import decide

        return decide
    return {1: scope, 2: build}[number]
