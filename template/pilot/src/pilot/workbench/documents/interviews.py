"""Conversations with users: what was said, one file each, and how many of them count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, ValidationError

from pilot.contract import PilotError
from pilot.frontmatter import Document, Fault, Issue, Unreadable, faults_of, parse, read_text
from pilot.workbench.documents.model import Day, Group, Required, Wrong, about, is_placeholder, missing
from pilot.workbench.documents.page import without_comments

INTERVIEWS = Path("phases/3-decide/interviews")
QUESTIONS = {
    "date": "When did you talk?",
    "role": "What does the person do? No name",
    "helped": "Did it help?",
    "problems": "Which new problems did it make? 'none' if none",
    "again": "Would the person use it again?",
    "notes": "What did the person say, in their own words?",
}
CHOICES = {"helped": ("yes", "no", "partly"), "again": ("yes", "no")}
# A conversation says more than a word.
_WORDS = 3
_SCORE = re.compile(
    r"(score|scored|rating|rated|nps|csat|sus|stars?|points?|percent|out|of|about|on|average|\d+([.,]\d+)?|[\W_])+",
    re.IGNORECASE,
)
_NO_PROBLEM = re.compile(r"\W*(none|no|nothing|no (new )?problems?)\W*", re.IGNORECASE)


def is_score(text: str) -> bool:
    """Whether a text is the number of a survey rather than what somebody said."""
    return bool(re.search(r"\d", text)) and _SCORE.fullmatch(text.strip()) is not None


def _wrong_role(text: str | None) -> Wrong | None:
    if is_placeholder(text) or is_score(text or "") or "@" in (text or ""):
        return "does not say what the person does.", "Write the work, such as second-level support; no name."
    return None


def _wrong_words(text: str | None) -> str | None:
    """Why a text is not what somebody said; None where it is."""
    if text is not None and is_score(text):
        return f"is {text.strip()!r}: a survey score is no conversation."
    if not (text or "").strip():
        return "is empty."
    return "says too little, or holds a placeholder." if is_placeholder(text, _WORDS) else None


def _wrong_problems(text: str | None) -> Wrong | None:
    wrong = None if _NO_PROBLEM.fullmatch(text or "") else _wrong_words(text)
    return (wrong, f"Write what it made harder, in {_WORDS} words or more, or none.") if wrong else None


_WORD = BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value)


class Answers(Group):
    """The front matter of one conversation. What is empty was not asked."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    date: Day = about("the day of the conversation as 2027-02-10")
    role: Annotated[str | None, Required(wrong=_wrong_role)] = None
    helped: Annotated[Literal["yes", "no", "partly"] | None, _WORD, Required(words=0)] = about("yes, no or partly")
    problems: Annotated[str | None, Required(wrong=_wrong_problems)] = None
    again: Annotated[Literal["yes", "no"] | None, _WORD, Required(words=0)] = about("yes or no")

    @property
    def new_problems(self) -> str | None:
        """The new problems that the AI made; None where the person named none."""
        return None if _NO_PROBLEM.fullmatch(self.problems or "") else self.problems


@dataclass(frozen=True)
class Summary:
    """What users said: how often each answer was given, and the new problems, each with the role of who named it."""

    count: int
    helped: dict[str, int]
    again: dict[str, int]
    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Interviews:
    """The conversations that count, by date, and what keeps others from counting."""

    held: list[Document[Answers]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many count."""
        return len(self.held)

    @property
    def summary(self) -> Summary:
        """The answers of the conversations that count."""
        answers = {name: Counter(getattr(one.facts, name) for one in self.held) for name in CHOICES}
        counts = {name: {word: answers[name][word] for word in words} for name, words in CHOICES.items()}
        named = tuple((problems, one.facts.role or "") for one in self.held if (problems := one.facts.new_problems))
        return Summary(self.count, counts["helped"], counts["again"], named)


def read(root: Path, today: date | None = None) -> Interviews:
    """The conversations of the pilot in `root`. One that is dated after `today` does not count."""
    found = Interviews()
    before: dict[tuple[Any, ...], str] = {}
    for path in sorted((root / INTERVIEWS).glob("*.md")):
        file = path.relative_to(root)
        try:
            document = parse(Answers, read_text(path) or "", file)
        except Unreadable as error:
            found.issues.extend(error.issues)
            continue
        answers, notes = document.facts, notes_of(document.prose)
        # An answer that is not there belongs on the first line, the notes below the second fence.
        lines = {"": 1, "notes": document.prose_line - 1, **document.lines}
        document = replace(document, lines=lines)
        wrong = [document.issue(fault) for fault in _faults(answers, notes, today)]
        content = (answers.role, answers.problems, notes.casefold())
        if not wrong and content in before:
            fix = "Each conversation has a file of its own; remove one of the two."
            wrong.append(Issue(file.as_posix(), None, f"repeats {before[content]}.", fix))
        found.issues.extend(wrong)
        if not wrong:
            before[content] = file.name
            found.held.append(document)
    found.held.sort(key=lambda one: (str(one.facts.date), one.file))
    return found


def add(root: Path, given: Mapping[str, Any], today: date) -> Path:
    """Writes the answers to QUESTIONS to a file of its own, named by its date and the next free number, and returns it.

    Raises PilotError with all that keeps them from counting; then nothing is written.
    """
    notes = str(given["notes"] or "")
    try:
        answers = Answers.model_validate({name: value for name, value in given.items() if name != "notes"})
        faults = list(_faults(answers, notes_of([notes]), today))
    except ValidationError as error:
        faults = faults_of(Answers, error)
    if faults:
        listed = "\n  ".join(f"{place}: {what} {fix}" for place, what, fix in faults)
        raise PilotError(f"This would not count as a conversation:\n  {listed}")
    folder = root / INTERVIEWS
    folder.mkdir(parents=True, exist_ok=True)
    text = _written(answers, notes).encode("utf-8", "replace")
    number = 1
    while True:
        file = folder / f"{answers.date}-{number}.md"
        try:
            with file.open("xb") as stream:
                stream.write(text)
            return file
        except FileExistsError:
            number += 1


def _faults(answers: Answers, notes: str, today: date | None) -> Iterator[Fault]:
    """Each answer that does not count."""
    yield from missing(answers)
    if answers.date and today and answers.date > today:
        yield Fault("date", f"is {answers.date}, which is still to come.", "Fix the date.")
    if wrong := _wrong_words(notes):
        yield Fault("notes", wrong, f"Write what the person said, in {_WORDS} words or more, below the second fence.")


def notes_of(lines: list[str]) -> str:
    """The notes without comments."""
    return without_comments("\n".join(lines)).strip()


def _written(answers: Answers, notes: str) -> str:
    def quoted(text: str | None) -> str:
        # One line, whatever the text holds.
        line = " ".join((text or "").split())
        return yaml.safe_dump(line, default_style='"', allow_unicode=True, width=10**6).strip()

    return (
        f"---\ndate: {answers.date}\nrole: {quoted(answers.role)}\nhelped: {answers.helped}\n"
        f"problems: {quoted(answers.problems)}\nagain: {answers.again}\n---\n\n{notes.strip()}\n"
    )
