"""What is missing for production: the gaps that people listed, and those that the checks find by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pilot.charter import Charter, read_charter
from pilot.frontmatter import Fault, Issue, Unreadable, parse_table, text_of
from pilot.records.queries import ServiceHealth, service_health
from pilot.workbench import signatures
from pilot.workbench.documents.model import Group, a_day, is_placeholder
from pilot.workbench.found import SEVERITIES, Found, find
from pilot.workbench.view import Records, View

GAPS = Path("phases/3-decide/gaps.csv")
RULE = "gaps-listed"
AREAS = ("authentication", "error handling", "failover", "audit log", "compliance")
_NONE = re.compile(r"\W*(none|no gap)\W*", re.IGNORECASE)
_WORDS = 3
_WORD = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Row(Group):
    """One row of the table."""

    gap: str = Field(
        default="",
        description="what is missing, in a few words; none where nothing is; or the name of a gap that a check found",
    )
    area: Annotated[str, _WORD] = Field(default="", description=f"{', '.join(AREAS)}, or another")
    severity: Annotated[Literal["blocker", "major", "minor"] | None, _WORD] = Field(
        default=None, description="blocker (no go without it), major or minor"
    )
    effort_days: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = Field(
        default=None, description="days of work to fix it"
    )
    owner: str = Field(default="", description="who fixes it")
    state: Annotated[Literal["open", "closed"] | None, _WORD] = Field(default=None, description="open or closed")
    mended_by: Annotated[date | None, BeforeValidator(a_day)] = Field(
        default=None,
        description="the day by which it is fixed, such as 2027-03-31; a blocker with a day makes a go conditional",
    )
    note: str = Field(default="", description="how it is fixed; what shows that there is none, or that it is closed")

    def faults(self, today: date | None) -> Iterator[Fault]:
        """What the row does not say. An open gap whose day is before `today` is late."""
        if is_placeholder(self.area):
            yield Fault("area", "is empty.", f"Write one of {', '.join(AREAS)}, or another.")
        if _NONE.fullmatch(self.gap):
            if is_placeholder(self.note, _WORDS):
                what = f"nothing shows that {self.area or 'the area'} has no gap."
                yield Fault("note", what, f"Write what was looked at, in {_WORDS} words or more.")
            return
        if is_placeholder(self.gap):
            yield Fault("gap", "is empty or a placeholder.", "Name what is missing in a few words.")
        if not self.severity:
            yield Fault("severity", "is empty.", "Write blocker, major or minor.")
        if not self.state:
            yield Fault("state", "is empty.", "Write open or closed.")
        if self.state == "closed":
            if is_placeholder(self.note, _WORDS):
                what = f"{self.gap!r} is closed, and nothing shows it."
                yield Fault("note", what, f"Write what shows it, in {_WORDS} words or more.")
            return
        if self.effort_days is None:
            yield Fault("effort_days", "is empty.", "Write the days of work that fix it.")
        if is_placeholder(self.owner):
            yield Fault("owner", "is empty.", "Name who fixes it.")
        if today and self.mended_by and self.mended_by < today:
            what = f"{self.gap!r} was to be fixed by {self.mended_by} and is open."
            yield Fault("mended_by", what, "Close it, or move the day.")


COLUMNS = {name: field.description or "" for name, field in Row.model_fields.items()}


@dataclass(frozen=True)
class Gap:
    """One gap. `id` is the name that a check gives it where one found it, else None; `line` that of its row, None where
    it has none. `effort` is in days; what is not known is None or empty."""

    what: str
    area: str
    severity: str
    effort: float | None
    owner: str
    open: bool
    mended_by: date | None
    note: str
    line: int | None
    id: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether a go needs it to be fixed."""
        return self.open and self.severity == "blocker"


@dataclass(frozen=True)
class Gaps:
    """The gaps, the worst first; the areas for which somebody showed that there is none; and what keeps the list from
    being complete. `unreadable` are those of the issues that are mistakes of form."""

    rows: list[Gap] = field(default_factory=list)
    shown_none: dict[str, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    unreadable: list[Issue] = field(default_factory=list)

    @property
    def blockers(self) -> list[Gap]:
        """The open blockers: a go is refused, or is conditional where each has a day by which it is fixed."""
        return [gap for gap in self.rows if gap.blocks]

    @property
    def conditions(self) -> list[Gap]:
        """The open blockers that have an owner and a day by which they are fixed."""
        return [gap for gap in self.blockers if gap.owner and gap.mended_by]

    @property
    def effort(self) -> float:
        """The days of work of the open gaps, as far as they are known."""
        return sum(gap.effort or 0.0 for gap in self.rows if gap.open)


def read(root: Path, view: View) -> Gaps:
    """The gaps of the pilot in `root`: the rows of the table, joined with what the checks find in `view`. A row whose
    gap begins with the name of a found one says who fixes it and by when.

    Raises PilotError when the charter cannot be read.
    """
    if not isinstance(view.records, Records):
        return joined(root, view, None)
    with view.records.engine.connect() as connection:
        return joined(root, view, service_health(connection))


def joined(root: Path, view: View, service: ServiceHealth | None) -> Gaps:
    """As `read`, with the health of the service; None where it was not looked at."""
    charter = signatures.signed_charter(view.chain) or read_charter(root) or Charter()
    listed = listed_in(root, view.today)
    found = find(view, charter, service)
    if service is None:
        why = view.live if isinstance(view.live, str) else "Run `pilot gaps` where the records are."
        what = "cannot be joined with the gaps that the records show."
        listed.issues.append(Issue(GAPS.as_posix(), None, what, why, RULE))
    rows_of_found = {one.id: next((gap for gap in listed.rows if _about(one.id, gap)), None) for one in found}
    seen = [_joined(one, rows_of_found[one.id]) for one in found]
    rest = [gap for gap in listed.rows if gap not in rows_of_found.values()]
    listed.issues.extend(_of_found(found, rows_of_found))
    rows = sorted([*seen, *rest], key=lambda gap: (not gap.open, SEVERITIES.index(gap.severity), gap.area, gap.what))
    with_gap = {gap.area for gap in rows if gap.open}
    shown_none = {area: note for area, note in listed.shown_none.items() if area not in with_gap}
    return Gaps(rows, shown_none, listed.issues, listed.unreadable)


def listed_in(root: Path, today: date | None = None) -> Gaps:
    """The rows of the table alone, in its order. An open gap whose day is before `today` is late."""
    try:
        rows, unreadable = parse_table(Row, text_of(root, GAPS), GAPS)
    except Unreadable as error:
        broken = [replace(issue, rule=RULE) for issue in error.issues]
        return Gaps(issues=broken, unreadable=list(broken) if (root / GAPS).is_file() else [])
    found = Gaps(unreadable=[replace(issue, rule=RULE) for issue in unreadable])
    found.issues.extend(found.unreadable)
    empty: dict[str, int] = {}
    for row in rows:
        facts, line = row.facts, row.lines[""]
        if facts == Row(area=facts.area):
            empty[facts.area] = line
            continue
        found.issues.extend(row.issue(fault, RULE) for fault in facts.faults(today))
        if _NONE.fullmatch(facts.gap):
            found.shown_none[facts.area] = facts.note
        else:
            found.rows.append(_gap(line, facts))
    named = {gap.area for gap in found.rows} | set(found.shown_none)
    for area in AREAS:
        if area not in named:
            fix = "Name what is missing, or write none with a note that shows it."
            found.issues.append(Issue(GAPS.as_posix(), empty.get(area), f"does not name {area}.", fix, RULE))
    return found


def _of_found(found: list[Found], rows: dict[str, Gap | None]) -> Iterator[Issue]:
    """What the table does not say yet about gaps that checks found. They are known by themselves, so only of a blocker
    it must say who fixes it and by when."""
    for one in found:
        row = rows.get(one.id)
        if row is None and one.severity != SEVERITIES[0]:
            continue
        if row is None:
            fix = f"Fix it, or add a row whose gap is {one.id}, with effort_days, owner and mended_by."
            yield Issue(GAPS.as_posix(), None, f"has no row for {one.id}, which a check found.", fix, RULE)
        elif not row.open:
            fix = "Open it again, or fix what the check sees."
            what = f"{one.id} is closed, and a check still finds it."
            yield Issue(GAPS.as_posix(), row.line, what, fix, RULE)


def _about(id: str, row: Gap) -> bool:
    """Whether a row speaks about the found gap of that name."""
    return re.match(rf"{re.escape(id)}(?![\w-])", row.what, re.IGNORECASE) is not None


def _joined(found: Found, row: Gap | None) -> Gap:
    """A found gap with what its row says. It is open as long as it is found, and no row makes it less severe."""
    if row is None:
        return Gap(found.what, found.area, found.severity, None, "", True, None, "", None, found.id)
    severity = min(found.severity, row.severity, key=SEVERITIES.index)
    return Gap(
        found.what, found.area, severity, row.effort, row.owner, True, row.mended_by, row.note, row.line, found.id
    )


def _gap(line: int, row: Row) -> Gap:
    # What is not said is taken for the worst.
    severity = row.severity or SEVERITIES[0]
    is_open = row.state != "closed"
    return Gap(row.gap, row.area, severity, row.effort_days, row.owner, is_open, row.mended_by, row.note, line)
