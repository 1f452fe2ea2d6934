"""The candidate problems: their scores, the ranking, and the one that was selected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pilot.frontmatter import Document, Fault, Issue, Unreadable, parse_table, text_of, under
from pilot.workbench.documents.model import Group, Required, about, is_placeholder, missing

CANDIDATES = Path("phases/1-scope/candidates.csv")
AXES = ("impact", "feasibility", "readiness")
LEAST, MOST = 1, 5
SCORED = "candidates-scored"


def _selected(value: Any) -> Any:
    return {"x": "yes"}.get(value.lower(), value) if isinstance(value, str) else value


Score = Annotated[int | None, Field(ge=LEAST, le=MOST), Required()]
Evidence = Annotated[str, Required(words=2)]


class Candidate(Group):
    """One row."""

    problem: Annotated[str, Required()] = about("the problem, in a few words", "")
    impact: Score = about("1 to 5: what solving it is worth to the business")
    impact_evidence: Evidence = about("what shows that", "")
    feasibility: Score = about("1 to 5: whether data and infrastructure are there")
    feasibility_evidence: Evidence = about("what shows that", "")
    readiness: Score = about("1 to 5: whether people will use it")
    readiness_evidence: Evidence = about("what shows that", "")
    asked: Annotated[str, Required()] = about("who was asked, by name", "")
    selected: Annotated[bool, BeforeValidator(_selected)] = about(
        "yes for the one that was picked, else empty or no", False
    )
    override: str = about("why it was picked, where it is not first or has a 1", "")

    @property
    def scores(self) -> dict[str, int]:
        """The score of each axis, 1 to 5."""
        return {axis: getattr(self, axis) or 0 for axis in AXES}

    @property
    def score(self) -> int:
        """Impact times feasibility times readiness, 1 to 125: one low axis lowers the whole, as no sum does."""
        return prod(self.scores.values())


COLUMNS = {name: field.description or "" for name, field in Candidate.model_fields.items()}


@dataclass(frozen=True)
class Candidates:
    """The complete rows, and what is wrong with the file."""

    rows: list[Candidate] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def read(root: Path) -> Candidates:
    """The candidates of the pilot in `root`, in the order of the file, with all that is wrong with them."""
    try:
        rows, broken = parse_table(Candidate, text_of(root, CANDIDATES), CANDIDATES)
    except Unreadable as error:
        return Candidates([], under(SCORED, error.issues))
    issues, complete, names = under(SCORED, broken), [], set()
    for row in rows:
        faults = list(missing(row.facts))
        name = row.facts.problem.casefold()
        if name and name in names:
            faults.append(Fault("problem", f"{row.facts.problem!r} is there twice.", "Keep one of the rows."))
        names.add(name)
        issues += [row.issue(fault, SCORED) for fault in faults]
        if not faults:
            complete.append(row)
    if not issues and len(complete) < 2:
        fix = "Score two problems or more: a choice needs something to choose from."
        issues.append(Issue(CANDIDATES.as_posix(), None, f"names {len(complete)} candidates.", fix, SCORED))
    issues.sort(key=lambda issue: issue.line or 0)
    return Candidates([row.facts for row in complete], issues or list(_of_choice(complete)))


def ranked(rows: list[Candidate]) -> list[Candidate]:
    """The highest score first; between equal ones the higher least axis, then the higher impact, then the name."""
    return sorted(
        rows, key=lambda row: (-row.score, -min(row.scores.values()), -row.scores["impact"], row.problem.casefold())
    )


def fragile(rows: list[Candidate]) -> list[str]:
    """Each single point on one axis of one candidate that would put another one first."""
    if len(rows) < 2:
        return []
    winner = ranked(rows)[0].problem
    found = []
    for place, row in enumerate(rows):
        for axis in AXES:
            for score in (row.scores[axis] - 1, row.scores[axis] + 1):
                if LEAST <= score <= MOST:
                    moved = row.model_copy(update={axis: score})
                    first = ranked([*rows[:place], moved, *rows[place + 1 :]])[0].problem
                    if first != winner:
                        found.append(f"{first} wins if {axis} of {row.problem} is {score}")
    return found


def _of_choice(rows: list[Document[Candidate]]) -> Iterator[Issue]:
    chosen = [row for row in rows if row.facts.selected]
    if len(chosen) != 1:
        what = f"{len(chosen)} candidates are selected" + "".join(f", {row.facts.problem!r}" for row in chosen) + "."
        line = chosen[-1].lines[""] if chosen else None
        yield Issue(CANDIDATES.as_posix(), line, what, "Write yes in `selected` of exactly one.", "candidates-selected")
        return
    picked = chosen[0].facts
    low = [axis for axis in AXES if picked.scores[axis] == LEAST]
    first = ranked([row.facts for row in rows])[0]
    if is_placeholder(picked.override, 3) and (low or picked.score < first.score):
        with_low = f"{picked.problem!r} is selected with a {LEAST} on {' and '.join(low)}."
        what = with_low if low else f"{picked.problem!r} is selected, and {first.problem!r} ranks first."
        fault = Fault("", what, "Select another, or write why in `override`.")
        yield chosen[0].issue(fault, "candidates-override")
