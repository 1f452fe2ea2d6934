"""The page of a document: its sections, the facts that it names, and those facts in words.

A fact is written in the front matter alone. The page names it, as in `{target}`, and the commands that show a document
print the page with the facts in place. A section that names such facts holds no numbers of its own, and no section a
mail address, so the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from pilot.frontmatter import Document, Issue
from pilot.workbench.documents.model import Attestation, Person, is_placeholder, required

# The words that fit on one page.
PAGE = 600
FEWEST_WORDS = 4
UNKNOWN = "?"
# What may be empty, and is.
NOTHING = "nothing"
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
    """What a page must be. `parts` are its sections by their titles; `numbers`: whether the top of the page and
    sections that people add have numbers of their own."""

    parts: Mapping[str, Part]
    numbers: bool = False
    pages: int = 1
    too_long: str = "Cut it."


@dataclass(frozen=True)
class InWords:
    """The facts of a document in words, by their names; `blocks` those that have a form of their own, such as a table,
    where their name is alone on its line."""

    words: Mapping[str, str]
    blocks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page below its heading; `line` is the heading's, in the file. The part above all has no title."""

    title: str
    line: int
    text: str


def sections(lines: list[str], first: int) -> list[Section]:
    """The sections of a page whose first line is number `first` of the file. Comments do not count."""
    found = [Section("", first - 1, "")]
    for number, line in enumerate(without_comments("\n".join(lines)).split("\n"), first):
        if line.startswith("## "):
            found.append(Section(line[3:].strip(), number, ""))
        else:
            found[-1] = Section(found[-1].title, found[-1].line, f"{found[-1].text}{line}\n")
    return found


def names_in(text: str) -> list[str]:
    """The facts that a text names."""
    return _REFERENCE.findall(text)


def without_comments(text: str) -> str:
    """The text without comments, each line at its place."""
    return _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)


def filled(lines: list[str], facts: InWords) -> str:
    """The page as people read it: with the facts in place of their names, and without comments."""
    text = re.sub(r"\n{3,}", "\n\n", _COMMENT.sub("", "\n".join(lines)))

    def fact(found: re.Match[str]) -> str:
        name = found["alone"] or found["within"]
        words = facts.words.get(name, found[0])
        return facts.blocks.get(name, words) if found["alone"] else words

    # In one pass, so that braces within a fact stay what they are.
    return _ALONE_OR_WITHIN.sub(fact, text).strip()


def issues(form: Form, document: Document[Any], facts: InWords) -> Iterator[Issue]:
    """What is wrong with the page of a document. The rule of each is `sections`, `agreement` or `page`."""
    file = document.file.as_posix()
    found = sections(document.prose, document.prose_line)
    for line, what, fix in _of_sections(form, found):
        yield Issue(file, line, what, fix, "sections")
    for line, what, fix in [*_of_parts(form, found), *_of_lines(document, facts)]:
        yield Issue(file, line, what, fix, "agreement")
    words = len(filled(document.prose, facts).split())
    if words > form.pages * PAGE:
        fit = "one" if form.pages == 1 else f"{form.pages} pages"
        what = f"the page has {words} words with the facts in place, and {form.pages * PAGE} fit on {fit}."
        yield Issue(file, document.prose_line, what, form.too_long, "page")


_Found = Iterator[tuple[int | None, str, str]]


def _of_sections(form: Form, found: list[Section]) -> _Found:
    for title, part in form.parts.items():
        there = [section for section in found if section.title == title]
        if len(there) != 1:
            line = there[1].line if there else None
            what = f"the section {title!r} is there {len(there)} times." if there else f"there is no section {title!r}."
            yield line, what, f"Write it once, below the heading `## {title}`."
        elif part.own_words and is_placeholder(_REFERENCE.sub("", there[0].text), FEWEST_WORDS):
            what = f"the section {title!r} is empty, or holds a placeholder."
            fix = f"Write {FEWEST_WORDS} words or more of your own; comments and facts in braces do not count."
            yield there[0].line, what, fix


def _of_parts(form: Form, found: list[Section]) -> _Found:
    """Sections that do not name their facts, or could state another than the front matter does."""
    all_names = tuple(dict.fromkeys(name for part in form.parts.values() if not part.numbers for name in part.names))
    for section in found:
        part = form.parts.get(section.title, Part(numbers=form.numbers))
        for name in part.names:
            if name not in names_in(section.text):
                what = f"the section {section.title!r} does not name the fact {{{name}}}."
                yield section.line, what, f"Put {{{name}}} into its sentence."
        for number, line in enumerate([] if part.numbers else section.text.split("\n"), section.line + 1):
            if said := _NUMBER.search(_REFERENCE.sub("", line)):
                place = f"the section {section.title!r}" if section.title else "the top of the page"
                examples = ", ".join(f"{{{name}}}" for name in part.names or all_names)
                what = f"{place} holds {said[0]!r}, which may disagree with the facts."
                yield number, what, f"Name the fact instead, such as {examples}."


def _of_lines(document: Document[Any], facts: InWords) -> _Found:
    """Names of facts that are not there, and mail addresses."""
    for number, line in enumerate(without_comments("\n".join(document.prose)).split("\n"), document.prose_line):
        for name in names_in(line):
            if name not in facts.words:
                near = get_close_matches(name, facts.words, 1)
                fix = f"Did you mean {{{near[0]}}}?" if near else "Put a backslash before the brace if it names none."
                yield number, f"there is no fact {{{name}}}.", fix
        if _MAIL.search(line):
            yield number, "holds a mail address.", "Name the person's fact instead, such as {owner}."


def in_words(model: BaseModel) -> InWords:
    """The facts of a document by their names, in words and as blocks."""
    words, blocks = {}, {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if value in (None, []) and not required(info):
            words[name], blocks[name] = NOTHING, f"{NOTHING.capitalize()}."
        else:
            words[name] = said(value)
            if block := _block(value):
                blocks[name] = block
    return InWords(words, blocks)


def said(value: object) -> str:
    """A value in one line; what is not known is a question mark. An attestation is labelled as one."""
    match value:
        case None | "" | []:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case Attestation():
            return f"attested by {said(value.by)} on {said(value.day)}"
        case Person():
            return f"{said(value.name)} <{said(value.email)}>"
        case BaseModel():
            return ", ".join(filter(None, (_cell(value, name) for name in type(value).model_fields)))
        case list():
            return "; ".join(map(said, value))
        case date():
            return value.isoformat()
        case _:
            return " ".join(str(value).split())


def _block(value: object) -> str | None:
    """A list of texts as a list, models of one kind as a table; None for everything else."""
    if isinstance(value, list):
        if value and isinstance(value[0], BaseModel):
            return _table([(None, entry) for entry in value])
        return "\n".join(f"- {said(entry)}" for entry in value) or UNKNOWN
    if isinstance(value, BaseModel):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
        if len({type(part) for _, part in parts}) == 1 and isinstance(parts[0][1], BaseModel):
            return _table([(_heading(name), part) for name, part in parts])
    return None


def _table(rows: list[tuple[str | None, BaseModel]]) -> str:
    """A table with a row for each model; a column of which nothing is known is left out where others are."""
    names = list(type(rows[0][1]).model_fields)
    known = [name for name in names if any(getattr(row, name) is not None for _, row in rows)] or names
    named = [""] if rows[0][0] is not None else []
    lines = [[*named, *map(_heading, known)], ["---"] * (len(named) + len(known))]
    for name, row in rows:
        lines.append([*([name] if name is not None else []), *(_cell(row, column) for column in known)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cell(model: BaseModel, name: str) -> str:
    """A fact of a model in words; nothing where it may be empty, and is."""
    value = getattr(model, name)
    return "" if value is None and not required(type(model).model_fields[name]) else said(value)


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()
