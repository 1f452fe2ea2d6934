"""The candidate problems: their scores, the ranking, and the one that was selected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pilot.contract import PilotError
from pilot.frontmatter import read_text
from pilot.workbench.documents.model import Issue, is_placeholder
from pilot.workbench.documents.tables import rows_of

CANDIDATES = Path("phases/1-scope/candidates.csv")
AXES = ("impact", "feasibility", "readiness")
COLUMNS = {
    "problem": "the problem, in a few words",
    "impact": "1 to 5: what solving it is worth to the business",
    "impact_evidence": "what shows that",
    "feasibility": "1 to 5: whether data and infrastructure are there",
    "feasibility_evidence": "what shows that",
    "readiness": "1 to 5: whether people will use it",
    "readiness_evidence": "what shows that",
    "asked": "who was asked, by name",
    "selected": "yes for the one that was picked, else empty or no",
    "override": "why it was picked, where it is not first or has a 1",
}
LEAST, MOST = 1, 5
SCORED = "candidates-scored"
_YES, _NO = {"yes", "true", "x", "1"}, {"", "no", "false", "0"}


@dataclass(frozen=True)
class Candidate:
    """One row; `line` is its line in the file, `scores` has one score in 1..5 for each axis."""

    problem: str
    line: int
    scores: dict[str, int]
    selected: bool
    override: str

    @property
    def score(self) -> int:
        """Impact times feasibility times readiness, 1 to 125: one low axis lowers the whole, as no sum does."""
        product = 1
        for axis in AXES:
            product *= self.scores[axis]
        return product


@dataclass(frozen=True)
class Candidates:
    """The rows that can be read, and what is wrong with the file."""

    rows: list[Candidate] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)


def read(root: Path) -> Candidates:
    """The candidates of the pilot in `root`, in the order of the file, with all that is wrong with them."""
    text = read_text(root / CANDIDATES)
    if text is None:
        return Candidates([], [_problem(None, "is not there.", f"Write it with the columns {','.join(COLUMNS)}.")])
    found: list[Candidate] = []
    problems: list[Issue] = []
    try:
        for line, row in rows_of(text, COLUMNS):
            wrong = list(_of_row(line, row))
            problems += wrong
            if not wrong:
                found.append(_candidate(line, row))
    except PilotError as error:
        line, what, fix = error.args
        return Candidates([], [_problem(line, what, fix)])
    names = [candidate.problem.casefold() for candidate in found]
    for place, candidate in enumerate(found):
        if candidate.problem.casefold() in names[:place]:
            problems.append(_problem(candidate.line, f"{candidate.problem!r} stands twice.", "Keep one of the rows."))
    if not problems and len(found) < 2:
        what = f"names {len(found)} candidates."
        problems.append(_problem(None, what, "Score two problems or more: a choice needs something to choose from."))
    return Candidates(found, problems or list(_of_choice(found)))


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
                    moved = replace(row, scores={**row.scores, axis: score})
                    first = ranked([*rows[:place], moved, *rows[place + 1 :]])[0].problem
                    if first != winner:
                        found.append(f"{first} wins if {axis} of {row.problem} is {score}")
    return found


def _of_row(line: int, row: dict[str, str]) -> Iterator[Issue]:
    name = row["problem"]
    if is_placeholder(name):
        yield _problem(line, "the problem is empty.", "Name it in a few words.")
    for axis in AXES:
        if row[axis] not in {str(score) for score in range(LEAST, MOST + 1)}:
            what = f"{axis} of {name!r} is {row[axis] or 'empty'}."
            yield _problem(line, what, f"Write a whole number from {LEAST} to {MOST}.")
        if is_placeholder(row[f"{axis}_evidence"], 2):
            what = f"{axis}_evidence of {name!r} is empty or a placeholder."
            yield _problem(line, what, "Write what shows the score, in two words or more.")
    if is_placeholder(row["asked"]):
        yield _problem(line, f"asked of {name!r} is empty.", "Name who does this work and was asked.")
    if row["selected"].lower() not in _YES | _NO:
        yield _problem(line, f"selected of {name!r} is {row['selected']!r}.", "Write yes, or leave it empty.")


def _candidate(line: int, row: dict[str, str]) -> Candidate:
    scores = {axis: int(row[axis]) for axis in AXES}
    return Candidate(row["problem"], line, scores, row["selected"].lower() in _YES, row["override"])


def _of_choice(found: list[Candidate]) -> Iterator[Issue]:
    chosen = [row for row in found if row.selected]
    if len(chosen) != 1:
        what = f"{len(chosen)} candidates are selected" + "".join(f", {row.problem!r}" for row in chosen) + "."
        line = chosen[-1].line if chosen else None
        yield _problem(line, what, "Write yes in `selected` of exactly one.", "candidates-selected")
        return
    picked = chosen[0]
    low = [axis for axis in AXES if picked.scores[axis] == LEAST]
    first = ranked(found)[0]
    if is_placeholder(picked.override, 3) and (low or picked.score < first.score):
        what = (
            f"{picked.problem!r} is selected with a {LEAST} on {' and '.join(low)}."
            if low
            else (f"{picked.problem!r} is selected, and {first.problem!r} ranks first.")
        )
        yield _problem(picked.line, what, "Select another, or write why in `override`.", "candidates-override")


def _problem(line: int | None, what: str, fix: str, id: str = SCORED) -> Issue:
    return Issue(CANDIDATES.as_posix(), line, what, fix, id)
