"""The decisions about a pilot, each written once as a record and as evidence, and the end after a no-go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pilot.contract import PilotError
from pilot.frontmatter import Issue, read_text
from pilot.workbench import evidence, signatures
from pilot.workbench.documents import candidates, operations
from pilot.workbench.documents.charter_rules import WEEKS
from pilot.workbench.documents.model import is_placeholder
from pilot.workbench.evidence import Chain, Entry

if TYPE_CHECKING:
    from pilot.workbench.pilot import Pilot

FOLDER = Path("phases/3-decide/decisions")
CLOSING = "closing"
RULE = "decision-unchanged"
Outcome = Literal["go", "no-go", "extend"]
OUTCOMES: tuple[Outcome, ...] = ("go", "no-go", "extend")


@dataclass(frozen=True)
class Condition:
    """Something that a go needs: whether it holds, and what shows that or what fixes it."""

    id: str
    question: str
    holds: bool
    said: str


@dataclass(frozen=True)
class Override:
    """A person who takes a go upon themselves although conditions do not hold, and why."""

    person: str
    reason: str


def in_force(chain: Chain) -> Entry | None:
    """The decision that holds: the last one, which supersedes those before; None before the first."""
    return next((entry for entry in reversed(chain.entries) if entry.kind == "decision"), None)


def final(chain: Chain) -> Entry | None:
    """The go or the no-go in force; None while there is neither, and while an extension runs."""
    found = in_force(chain)
    return found if found and found.facts["decision"] != "extend" else None


def due(chain: Chain) -> date | None:
    """The day by which the pilot must be decided: as gate 1 saw it, or an extension moved it; before gate 1 as the
    owner signed it, and None before that."""
    moved = [entry for entry in chain.entries if entry.kind == "decision" and entry.facts["decision"] == "extend"]
    if moved:
        return date.fromisoformat(moved[-1].facts["until"])
    passed = chain.passed(1)
    if passed:
        return date.fromisoformat(passed.facts["decision_by"])
    signed = signatures.signed_charter(chain)
    return signed.decision_by if signed else None


def extended(chain: Chain, weeks: int, wanted: int | None, today: date) -> date:
    """The day to which an extension by `wanted` weeks (None: up to the longest pilot) moves the decision of a pilot of
    `weeks` weeks.

    Raises PilotError where there was one before, where the pilot is as long as it may be, and where its day has passed.
    """
    by = due(chain)
    if by is None or chain.passed(1) is None:
        raise PilotError(
            "There is no decision date to move: gate 1 has not passed. `pilot gate 1` lists what is missing."
        )
    if any(entry.kind == "decision" and entry.facts["decision"] == "extend" for entry in chain.entries):
        raise PilotError("The pilot was extended once, and there is no second time. Decide go or no-go.")
    if today > by:
        raise PilotError(f"The decision was due on {by}, so it is too late to move it. Decide go or no-go.")
    most = WEEKS[-1] - weeks
    if most < 1:
        raise PilotError(f"The pilot takes {weeks} weeks, the longest there is. Decide go or no-go by {by}.")
    if wanted is not None and not 1 <= wanted <= most:
        raise PilotError(f"An extension is 1 to {most} weeks: with {weeks} the pilot may take {WEEKS[-1]} in all.")
    return by + timedelta(weeks=wanted or most)


def made(chain: Chain) -> Entry:
    """The go or the no-go in force. Raises PilotError while there is none."""
    found = final(chain)
    if found is None:
        raise PilotError('There is no decision: `pilot decide go --because "..."`, or no-go.')
    return found


def decided(chain: Chain) -> bool:
    """Whether there is a decision: a go or a no-go, or, as in version 0.1, one that the owner wrote and signed."""
    by_hand = any(
        document.startswith(f"{FOLDER.as_posix()}/")
        for document, role in signatures.latest(chain)
        if role == signatures.OWNER
    )
    return final(chain) is not None or by_hand


def record(
    root: Path,
    outcome: Outcome,
    because: str,
    person: str,
    today: date,
    text: str,
    conditions: Sequence[Condition],
    facts: Mapping[str, Any],
    override: Override | None = None,
) -> tuple[Path, Path]:
    """Writes the decision: its record `text` for people, and its evidence with `facts`. Returns both files.

    Raises PilotError for a reason that is empty or a placeholder, where a condition of a go does not hold and nobody
    overrides it, and where the evidence so far was altered.
    """
    if is_placeholder(because, 3):
        raise PilotError(
            "The reason is empty or a placeholder. Give --because a sentence that somebody understands in two years."
        )
    missing = [condition for condition in conditions if not condition.holds]
    if outcome == "go" and missing and override is None:
        listed = "\n  ".join(f"{condition.question} {condition.said}" for condition in missing)
        raise PilotError(
            f"A go needs {len(missing)} more:\n  {listed}\nFix them, decide otherwise, or have a named person take it "
            "upon themselves: --override 'WHY' --as 'NAME <MAIL>'."
        )
    chain = evidence.read(root)
    before = in_force(chain)
    number = sum(entry.kind == "decision" for entry in chain.entries) + 1
    paper = FOLDER / f"{number:04}-{outcome}.md"
    if (root / paper).exists():
        raise PilotError(f"{paper} is there already, and a decision is written once. Move what you wrote elsewhere.")
    content = {
        "decision": outcome,
        "because": because,
        "name": person,
        "paper": paper.as_posix(),
        "sha256": evidence.digest(text),
        "conditions": {condition.id: condition.holds for condition in conditions},
        "override": None if override is None else {"name": override.person, "reason": override.reason},
        "supersedes": before.file.name if before else None,
        **facts,
    }
    # The record first: one without evidence decides nothing, and is seen by whoever decides again.
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    (root / paper).write_text(text, encoding="utf-8", newline="\n")
    try:
        return root / paper, evidence.append(root, "decision", f"decision-{outcome}", today, content)
    except PilotError:
        (root / paper).unlink()
        raise


def changes(root: Path, chain: Chain) -> list[Issue]:
    """What was done to decisions after they were written, and a go without what it needs."""
    found = []
    for entry in (entry for entry in chain.entries if entry.kind == "decision"):
        paper = entry.facts["paper"]
        for file, digest in {paper: entry.facts["sha256"], **entry.facts.get("papers", {})}.items():
            text = read_text(root / file)
            if text is None or evidence.digest(text) != digest:
                what = f"{'is gone' if text is None else 'was changed'} after the decision of {entry.date}."
                fix = "Bring it back from git; a reversal is a new record: `pilot decide`."
                found.append(Issue(file, None, what, fix, RULE))
        missing = [id for id, holds in entry.facts["conditions"].items() if not holds]
        if entry.facts["decision"] == "go" and missing and not entry.facts["override"]:
            what = f"is a go without {', '.join(missing)}, and nobody took that upon themselves."
            found.append(Issue(paper, None, what, "Decide anew: `pilot decide`.", "go-complete"))
    return found


def in_words(root: Path, chain: Chain) -> tuple[str, bool]:
    """The decision in force in one sentence, and whether it is a go that nothing was done to since."""
    found = in_force(chain)
    if found is None:
        return "There is no decision. A production deploy needs a go: `pilot decide go`.", False
    facts = found.facts
    said = f"{facts['decision']}, decided on {found.date} by {facts['name']} ({facts['paper']}). "
    said += f"The reason: “{facts['because']}”"
    broken = [*chain.problems, *changes(root, chain)]
    if broken:
        return f"{said}\nIt does not stand: {broken[0]}", False
    if facts["decision"] != "go":
        return f"{said}\nA production deploy needs a go.", False
    return said, True


def no_go(chain: Chain) -> Entry:
    """The no-go in force. Raises PilotError where there is none."""
    found = final(chain)
    if found is None or found.facts["decision"] != "no-go":
        raise PilotError('Only a no-go ends a pilot. Decide first: `pilot decide no-go --because "..."`.')
    return found


def reopening(chain: Chain) -> str:
    """The decision by which a closed pilot may be opened again. Raises PilotError where it is still a no-go."""
    found = final(chain)
    if found is None or found.facts["decision"] != "go":
        raise PilotError(
            "The pilot is closed, so its mode does not change. A reversal is a new decision that supersedes the no-go: "
            '`pilot decide go --because "..."`.'
        )
    return str(found.facts["paper"])


def left(pilot: Pilot) -> Iterator[str]:
    """What is left to do at the end of a pilot, one sentence each."""
    if pilot.engine is not None:
        from pilot.records import keys

        with pilot.engine.connect() as connection:
            held = [key for key in keys.listed(connection) if key["revoked_at"] is None]
        for key in held:
            yield f"The key {key['id']} of {key['name']} ({key['role']}) is in force: `pilot keys revoke {key['id']}`."
    yield from (str(problem) for problem in operations.issues(pilot.root, CLOSING, pilot.today))


def hints(pilot: Pilot) -> Iterator[str]:
    """What the closing document asks for, as far as the other documents know it."""
    if pilot.signed and pilot.signed.log_days:
        until = pilot.today + timedelta(days=pilot.signed.log_days)
        yield f"The charter keeps records {pilot.signed.log_days} days: until {until}, if the last one is of today."
    ranked = candidates.ranked(pilot.candidates.rows)
    following = next((row for row in ranked if not row.selected), None)
    if following:
        yield f"The next candidate by its scores is {following.problem}, {following.score} points."
