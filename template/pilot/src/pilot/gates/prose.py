"""The prose of the charter: its sections, and the facts that it names.

A fact stands in the front matter alone. The prose names it, as in `{target}`, and `pilot charter` prints the page with
the facts in place. But for the sections that have numbers of their own the prose holds none, and nowhere a mail
address, so the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from pilot.gates.papers import CHARTER, Charter, Person
from pilot.gates.problems import Problem, says_nothing

MOST_WORDS = 600
FEWEST_WORDS = 4
# Each section of the page, and the facts that it must name.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Problem": (),
    "Target": ("target",),
    "Baseline": (),
    "Timeline": ("weeks", "decision_by"),
    "Team": ("owner", "receiving_owner"),
    "Risks": ("risks",),
    "When we stop": ("kill_criteria", "decision_by"),
}
# These tell of today's process and of people, which have numbers of their own. Anywhere else a number is a fact.
_WITH_NUMBERS = ("Problem", "Baseline", "Team", "Risks")
_REFERENCE = re.compile(r"(?<!\\)\{(\w+)\}")
_COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
_NUMBER = re.compile(
    r"\d(?:[\d.,:/-]*\d)?|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven"
    r"|eigh|nine)ty(?:-\w+)?|hundred|thousand|million|dozen|half)\b",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


@dataclass(frozen=True)
class Section:
    """A part of the page below its heading; `line` is the heading's, in the file. The part above all has no title."""

    title: str
    line: int
    text: str


def sections(lines: list[str], first: int) -> list[Section]:
    """The sections of the prose, whose first line is number `first` of the file. Comments do not count."""
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), "\n".join(lines))
    found = [Section("", first - 1, "")]
    for number, line in enumerate(text.split("\n"), first):
        if line.startswith("## "):
            found.append(Section(line[3:].strip(), number, ""))
        else:
            found[-1] = Section(found[-1].title, found[-1].line, f"{found[-1].text}{line}\n")
    return found


def filled(text: str, facts: Charter) -> str:
    """The text as people read it: with the facts in place of their names, and without comments."""
    text = _COMMENT.sub("", text)
    return _REFERENCE.sub(lambda name: _said(facts, name[1]) if name[1] in Charter.model_fields else name[0], text)


def problems(lines: list[str], first: int, facts: Charter) -> Iterator[Problem]:
    """What is wrong with the prose of a charter, whose first line is number `first` of the file."""
    found = sections(lines, first)
    yield from _of_sections(found)
    yield from _of_agreement(lines, first, found)
    words = len(filled("\n".join(lines), facts).split())
    if words > MOST_WORDS:
        yield _problem(
            "charter-page",
            first,
            f"the page has {words} words with the facts in place, and {MOST_WORDS} fit on one.",
            "Cut it: if it does not fit, the scope is not tight.",
        )


def _of_sections(found: list[Section]) -> Iterator[Problem]:
    for title in SECTIONS:
        parts = [section for section in found if section.title == title]
        if len(parts) != 1:
            yield _problem(
                "charter-sections",
                parts[1].line if parts else None,
                f"the section {title!r} stands {len(parts)} times." if parts else f"there is no section {title!r}.",
                f"Write it once, below the heading `## {title}`.",
            )
        elif says_nothing(_REFERENCE.sub("", parts[0].text), FEWEST_WORDS):
            yield _problem(
                "charter-sections",
                parts[0].line,
                f"the section {title!r} says nothing yet, or holds a placeholder.",
                f"Write {FEWEST_WORDS} words or more of your own; comments and facts in braces do not count.",
            )


def _of_agreement(lines: list[str], first: int, found: list[Section]) -> Iterator[Problem]:
    """Where the prose names a fact that is not there, or could tell another than the front matter does."""
    id = "charter-agreement"
    for section in found:
        for name in SECTIONS.get(section.title, ()):
            if name not in _REFERENCE.findall(section.text):
                what = f"the section {section.title!r} does not name the fact {{{name}}}."
                yield _problem(id, section.line, what, f"Put {{{name}}} where its sentence tells it.")
        if section.title not in _WITH_NUMBERS:
            for number, line in enumerate(section.text.split("\n"), section.line + 1):
                if said := _NUMBER.search(_REFERENCE.sub("", line)):
                    part = f"the section {section.title!r}" if section.title else "the top of the page"
                    what = f"{part} says {said[0]!r}, which may disagree with the facts."
                    yield _problem(
                        id, number, what, "Name the fact instead, such as {target}, {weeks} or {decision_by}."
                    )
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), "\n".join(lines))
    for number, line in enumerate(text.split("\n"), first):
        for name in _REFERENCE.findall(line):
            if name not in Charter.model_fields:
                near = get_close_matches(name, Charter.model_fields, 1)
                mend = f"Did you mean {{{near[0]}}}?" if near else "Put a backslash before the brace if it names none."
                yield _problem(id, number, f"there is no fact {{{name}}}.", mend)
        if _MAIL.search(line):
            yield _problem(id, number, "holds a mail address.", "Name the person's fact instead, such as {owner}.")


def _said(facts: Charter, name: str) -> str:
    """A fact in words."""
    if name == "target":
        return (
            f"{(facts.metric or '?').replace('_', ' ')} goes {facts.direction or '?'} to {_known(facts.target)} "
            f"{_known(facts.unit)} for {_known(facts.population)}, measured from {_known(facts.data_source)} "
            f"during {_known(facts.window)}, over at least {_known(facts.judged_items)} judged items"
        )
    value = getattr(facts, name)
    if isinstance(value, Person):
        return f"{_known(value.name)} <{_known(value.email)}>"
    if name == "alternatives":
        return "; ".join(f"{other.option} ({other.why_not})" for other in facts.alternatives) or "?"
    if name == "guardrails":
        return (
            "; ".join(f"{other.metric} {other.direction}, margin {other.margin}" for other in facts.guardrails) or "?"
        )
    return "; ".join(value) or "?" if isinstance(value, list) else _known(value)


def _known(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "?" if value is None else str(value)


def _problem(id: str, line: int | None, what: str, mend: str) -> Problem:
    return Problem(id, CHARTER.as_posix(), line, what, mend)
