"""The gates: which items hold, what is missing, the evidence that one has passed, and the progress of the pilot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from pilot.contract import PilotError
from pilot.frontmatter import Issue, read_text
from pilot.workbench import decision, evidence
from pilot.workbench.checks import CHECKS, DATABASE, PHASES, Check, broken
from pilot.workbench.pilot import Pilot

State = Literal["holds", "missing", "waits"]


@dataclass(frozen=True)
class Item:
    """A check and its state. One that waits cannot be made before those that it needs hold."""

    check: Check
    state: State
    evidence: str
    issues: list[Issue]


@dataclass(frozen=True)
class Gate:
    """The state of a gate: `passed_on` is the date of its evidence, or None, `begun` the day the weeks count from."""

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
        when other documents move on."""
        asked = [item for item in self.items if not self.passed_on or item.check.source == evidence.EVIDENCE.as_posix()]
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
                    "id": item.check.id,
                    "question": item.check.question,
                    "by": item.check.by,
                    "state": item.state,
                    "evidence": item.evidence,
                    "mend": item.check.fix,
                    "problems": [
                        {"file": found.file, "line": found.line, "what": found.what, "mend": found.fix}
                        for found in item.issues
                    ],
                }
                for item in self.items
            ],
        }


def inspect(pilot: Pilot, number: int) -> Gate:
    """The state of a gate; writes nothing. Raises PilotError for a gate that is not there."""
    if number not in PHASES:
        raise PilotError(f"There is no gate {number}. The gates are 1 to {len(PHASES)}.")
    asked = {id: check for id, check in CHECKS.items() if check.gate == number}
    items: dict[str, Item] = {}
    for id in TopologicalSorter({id: check.needs for id, check in asked.items()}).static_order():
        check = asked[id]
        if any(items[needed].state != "holds" for needed in check.needs):
            items[id] = Item(check, "waits", "", [])
            continue
        try:
            found = check.run(pilot)
        except PilotError as error:
            found = [Issue(check.source, None, "cannot be looked at.", str(error), id)]
        if isinstance(found, str):
            items[id] = Item(check, "holds", found, [])
        else:
            items[id] = Item(check, "missing", "", list(found))
    passed = pilot.chain.passed(number)
    return Gate(number, [items[id] for id in asked], passed.date if passed else None, pilot.begun)


def attempt(pilot: Pilot, number: int) -> tuple[Gate, Path | None]:
    """The state of the gate, and where it holds for the first time the file of evidence that was written."""
    found = inspect(pilot, number)
    if found.passed_on or not found.holds:
        return found, None
    by = decision.due(pilot.chain)
    sources = {item.check.source for item in found.items} - {evidence.EVIDENCE.as_posix(), DATABASE}
    facts = {
        "gate": number,
        "begun": found.begun.isoformat(),
        "decision_by": by and by.isoformat(),
        "papers": {source: _digest(pilot.root / source) for source in sorted(sources)},
        **({"records": pilot.live.head} if pilot.live is not None and not isinstance(pilot.live, str) else {}),
        "items": {item.check.id: {"by": item.check.by, "evidence": item.evidence} for item in found.items},
    }
    written = evidence.append(pilot.root, "gate", f"gate-{number}", pilot.today, facts)
    return inspect(Pilot(pilot.root, pilot.today, pilot.engine, pilot.contents), number), written


def _digest(source: Path) -> str:
    """The hash of a document, or of all documents in a folder with their names."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    texts = [f"{file.name}\n{read_text(file) or ''}" if source.is_dir() else read_text(file) or "" for file in files]
    return evidence.digest("\n".join(texts))


def may_enter(root: Path, mode: str) -> None:
    """Raises PilotError where the pilot in `root` may not enter `mode` yet: people see an AI's answers only once it is
    settled what for and who answers for it, which is what gate 1 looks at."""
    if mode in ("assist", "auto") and evidence.read(root).passed(1) is None:
        raise PilotError(
            f"Mode {mode} needs gate 1, which has not passed: `pilot gate 1` lists what is missing. To try a mode out, "
            f"name another database in PILOT_DATABASE_URL and run `pilot mode {mode} --scratch`; it counts for no gate."
        )


def may_roll_out(root: Path) -> None:
    """Raises PilotError where the pilot in `root` may not be rolled out: it needs a go, and gate 4."""
    chain = evidence.read(root)
    decided = decision.final(chain)
    if decided is None or decided.facts["decision"] != "go":
        raise PilotError("A rollout needs a decision, and a go: `pilot gate 3` lists what is missing.")
    if chain.passed(4) is None:
        raise PilotError("A rollout needs gate 4, which has not passed: `pilot gate 4` lists what is missing.")


def progress(pilot: Pilot) -> dict[str, Any]:
    """The phases with the items of their gates, the date of the decision, the days left, and the next action.

    The state of a phase is `passed`, `current`, `ahead`, or `closed` where a no-go ended the pilot in it.
    """
    chain = pilot.chain
    phases: list[dict[str, Any]] = []
    current = next((number for number in PHASES if chain.passed(number) is None), None)
    final = decision.final(chain)
    ended = final is not None and final.facts["decision"] == "no-go"
    for number, name in PHASES.items():
        state = "current" if number == current else "passed" if chain.passed(number) else "ahead"
        state = "closed" if state == "current" and ended else state
        found = inspect(pilot, number).as_json()
        items, passed_on = found["items"], found["passed_on"]
        phases.append({"phase": number, "name": name, "state": state, "passed_on": passed_on, "items": items})
    by = decision.due(chain)
    left = (by - pilot.today).days if by and not decision.decided(chain) else None
    return {
        "phases": phases,
        "decision_by": by and by.isoformat(),
        "days_left": left,
        "next": _next(pilot, phases, current),
    }


def _next(pilot: Pilot, phases: list[dict[str, Any]], current: int | None) -> str:
    """What to do next, in one sentence."""
    promises = broken(pilot)
    if promises:
        return f"Fix a broken promise. {promises[0]}"
    items = phases[current - 1]["items"] if current else []
    missing = [item for item in items if item["state"] == "missing"]
    if current and phases[current - 1]["state"] == "closed":
        return "The pilot was decided no-go: `pilot close` ends it, and lists what is left to do."
    if missing:
        first = missing[0]
        return f"{first['question']} {first['mend']} `pilot gate {current}` lists all that is missing."
    if current is None:
        return "All gates have passed."
    return f"All holds: run `pilot gate {current}`, and commit the evidence that it writes."
