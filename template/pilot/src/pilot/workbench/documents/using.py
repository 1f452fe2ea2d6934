"""The facts of the papers for those who use a service, work beside it and decide what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from pydantic import Field

from pilot.charter import Charter
from pilot.workbench.documents.fields import Asks, Attestation, Facts, Gap, Group, Sentence, Sentences, Somebody, Text


class UserGuide(Facts):
    """What the users need to know."""

    does: Sentences = Field(default=[], description="what it does for its users, each a sentence")
    does_not: Sentences = Field(default=[], description="what it does not do, and where it is known to be wrong")
    override_when: Sentences = Field(default=[], description="when to decide against it, each a sentence")
    override_how: Sentence = Field(default=None, description="how to decide against it")
    report_to: Sentence = Field(default=None, description="where to report a problem, such as the button on the page")
    report_answered: Text = Field(default=None, description="how soon somebody answers")
    helper: Somebody = Field(default=Somebody(), description="the one person who helps users")


class Change(Group):
    """What changes in somebody's work."""

    who: Text = Field(default=None, description="whose work it is")
    now: Sentence = Field(default=None, description="how it is done today")
    becomes: Sentence = Field(default=None, description="how it will be done")
    starts: date | None = Field(default=None, description="from which day on")
    told: Attestation = Field(default=Attestation(), description="who told them, and on which day")


class ProcessChanges(Facts):
    """What changes in the work around the service."""

    changes: list[Change] = Field(default=[], description="what changes in whose work, from when, and who told them")
    helper: Somebody = Field(default=Somebody(), description="the one person to ask about the changes")

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """A change that begins before those whom it concerns were told."""
        for number, change in enumerate(self.changes):
            if change.starts and change.told.day and change.told.day > change.starts:
                what = f"{change.told.day} is after the change began, on {change.starts}."
                yield Gap(("changes", str(number), "told", "day"), what, "Tell people first, and begin later.")


class Closing(Facts):
    """What was done to end a pilot."""

    users_told: Attestation = Field(default=Attestation(), description="who told the users, and on which day")
    keys_revoked: Attestation = Field(
        default=Attestation(), description="who revoked the keys of callers and of providers, and on which day"
    )
    records_kept_until: date | None = Field(default=None, description="the day until which the records are kept")
    records_reason: Sentence = Field(default=None, description="why they are kept that long, or deleted so soon")
    records_deleted_by: Somebody = Field(default=Somebody(), description="the one person who deletes them then")
    shut_down: Sentences = Field(default=[], description="what is shut down: servers, accounts, contracts, budgets")
    lesson: Sentences = Field(default=[], description="what the next pilot does otherwise, each a sentence")
    next_candidate: Sentence = Field(default=None, description="which problem comes next, or that none does and why")


class Option(Group):
    """What could come next."""

    change: Sentence = Field(default=None, description="what would change")
    evidence: Sentence = Field(default=None, description="which figure, report or feedback speaks for it")
    effort: Text = Field(default=None, description="what it would take, such as two weeks of one person")
    chosen: bool | None = Field(default=None, description="yes or no")


class NextIteration(Facts):
    """What comes next, and when the service ends."""

    owner: Somebody = Field(default=Somebody(), description="the one person who answers for the next iteration")
    learned: Sentences = Field(default=[], description="what production showed, each with its figures")
    options: Annotated[list[Option], Asks(entries=2)] = Field(
        default=[], description="what could come next, two options or more"
    )
    target: Sentence = Field(default=None, description="what shall be better, from which number to which")
    decide_by: date | None = Field(default=None, description="the day by which it is decided whether it worked")
    retire_when: Sentences = Field(default=[], description="what would end the service, each a fact that can be seen")

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """None or several options chosen."""
        chosen = [option for option in self.options if option.chosen]
        if len(chosen) != 1 and all(option.chosen is not None for option in self.options) and self.options:
            yield Gap(("options",), f"{len(chosen)} are chosen.", "Choose one: several at once kill focus.")
