"""The operations documents: what a service needs to be run, used and ended. Each is a front matter of facts and a page.

A description completes "Write ...", and editors show it. What a fact must hold to be complete is said by its type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pilot.charter import Charter, read_charter
from pilot.contract import PilotError
from pilot.frontmatter import Document, Fault, Issue, Unreadable, parse, text_of
from pilot.workbench.documents import charter_rules, page
from pilot.workbench.documents.model import (
    Attestation,
    Day,
    Group,
    Mail,
    Name,
    Person,
    Required,
    Sentence,
    Sentences,
    Text,
    about,
    attestations,
    missing,
    wrong_name,
)
from pilot.workbench.documents.page import Form, InWords, Part

GUIDE = "user-guide"
BLANK = Path(__file__).parent / "blank"
Minutes = Annotated[int | None, Field(ge=0), Required()]
# The name and the address of somebody.
Signer = tuple[str | None, str | None]


class Facts(Group):
    """The front matter of an operations document. Its page has `pages` at most, and the sections `facts_only` hold no
    numbers but the facts."""

    file: ClassVar[Path]
    pages: ClassVar = 1
    facts_only: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def form(cls) -> Form:
        """The form of the page, as the blank one has it: a section names the facts that it names there, and needs words
        where it names none."""
        blank = (BLANK / cls.file.relative_to("phases")).read_text(encoding="utf-8")
        parts = {}
        for section in page.sections(blank.split("\n---\n", 1)[1].split("\n"), 1)[1:]:
            names = tuple(name for name in page.names_in(section.text) if name in cls.model_fields)
            parts[section.title] = Part(names, own_words=not names, numbers=section.title not in cls.facts_only)
        return Form(parts, numbers=True, pages=cls.pages)

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """Where filled facts contradict each other, or the charter."""
        yield from ()

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """Who signs the document in which role; other roles are free."""
        return {}


class OnCall(Group):
    """Somebody who is on call in turn."""

    name: Name = None
    reach: Text = about("how to reach the person at night, such as a telephone number")


class Step(Group):
    """Who is called next, when nobody before has answered."""

    after_minutes: Minutes = about("how many minutes after the alert, from 0")
    who: Text = about("who is called then")
    reach: Text = about("how to reach them")


class Severity(Group):
    """How bad a problem is, and what follows from it."""

    level: Text = about("the level, such as 1 for the worst")
    means: Sentence = about("what users notice at this level, in three words or more")
    answer_minutes: Minutes = about("within how many minutes somebody works on it")
    told: Text = about("who is told")


class Message(Group):
    """Who hears of a problem, and how."""

    audience: Text = about("who hears of it, such as users, sponsor, regulator")
    channel: Text = about("where, such as the status page")
    when: Text = about("when, such as every 30 minutes until it ends")
    writer: Text = about("who writes it")


class Provider(Group):
    """Who provides something that the service needs."""

    provider: Text = about("who provides it")
    what: Text = about("what, such as hosting, database or LLM")
    contact: Text = about("how to reach its support, with the number of the contract")


class Playbook(Facts):
    """What the people on call need to know."""

    file: ClassVar = Path("phases/4-harden/playbook.md")
    facts_only: ClassVar = (
        "Severities",
        "Escalation",
        "Restore",
    )
    pages: ClassVar = 2

    owner: Person = about("the one person who answers for the service", Person())
    rotation: Annotated[list[OnCall], Required(entries=2)] = about("the people on call in turn, two or more", [])
    rotation_hours: Sentence = about("when they are on call, and what happens at other hours")
    rotation_told: Attestation = about("who told the people on call, and on which day", Attestation())
    severities: Annotated[list[Severity], Required(entries=2)] = about("the levels, two or more, the worst first", [])
    escalation: Annotated[list[Step], Required(entries=2)] = about(
        "who is called after how long, two steps or more", []
    )
    communications: Annotated[list[Message], Required()] = about("who hears of a problem, where and when", [])
    rollback_command: Text = about("the command that brings back the version before")
    rollback_minutes: Minutes = about("within how many minutes it is done")
    rollback_by: Text = about("who may order it without asking")
    rpo_minutes: Minutes = about("how many minutes of records may be lost at most")
    rto_minutes: Annotated[int | None, Field(gt=0), Required()] = about("within how many minutes the service is back")
    restore_command: Text = about("the command that restores the backup, or the page that has it")
    providers: Annotated[list[Provider], Required()] = about(
        "each provider with its support, your own operations included", []
    )
    cost_owner: Person = about("the one person who watches what the service costs", Person())

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """One person twice in the rotation, steps out of order, a level twice."""
        for number in _repeated([person.name for person in self.rotation]):
            fix = "Name another: one person is no rotation."
            yield Fault(f"rotation.{number}.name", f"{self.rotation[number].name!r} is there twice.", fix)
        for number in _repeated([severity.level for severity in self.severities]):
            what = f"{self.severities[number].level!r} is there twice."
            yield Fault(f"severities.{number}.level", what, "Write each level once.")
        times = [step.after_minutes for step in self.escalation]
        for number, (before, after) in enumerate(pairwise(times), 1):
            if before is not None and after is not None and after <= before:
                what = f"{after} is not later than the {before} of the step before."
                fix = "Write the steps in the order in which people are called."
                yield Fault(f"escalation.{number}.after_minutes", what, fix)

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """Its owner."""
        return {"owner": (self.owner.name, self.owner.email)}


class Duty(Group):
    """Whose a duty was, and whose it is now: each one person."""

    before: Name = None
    after: Name = None


class Duties(Group):
    """Who does what."""

    runs: Duty = about("who keeps it running", Duty())
    fixes: Duty = about("who fixes it", Duty())
    retrains: Duty = about("who renews the model", Duty())
    pays: Duty = about("whose budget pays for it", Duty())
    decides: Duty = about("who decides what it does, and when it ends", Duty())


class Handoff(Facts):
    """Who was responsible, and who is now."""

    file: ClassVar = Path("phases/4-harden/handoff.md")
    facts_only: ClassVar = ("Who is responsible",)

    handed_over_on: Day = about("the day from which the other side is responsible")
    responsibilities: Duties = about("who does what, before and after", Duties())
    open_points: Annotated[list[str], Required(words=3, entries=0)] = about(
        "what is still to be done, by whom, until when", []
    )

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """A handoff in which nothing changes hands, or the receiving owner of the charter gets nothing."""
        duties = {name: getattr(self.responsibilities, name) for name in Duties.model_fields}
        if all(duty.before and duty.before == duty.after for duty in duties.values()):
            fix = "Name who does it afterwards; where everything stays, there is no handoff."
            yield Fault("responsibilities", "nothing changes hands.", fix)
        receiver = charter.receiving_owner.name
        if receiver and all(duty.after and duty.after != receiver for duty in duties.values()):
            what = f"{receiver}, the receiving owner of the charter, is responsible for nothing afterwards."
            yield Fault("responsibilities", what, "Name the person where it is due, or fix the charter.")

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """The two sides, as the charter names them."""
        sides = {"owner": charter.owner, "receiving_owner": charter.receiving_owner}
        return {role: (person.name, person.email) for role, person in sides.items()}


class Area(Group):
    """What the review found in one area."""

    state: Annotated[Literal["passed", "mended", "accepted", "not applicable", "open"] | None, Required()] = about(
        "passed, mended, accepted (a named person bears the risk), not applicable or open"
    )
    finding: Sentence = about("what was looked at and found, in three words or more")
    accepted_by: str | None = about("who bears the risk, where it is accepted")


class Areas(Group):
    """What was looked at."""

    access: Area = about("who and what may reach the service and its records", Area())
    encryption: Area = about("data at rest, on the wire and in backups", Area())
    secrets: Area = about("where keys and passwords are, and how they are changed", Area())
    audit_trail: Area = about("whether it can be told later who did what", Area())
    personal_data: Area = about("what is kept of persons, how long, and how it is erased", Area())
    hostile_input: Area = about("inputs that are made to mislead or to overload", Area())
    dependencies: Area = about("libraries, images and providers, and how their faults become known", Area())
    exposure: Area = about("ports, networks, rights of the container", Area())
    obligations: Area = about("what law and industry require", Area())


class Review(Attestation):
    """The reviewer's word."""

    email: Mail = None


class SecurityReview(Facts):
    """What a review of the security found."""

    file: ClassVar = Path("phases/4-harden/security-review.md")
    pages: ClassVar = 2

    version: Text = about("the version or commit that was reviewed")
    areas: Areas = about("what was found, area by area", Areas())
    reviewed: Review = about("who reviewed it, and on which day it ended", Review())

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """An open finding, a risk that nobody bears, and owners who review their own pilot."""
        for name in Areas.model_fields:
            area: Area = getattr(self.areas, name)
            if area.state == "open":
                fix = "Fix it and write `mended`, or have a named person bear the risk and write `accepted`."
                yield Fault(f"areas.{name}.state", "is open.", fix)
            elif area.state == "accepted" and (wrong := wrong_name(area.accepted_by)):
                yield Fault(f"areas.{name}.accepted_by", *wrong)
        if self.reviewed.by and self.reviewed.by == charter.owner.name:
            what = f"{self.reviewed.by} is the owner of the pilot."
            yield Fault("reviewed.by", what, "Have somebody review it who does not own it.")

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """The reviewer."""
        return {"reviewer": (self.reviewed.by, self.reviewed.email)}


class UserGuide(Facts):
    """What the users need to know."""

    file: ClassVar = Path("phases/5-live/user-guide.md")

    does: Sentences = about("what it does for its users, each a sentence", [])
    does_not: Sentences = about("what it does not do, and where it is known to be wrong", [])
    override_when: Sentences = about("when to decide against it, each a sentence", [])
    override_how: Sentence = about("how to decide against it")
    report_to: Sentence = about("where to report a problem, such as the button on the page")
    report_answered: Text = about("how soon somebody answers")
    helper: Person = about("the one person who helps users", Person())


class Change(Group):
    """What changes in somebody's work."""

    who: Text = about("whose work it is")
    now: Sentence = about("how it is done today")
    becomes: Sentence = about("how it will be done")
    starts: Day = about("from which day on")
    told: Attestation = about("who told them, and on which day", Attestation())


class ProcessChanges(Facts):
    """What changes in the work around the service."""

    file: ClassVar = Path("phases/3-decide/process-changes.md")
    facts_only: ClassVar = ("What changes",)

    changes: Annotated[list[Change], Required()] = about("what changes in whose work, from when, and who told them", [])
    helper: Person = about("the one person to ask about the changes", Person())

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """A change that begins before those whom it concerns were told."""
        for number, change in enumerate(self.changes):
            if change.starts and change.told.day and change.told.day > change.starts:
                what = f"{change.told.day} is after the change began, on {change.starts}."
                yield Fault(f"changes.{number}.told.day", what, "Tell people first, and begin later.")


class Closing(Facts):
    """What was done to end a pilot."""

    file: ClassVar = Path("phases/3-decide/closing.md")
    facts_only: ClassVar = ("What is kept",)

    users_told: Attestation = about("who told the users, and on which day", Attestation())
    keys_revoked: Attestation = about(
        "who revoked the keys of callers and of providers, and on which day", Attestation()
    )
    records_kept_until: Day = about("the day until which the records are kept")
    records_reason: Sentence = about("why they are kept that long, or deleted so soon")
    records_deleted_by: Person = about("the one person who deletes them then", Person())
    shut_down: Sentences = about("what is shut down: servers, accounts, contracts, budgets", [])
    lesson: Sentences = about("what the next pilot does otherwise, each a sentence", [])
    next_candidate: Sentence = about("which problem comes next, or that none does and why")


class Option(Group):
    """What could come next."""

    change: Sentence = about("what would change")
    evidence: Sentence = about("which figure, report or feedback speaks for it")
    effort: Text = about("what it would take, such as two weeks of one person")
    chosen: Annotated[bool | None, Required()] = about("yes or no")


class NextIteration(Facts):
    """What comes next, and when the service ends."""

    file: ClassVar = Path("phases/5-live/next-iteration.md")
    facts_only: ClassVar = ("The target",)

    owner: Person = about("the one person who answers for the next iteration", Person())
    learned: Sentences = about("what production showed, each with its figures", [])
    options: Annotated[list[Option], Required(entries=2)] = about("what could come next, two options or more", [])
    target: Sentence = about("what shall be better, from which number to which")
    decide_by: Day = about("the day by which it is decided whether it worked")
    retire_when: Sentences = about("what would end the service, each a fact that can be seen", [])

    def faults(self, charter: Charter) -> Iterator[Fault]:
        """None or several options chosen."""
        chosen = [option for option in self.options if option.chosen]
        if len(chosen) != 1 and all(option.chosen is not None for option in self.options) and self.options:
            yield Fault("options", f"{len(chosen)} are chosen.", "Choose one: several at once kill focus.")


def _repeated(values: list[str | None]) -> list[int]:
    """The places of values that repeat an earlier one."""
    seen: Counter[str] = Counter()
    found = []
    for number, value in enumerate(values):
        word = (value or "").strip().casefold()
        if word and seen[word]:
            found.append(number)
        seen[word] += 1
    return found


DOCUMENTS: dict[str, type[Facts]] = {
    kind.file.stem: kind
    for kind in (ProcessChanges, Closing, Playbook, Handoff, SecurityReview, UserGuide, NextIteration)
}


@dataclass(frozen=True)
class Operations:
    """An operations document, and the charter, whose facts its page may name too."""

    document: Document[Facts]
    charter: Charter

    @property
    def in_words(self) -> InWords:
        """The facts that its page may name: its own, and those of the charter whose names it does not use."""
        own = page.in_words(self.document.facts)
        return InWords({**charter_rules.in_words(self.charter).words, **own.words}, own.blocks)

    @property
    def page(self) -> str:
        """The page as people read it, with the facts in place."""
        return page.filled(self.document.prose, self.in_words)

    @property
    def signers(self) -> dict[str, Signer]:
        """Who signs it in which role, as it or the charter says; other roles are free."""
        return self.document.facts.signers(self.charter)

    @property
    def attestations(self) -> dict[str, Attestation]:
        """What in it only a person can say, by its place in the facts."""
        return attestations(self.document.facts)

    def faults(self, today: date | None) -> Iterator[Fault]:
        """What keeps the facts from being complete, attestations of a day after `today` included."""
        yield from missing(self.document.facts)
        yield from self.document.facts.faults(self.charter)
        for place, attested in self.attestations.items():
            if today and attested.day and attested.day > today:
                yield Fault(f"{place}.day", f"{attested.day} is not yet.", "Attest it on the day or later.")


def known(name: str) -> type[Facts]:
    """The kind of that name. Raises PilotError that lists those there are."""
    if name not in DOCUMENTS:
        raise PilotError(f"There is no operations document {name!r}. Name one of: {', '.join(DOCUMENTS)}.")
    return DOCUMENTS[name]


def name_of(file: Path) -> str | None:
    """The name of the document in a file, named below the pilot's root; None where it is none of these."""
    return next((name for name, kind in DOCUMENTS.items() if kind.file == file), None)


def read(root: Path, name: str) -> Operations:
    """A document of the pilot in `root`. Raises PilotError where it is missing or cannot be read."""
    kind = known(name)
    document = parse(kind, text_of(root, kind.file), kind.file)
    try:
        charter = read_charter(root) or Charter()
    except PilotError:
        # Its own check reports it.
        charter = Charter()
    return Operations(document, charter)


def complete_page(root: Path, name: str) -> str | None:
    """The page of a document as people read it; None while it is not complete, or cannot be read."""
    try:
        return None if issues(root, name) else read(root, name).page
    except PilotError:
        return None


def issues(root: Path, name: str, today: date | None = None) -> list[Issue]:
    """All that keeps a document of the pilot in `root` from being complete; empty where it is. With `today`, an
    attestation of a later day is an issue too. Raises PilotError for a name that is none."""
    kind = known(name)
    try:
        found = read(root, name)
    except Unreadable as error:
        return list(error.issues)
    facts = sorted((found.document.issue(fault) for fault in found.faults(today)), key=lambda issue: issue.line or 0)
    text = page.issues(kind.form(), found.document, found.in_words)
    return [*facts, *text]
