"""Where the pilot stands in its five phases."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from pilot.workbench import decisions, evidence, gate, promises
from pilot.workbench.rules import PHASES, RULES
from pilot.workbench.view import Records


def progress(root: Path, today: date, records: Records | str | None = None) -> dict[str, Any]:
    """The phases with the items of their gates, the date of the decision, the days left, and the next action.

    The state of a phase is `passed`, `current`, `ahead`, or `closed` where a no-go ended the pilot in it. A phase whose
    gate is not part of this version has no items. Reads the checkout, and the records, or why those cannot be read.
    """
    chain = evidence.read(root)
    phases: list[dict[str, Any]] = []
    current = next((number for number in PHASES if chain.passed(number) is None), None)
    decided = decisions.final(chain)
    ended = decided is not None and decided.says["decision"] == "no-go"
    for number, name in PHASES.items():
        state = "current" if number == current else "passed" if chain.passed(number) else "ahead"
        state = "closed" if state == "current" and ended else state
        asked = any(rule.gate == number for rule in RULES)
        found = gate.look(root, number, today, records).as_json() if asked else {"passed_on": None, "items": []}
        items, passed_on = found["items"], found["passed_on"]
        phases.append({"phase": number, "name": name, "state": state, "passed_on": passed_on, "items": items})
    by = decisions.due(chain)
    left = (by - today).days if by and not promises.decided(chain) else None
    return {
        "phases": phases,
        "decision_by": by and by.isoformat(),
        "days_left": left,
        "next": _next(root, today, phases, current),
    }


def _next(root: Path, today: date, phases: list[dict[str, Any]], current: int | None) -> str:
    """What to do next, in one sentence."""
    broken = promises.broken(root, today)
    if broken:
        return f"Mend a broken promise. {broken[0]}"
    items = phases[current - 1]["items"] if current else []
    missing = [item for item in items if item["state"] == "missing"]
    if current and phases[current - 1]["state"] == "closed":
        return "The pilot was decided no-go: `pilot close` ends it, and lists what is left to do."
    if missing:
        first = missing[0]
        return f"{first['question']} {first['mend']} `pilot gate {current}` lists all that is missing."
    if items:
        return f"All holds: run `pilot gate {current}`, and commit the evidence that it writes."
    if current is None:
        return "All gates have passed."
    return f"Work on phase {current}, {PHASES[current]}. Its gate comes with a later version of the template."
