"""The facts of the papers by which a service is run: the playbook, the handoff, the review of its security.

A description completes "Write ...", and editors show it. What a fact must hold to be complete is said by its type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from pilot.charter import Charter
from pilot.workbench.documents.fields import (
    Asks,
    Attestation,
    Facts,
    Gap,
    Group,
    Mail,
    Name,
    Sentence,
    Signer,
    Somebody,
    Text,
)
from pilot.workbench.documents.people import name_fault

Minutes = Annotated[int, Field(ge=0)]


class OnCall(Group):
    """Somebody who is on call in turn."""

    name: Name = None
    reach: Text = Field(default=None, description="how to reach the person at night, such as a telephone number")


class Step(Group):
    """Who is called next, when nobody before has answered."""

    after_minutes: Minutes | None = Field(default=None, description="how many minutes after the alert, from 0")
    who: Text = Field(default=None, description="who is called then")
    reach: Text = Field(default=None, description="how to reach them")


class Severity(Group):
    """How bad a problem is, and what follows from it."""

    level: Text = Field(default=None, description="the level, such as 1 for the worst")
    means: Sentence = Field(default=None, description="what users notice at this level, in three words or more")
    answer_minutes: Minutes | None = Field(default=None, description="within how many minutes somebody works on it")
    told: Text = Field(default=None, description="who is told")


class Message(Group):
    """Who hears of a problem, and how."""

    audience: Text = Field(default=None, description="who hears of it, such as users, sponsor, regulator")
    channel: Text = Field(default=None, description="where, such as the status page")
    when: Text = Field(default=None, description="when, such as every 30 minutes until it ends")
    writer: Text = Field(default=None, description="who writes it")


class Provider(Group):
    """Who provides something that the service needs."""

    provider: Text = Field(default=None, description="who provides it")
    what: Text = Field(default=None, description="what, such as hosting, database or LLM")
    contact: Text = Field(default=None, description="how to reach its support, with the number of the contract")


class Playbook(Facts):
    """What the people on call need to know."""

    owner: Somebody = Field(default=Somebody(), description="the one person who answers for the service")
    rotation: Annotated[list[OnCall], Asks(entries=2)] = Field(
        default=[], description="the people on call in turn, two or more"
    )
    rotation_hours: Sentence = Field(default=None, description="when they are on call, and what happens at other hours")
    rotation_told: Attestation = Field(
        default=Attestation(), description="who told the people on call, and on which day"
    )
    severities: Annotated[list[Severity], Asks(entries=2)] = Field(
        default=[], description="the levels, two or more, the worst first"
    )
    escalation: Annotated[list[Step], Asks(entries=2)] = Field(
        default=[], description="who is called after how long, two steps or more"
    )
    communications: list[Message] = Field(default=[], description="who hears of a problem, where and when")
    rollback_command: Text = Field(default=None, description="the command that brings back the version before")
    rollback_minutes: Minutes | None = Field(default=None, description="within how many minutes it is done")
    rollback_by: Text = Field(default=None, description="who may order it without asking")
    rpo_minutes: Minutes | None = Field(default=None, description="how many minutes of records may be lost at most")
    rto_minutes: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="within how many minutes the service is back"
    )
    restore_command: Text = Field(
        default=None, description="the command that restores the backup, or the page that has it"
    )
    providers: list[Provider] = Field(
        default=[], description="each provider with its support, your own operations included"
    )
    cost_owner: Somebody = Field(default=Somebody(), description="the one person who watches what the service costs")

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """One person twice in the rotation, steps out of order, a level twice."""
        for number in _repeated([person.name for person in self.rotation]):
            fix = "Name another: one person is no rotation."
            yield Gap(("rotation", str(number), "name"), f"{self.rotation[number].name!r} stands twice.", fix)
        for number in _repeated([severity.level for severity in self.severities]):
            what = f"{self.severities[number].level!r} stands twice."
            yield Gap(("severities", str(number), "level"), what, "Write each level once.")
        times = [step.after_minutes for step in self.escalation]
        for number, (before, after) in enumerate(pairwise(times), 1):
            if before is not None and after is not None and after <= before:
                what = f"{after} is not later than the {before} of the step before."
                fix = "Write the steps in the order in which people are called."
                yield Gap(("escalation", str(number), "after_minutes"), what, fix)

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """Its owner."""
        return {"owner": (self.owner.name, self.owner.email)}


class Duty(Group):
    """Whose a duty was, and whose it is now: each one person."""

    before: Name = None
    after: Name = None


class Duties(Group):
    """Who does what."""

    runs: Duty = Field(default=Duty(), description="who keeps it running")
    fixes: Duty = Field(default=Duty(), description="who fixes it")
    retrains: Duty = Field(default=Duty(), description="who renews the model")
    pays: Duty = Field(default=Duty(), description="whose budget pays for it")
    decides: Duty = Field(default=Duty(), description="who decides what it does, and when it ends")


class Handoff(Facts):
    """Who was responsible, and who is now."""

    handed_over_on: date | None = Field(default=None, description="the day from which the other side is responsible")
    responsibilities: Duties = Field(default=Duties(), description="who does what, before and after")
    open_points: Annotated[list[str], Asks(words=3, optional=True)] = Field(
        default=[], description="what is still to be done, by whom, until when"
    )

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """A handoff in which nothing changes hands, or the receiving owner of the charter gets nothing."""
        duties = {name: getattr(self.responsibilities, name) for name in Duties.model_fields}
        if all(duty.before and duty.before == duty.after for duty in duties.values()):
            fix = "Name who does it afterwards; where everything stays, there is no handoff."
            yield Gap(("responsibilities",), "nothing changes hands.", fix)
        receiver = charter.receiving_owner.name
        if receiver and all(duty.after and duty.after != receiver for duty in duties.values()):
            what = f"{receiver}, the receiving owner of the charter, is responsible for nothing afterwards."
            yield Gap(("responsibilities",), what, "Name the person where it is due, or fix the charter.")

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """The two sides, as the charter names them."""
        sides = {"owner": charter.owner, "receiving_owner": charter.receiving_owner}
        return {role: (person.name, person.email) for role, person in sides.items()}


class Area(Group):
    """What the review found in one area."""

    state: Literal["passed", "mended", "accepted", "not applicable", "open"] | None = Field(
        default=None, description="passed, mended, accepted (a named person bears the risk), not applicable or open"
    )
    finding: Sentence = Field(default=None, description="what was looked at and found, in three words or more")
    accepted_by: Annotated[str | None, Asks(optional=True)] = Field(
        default=None, description="who bears the risk, where it is accepted"
    )


class Areas(Group):
    """What was looked at."""

    access: Area = Field(default=Area(), description="who and what may reach the service and its records")
    encryption: Area = Field(default=Area(), description="data at rest, on the wire and in backups")
    secrets: Area = Field(default=Area(), description="where keys and passwords are, and how they are changed")
    audit_trail: Area = Field(default=Area(), description="whether it can be told later who did what")
    personal_data: Area = Field(default=Area(), description="what is kept of persons, how long, and how it is erased")
    hostile_input: Area = Field(default=Area(), description="inputs that are made to mislead or to overload")
    dependencies: Area = Field(
        default=Area(), description="libraries, images and providers, and how their faults become known"
    )
    exposure: Area = Field(default=Area(), description="ports, networks, rights of the container")
    obligations: Area = Field(default=Area(), description="what law and industry require")


class Review(Attestation):
    """The reviewer's word."""

    email: Mail = None


class SecurityReview(Facts):
    """What a review of the security found."""

    version: Text = Field(default=None, description="the version or commit that was reviewed")
    areas: Areas = Field(default=Areas(), description="what was found, area by area")
    reviewed: Review = Field(default=Review(), description="who reviewed it, and on which day it ended")

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """An open finding, a risk that nobody bears, and owners who review their own pilot."""
        for name in Areas.model_fields:
            area: Area = getattr(self.areas, name)
            if area.state == "open":
                fix = "Fix it and write `mended`, or have a named person bear the risk and write `accepted`."
                yield Gap(("areas", name, "state"), "is open.", fix)
            elif area.state == "accepted" and (fault := name_fault(area.accepted_by)):
                yield Gap(("areas", name, "accepted_by"), *fault)
        if self.reviewed.by and self.reviewed.by == charter.owner.name:
            what = f"{self.reviewed.by} is the owner of the pilot."
            yield Gap(("reviewed", "by"), what, "Have somebody review it who does not own it.")

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """The reviewer."""
        return {"reviewer": (self.reviewed.by, self.reviewed.email)}


def _repeated(values: list[str | None]) -> list[int]:
    """The places of those that stood before."""
    seen: Counter[str] = Counter()
    found = []
    for number, value in enumerate(values):
        word = (value or "").strip().casefold()
        if word and seen[word]:
            found.append(number)
        seen[word] += 1
    return found
