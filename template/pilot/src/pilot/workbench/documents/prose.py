"""The prose of a paper: its sections, and the facts that it names.

A fact stands in the front matter alone. The prose names it, as in `{target}`, and the commands that show a paper print
the page with the facts in place. A section that tells such facts holds no numbers of its own, and no section a mail
address, so the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from pilot.workbench.documents.model import Issue, is_placeholder

PAGE = 600
FEWEST_WORDS = 4
_REFERENCE = re.compile(r"(?<!\\)\{(\w+)\}")
_ALONE_OR_WITHIN = re.compile(r"^\{(?P<alone>\w+)\}[ \t]*$|(?<!\\)\{(?P<within>\w+)\}", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
_NUMBER = re.compile(
    r"\d(?:[\d.,:/-]*\d)?|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven"
    r"|eigh|nine)ty(?:-\w+)?|hundred|thousand|million|dozen|half)\b",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


@dataclass(frozen=True)
class Part:
    """What a section must be: the facts that it names, whether people must write words of their own into it, and
    whether it has numbers of its own. Where it has none, a number is a fact."""

    names: tuple[str, ...] = ()
    own_words: bool = True
    numbers: bool = True


@dataclass(frozen=True)
class Form:
    """What the prose of a paper must be. `parts` are its sections by their titles; `numbers` says whether the top of
    the page and sections that people add have numbers of their own. The ids are the gate's rules."""

    file: Path
    parts: Mapping[str, Part]
    sections_id: str
    agreement_id: str
    page_id: str
    numbers: bool = False
    most_words: int = PAGE
    too_long: str = "Cut it."


@dataclass(frozen=True)
class Facts:
    """The facts of a paper in words, by their names; `blocks` those that have a form of their own, such as a table,
    where their name stands alone on its line."""

    words: Mapping[str, str]
    blocks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page below its heading; `line` is the heading's, in the file. The part above all has no title."""

    title: str
    line: int
    text: str


def sections(lines: list[str], first: int) -> list[Section]:
    """The sections of the prose, whose first line is number `first` of the file. Comments do not count."""
    found = [Section("", first - 1, "")]
    for number, line in enumerate(_without_comments(lines), first):
        if line.startswith("## "):
            found.append(Section(line[3:].strip(), number, ""))
        else:
            found[-1] = Section(found[-1].title, found[-1].line, f"{found[-1].text}{line}\n")
    return found


def filled(text: str, facts: Facts) -> str:
    """The text as people read it: with the facts in place of their names, and without comments."""
    text = re.sub(r"\n{3,}", "\n\n", _COMMENT.sub("", text))

    def told(found: re.Match[str]) -> str:
        name = found["alone"] or found["within"]
        words = facts.words.get(name, found[0])
        return facts.blocks.get(name, words) if found["alone"] else words

    # In one pass, so that braces within a fact stay what they are.
    return _ALONE_OR_WITHIN.sub(told, text)


def problems(form: Form, lines: list[str], first: int, facts: Facts) -> Iterator[Issue]:
    """What is wrong with the prose of a paper, whose first line is number `first` of the file."""
    found = sections(lines, first)
    yield from _of_sections(form, found)
    yield from _of_agreement(form, lines, first, found, facts)
    words = len(filled("\n".join(lines), facts).split())
    if words > form.most_words:
        fit = "one" if form.most_words == PAGE else f"{form.most_words // PAGE} pages"
        what = f"the page has {words} words with the facts in place, and {form.most_words} fit on {fit}."
        yield Issue(form.file.as_posix(), first, what, form.too_long, form.page_id)


def _of_sections(form: Form, found: list[Section]) -> Iterator[Issue]:
    id, file = form.sections_id, form.file.as_posix()
    for title, part in form.parts.items():
        there = [section for section in found if section.title == title]
        if len(there) != 1:
            line = there[1].line if there else None
            what = f"the section {title!r} stands {len(there)} times." if there else f"there is no section {title!r}."
            yield Issue(file, line, what, f"Write it once, below the heading `## {title}`.", id)
        elif part.own_words and is_placeholder(_REFERENCE.sub("", there[0].text), FEWEST_WORDS):
            what = f"the section {title!r} says nothing yet, or holds a placeholder."
            fix = f"Write {FEWEST_WORDS} words or more of your own; comments and facts in braces do not count."
            yield Issue(file, there[0].line, what, fix, id)


def _of_agreement(form: Form, lines: list[str], first: int, found: list[Section], facts: Facts) -> Iterator[Issue]:
    """Where the prose names a fact that is not there, or could tell another than the front matter does."""
    id, file = form.agreement_id, form.file.as_posix()
    told = tuple(dict.fromkeys(name for part in form.parts.values() if not part.numbers for name in part.names))
    for section in found:
        part = form.parts.get(section.title, Part(numbers=form.numbers))
        for name in part.names:
            if name not in _REFERENCE.findall(section.text):
                what = f"the section {section.title!r} does not name the fact {{{name}}}."
                yield Issue(file, section.line, what, f"Put {{{name}}} where its sentence tells it.", id)
        if not part.numbers:
            for number, line in enumerate(section.text.split("\n"), section.line + 1):
                if said := _NUMBER.search(_REFERENCE.sub("", line)):
                    place = f"the section {section.title!r}" if section.title else "the top of the page"
                    what = f"{place} says {said[0]!r}, which may disagree with the facts."
                    examples = ", ".join(f"{{{name}}}" for name in part.names or told)
                    yield Issue(file, number, what, f"Name the fact instead, such as {examples}.", id)
    for number, line in enumerate(_without_comments(lines), first):
        for name in _REFERENCE.findall(line):
            if name not in facts.words:
                near = get_close_matches(name, facts.words, 1)
                fix = f"Did you mean {{{near[0]}}}?" if near else "Put a backslash before the brace if it names none."
                yield Issue(file, number, f"there is no fact {{{name}}}.", fix, id)
        if _MAIL.search(line):
            fix = "Name the person's fact instead, such as {owner}."
            yield Issue(file, number, "holds a mail address.", fix, id)


def _without_comments(lines: list[str]) -> list[str]:
    """The lines with comments taken out, each at its place."""
    return _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), "\n".join(lines)).split("\n")
