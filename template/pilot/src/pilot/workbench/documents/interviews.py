"""Conversations with users: what was said, one file each, and how many of them count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

from pilot.contract import PilotError
from pilot.frontmatter import parse, read_text, split, yaml_lines
from pilot.workbench.documents.model import Issue, is_placeholder, named

INTERVIEWS = Path("phases/3-decide/interviews")
RULE = "interviews-held"
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


def _word(value: Any) -> Any:
    """An answer as YAML's present and former version read it: `yes` is a word in one and true in the other."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.strip().lower() if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return "no" if value is False else "yes" if value is True else value


def _day(value: Any) -> Any:
    """A bare number is no day, rather than seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("write the day as 2027-02-10")
    return value


Day = Annotated[date | None, BeforeValidator(_day)]


class Facts(BaseModel):
    """The front matter of one conversation. What is empty was not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    date: Day = None
    role: str | None = None
    helped: Annotated[Literal["yes", "no", "partly"] | None, BeforeValidator(_word)] = None
    problems: Annotated[str | None, BeforeValidator(_text)] = None
    again: Annotated[Literal["yes", "no"] | None, BeforeValidator(_word)] = None


@dataclass(frozen=True)
class Interview:
    """One conversation that counts. `problems` are the new ones that the AI made, None where the person named none."""

    file: Path
    date: date
    role: str
    helped: str
    problems: str | None
    again: str
    notes: str


@dataclass(frozen=True)
class Summary:
    """What users said: how often each answer was given, and the new problems, each with the role of who named it."""

    count: int
    helped: dict[str, int]
    again: dict[str, int]
    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Interviews:
    """The conversations that count, by date, and what keeps others from counting; `unreadable` are those of the
    problems that are mistakes of form."""

    held: list[Interview] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)
    unreadable: list[Issue] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many count."""
        return len(self.held)

    @property
    def summary(self) -> Summary:
        """What the conversations that count come to."""
        answers = {name: Counter(getattr(one, name) for one in self.held) for name in CHOICES}
        counts = {name: {word: answers[name][word] for word in words} for name, words in CHOICES.items()}
        named_ones = tuple((one.problems, one.role) for one in self.held if one.problems)
        return Summary(self.count, counts["helped"], counts["again"], named_ones)


def read(root: Path, today: date | None = None) -> Interviews:
    """The conversations of the pilot in `root`. One that is dated after `today` does not count."""
    found = Interviews()
    before: dict[tuple[Any, ...], str] = {}
    for file in sorted((root / INTERVIEWS).glob("*.md")):
        name = Path(named(root, file))
        try:
            text = read_text(file) or ""
            facts = parse(Facts, text, name)
        except PilotError as error:
            problem = Issue(name.as_posix(), None, "cannot be read.", str(error), RULE)
            found.problems.append(problem)
            found.unreadable.append(problem)
            continue
        head, body = split(text, name)
        notes = _bare("\n".join(body))
        lines = {place[0]: line for place, line in yaml_lines(head).items()}
        wrong = [
            Issue(name.as_posix(), lines.get(fact, len(head) + 1 if fact == "notes" else 1), what, fix, RULE)
            for fact, what, fix in _wrong(facts, notes, today)
        ]
        content = (facts.role, facts.problems, notes.casefold())
        if not wrong and content in before:
            fix = "Each conversation has a file of its own; remove one of the two."
            wrong.append(Issue(name.as_posix(), None, f"says what {before[content]} says.", fix, RULE))
        if wrong or facts.date is None:
            found.problems.extend(wrong)
            continue
        before[content] = name.name
        found.held.append(_interview(name, facts.date, facts, notes))
    found.held.sort(key=lambda one: (one.date, one.file))
    return found


def add(root: Path, facts: Facts, notes: str, today: date) -> Path:
    """Writes a conversation to a file of its own, named by its date and the next free number, and gives the file.

    Raises PilotError that lists all that keeps it from counting; then nothing is written.
    """
    wrong = [f"{fact} {what} {fix}" for fact, what, fix in _wrong(facts, _bare(notes), today)]
    if wrong:
        raise PilotError("This would not count as a conversation:\n  " + "\n  ".join(wrong))
    folder = root / INTERVIEWS
    folder.mkdir(parents=True, exist_ok=True)
    text = _written(facts, notes).encode("utf-8", "replace")
    number = 1
    while True:
        file = folder / f"{facts.date}-{number}.md"
        try:
            with file.open("xb") as stream:
                stream.write(text)
            return file
        except FileExistsError:
            number += 1


def facts_of(answers: dict[str, Any]) -> Facts:
    """Answers as somebody gave them. Raises PilotError that names those that cannot be read."""
    given = {name: value for name, value in answers.items() if name != "notes"}
    for name, words in CHOICES.items():
        if given.get(name) is not None and _word(given[name]) not in words:
            raise PilotError(f"{name}: {given[name]!r} is none of {', '.join(words)}.")
    return Facts(**given)


def is_score(text: str) -> bool:
    """Whether a text is the number of a survey rather than what somebody said."""
    return bool(re.search(r"\d", text)) and _SCORE.fullmatch(text.strip()) is not None


def _wrong(facts: Facts, notes: str, today: date | None) -> Iterator[tuple[str, str, str]]:
    """Each answer that does not count: its name, what is wrong, and the fix."""
    if facts.date is None:
        yield "date", "is empty.", "Write the day of the conversation as 2027-02-10."
    elif today is not None and facts.date > today:
        yield "date", f"is {facts.date}, which is still to come.", "Fix the date."
    if is_placeholder(facts.role) or is_score(facts.role or "") or "@" in (facts.role or ""):
        yield "role", "does not say what the person does.", "Write the work, such as second-level support; no name."
    for name, words in CHOICES.items():
        if getattr(facts, name) is None:
            yield name, "is empty.", f"Write {', '.join(words[:-1])} or {words[-1]}."
    if not _no_problem(facts.problems) and not _said(facts.problems):
        yield "problems", _why(facts.problems), f"Write what it made harder, in {_WORDS} words or more, or none."
    if not _said(notes):
        yield "notes", _why(notes), f"Write what the person said, in {_WORDS} words or more, below the second fence."


def _bare(notes: str) -> str:
    """The notes without comments."""
    return re.sub(r"<!--.*?-->", "", notes, flags=re.DOTALL).strip()


def _no_problem(text: str | None) -> bool:
    return text is not None and _NO_PROBLEM.fullmatch(text) is not None


def _said(text: str | None) -> bool:
    return text is not None and not is_placeholder(text, _WORDS) and not is_score(text)


def _why(text: str | None) -> str:
    if text is not None and is_score(text):
        return f"is {text.strip()!r}: a survey score is no conversation."
    return "is empty." if not (text or "").strip() else "says too little, or holds a placeholder."


def _interview(file: Path, on: date, facts: Facts, notes: str) -> Interview:
    problems = None if _no_problem(facts.problems) else facts.problems
    role, helped, again = facts.role or "", facts.helped or "", facts.again or ""
    return Interview(file, on, role, helped, problems, again, notes)


def _written(facts: Facts, notes: str) -> str:
    def quoted(text: str | None) -> str:
        # One line, whatever the text holds.
        line = " ".join((text or "").split())
        return yaml.safe_dump(line, default_style='"', allow_unicode=True, width=10**6).strip()

    return (
        f"---\ndate: {facts.date}\nrole: {quoted(facts.role)}\nhelped: {facts.helped}\n"
        f"problems: {quoted(facts.problems)}\nagain: {facts.again}\n---\n\n{notes.strip()}\n"
    )
