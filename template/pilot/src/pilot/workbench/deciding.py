"""Making a decision: looking at everything it rests on, and writing it down once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pilot.charter import CHARTER
from pilot.contract import PilotError
from pilot.frontmatter import read_text
from pilot.workbench import decisions, evidence, history, plain, plainly, sheet, signatures, wording
from pilot.workbench.conditions import conditions, results
from pilot.workbench.decisions import Outcome, Override
from pilot.workbench.documents import baseline, gaps, interviews, page
from pilot.workbench.documents.charter_rules import WEEKS
from pilot.workbench.results import Results
from pilot.workbench.view import Records, View


@dataclass(frozen=True)
class Wish:
    """What somebody wants to decide, and how they say so. `weeks` are those of an extension."""

    outcome: Outcome
    because: str
    person: str
    override: Override | None = None
    weeks: int | None = None
    shared_with: Sequence[str] = ()


def decide(view: View, wish: Wish, report: str | None = None) -> tuple[Path, Path]:
    """Writes the decision about the pilot, and gives its record and its evidence. `report` is the report in Markdown,
    which is kept beside the record.

    Raises PilotError that says what keeps it from being decided so.
    """
    signed = signatures.signed_charter(view.chain)
    if signed is None:
        raise PilotError("There is nothing to decide before the charter is signed: `pilot sign charter`.")
    found = results(view)
    needed = conditions(view, found)
    due = decisions.due(view.chain)
    until = (
        decisions.extended(view.chain, signed.weeks or WEEKS[-1], wish.weeks, view.today) if _extends(wish) else None
    )
    number = sum(entry.kind == "decision" for entry in view.chain.entries) + 1
    papers = {}
    if report is not None:
        paper = decisions.FOLDER / f"{number:04}-report.md"
        papers[paper.as_posix()] = evidence.digest(report)
    hashes = _hashes(view, papers)
    listed = gaps.read(view.root, view)
    before = decisions.in_force(view.chain)
    text = sheet.render(
        "decision.md",
        number=f"{number:04}",
        name=signed.pilot or "of this repository",
        outcome=wish.outcome,
        override=wish.override and replace(wish.override, person=_named(wish.override.person)),
        missing=[condition for condition in needed if not condition.holds],
        today=view.today,
        person=_named(wish.person),
        due=due,
        supersedes=before.says["paper"] if before else None,
        until=until,
        problem=problem(view),
        target=plainly.target(signed),
        seen=list(_seen(view, found, signed.currency or "")),
        budget=plainly.budget(signed),
        owner=signed.owner.name,
        receiver=signed.receiving_owner.name or "nobody yet",
        longest=WEEKS[-1],
        because=plainly.ended(wish.because),
        conditions=needed,
        hardened=view.today + plainly.HARDENING,
        on_condition=listed.conditions,
        gaps=[plainly.gap(gap) for gap in listed.rows if gap.open],
        hashes=hashes,
        shared_with=list(wish.shared_with),
    )
    facts: dict[str, Any] = {
        "due": due and due.isoformat(),
        "until": until and until.isoformat(),
        "papers": papers,
        "hashes": hashes,
        "shared_with": list(wish.shared_with),
        **_verdict(found),
    }
    written = decisions.record(
        view.root, wish.outcome, wish.because, wish.person, view.today, text, needed, facts, wish.override
    )
    if report is not None:
        sheet.write(view.root / next(iter(papers)), report)
    return written


def _named(person: str) -> str:
    """A person in a text: angle brackets are what people leave where they meant to write something."""
    return person.replace("<", "(").replace(">", ")")


def _extends(wish: Wish) -> bool:
    return wish.outcome == "extend"


def _verdict(found: Results | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"verdict": None, "estimate": None}
    return {"verdict": found.evaluation.verdict.value, "estimate": wording.number(found.evaluation.figure.estimate)}


def _hashes(view: View, papers: dict[str, str]) -> dict[str, str]:
    """What the decision rests on, so that anybody can see later whether it is still the same."""
    frozen = baseline.frozen(view.root)
    texts = {"charter": CHARTER, "baseline": baseline.BASELINE}
    found = {name: evidence.digest(read_text(view.root / file) or "") for name, file in texts.items()}
    found["frozen baseline"] = frozen.file.name if frozen else "none"
    if isinstance(view.records, Records):
        found["records"] = f"{view.records.live.items} live items, audit trail up to {view.records.live.head}"
    else:
        found["records"] = "not looked at"
    found["commit"] = history.commit(view.root) or "unknown"
    return {**found, **{Path(name).name: digest for name, digest in papers.items()}}


def problem(view: View) -> str:
    """The problem as the charter tells it."""
    text = read_text(view.root / CHARTER) or ""
    parts = page.sections(text.split("\n"), 1)
    return next((part.text.strip() for part in parts if part.title == "Problem"), "")


def _seen(view: View, found: Results | str, currency: str) -> Iterator[str]:
    if isinstance(found, str):
        yield f"The records were not evaluated: {found}"
    else:
        evaluation = found.evaluation
        shown = " ".join(evaluation.reasons) or plain.MEANING[evaluation.verdict]
        yield f"Verdict on the target: {evaluation.verdict}. {shown}"
        # The first sentence gives the verdict once more.
        yield from plain.lead(evaluation, currency, found.contaminated)[1:]
        yield from found.remarks
    said = interviews.read(view.root, view.today).summary
    yield f"{plainly.users(said)}."
    yield from (f"A new problem, says a {role}: {problem}" for problem, role in said.problems)


def in_force(root: Path, chain: evidence.Chain) -> tuple[str, bool]:
    """The decision in force in one sentence, and whether it is a go that nothing was done to since."""
    found = decisions.in_force(chain)
    if found is None:
        return "There is no decision. A production deploy needs a go: `pilot decide go`.", False
    says = found.says
    said = f"{says['decision']}, decided on {found.date} by {says['name']}, because {says['because']} ({says['paper']})"
    broken = [*chain.problems, *decisions.problems(root, chain)]
    if broken:
        return f"{said}\nIt does not stand: {broken[0]}", False
    if says["decision"] != "go":
        return f"{said}\nA production deploy needs a go.", False
    return said, True
